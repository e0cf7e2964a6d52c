"""A Hugging Face hub in small: the parts of its API that downloading a model uses, over real HTTP, with its faults."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from http_thread import HttpThread

LARGE = ".safetensors"
"""Files of this kind are kept as the hub keeps large files: elsewhere, by their SHA-256."""


@dataclass
class Repository:
    """A model on the hub."""

    folder: Path
    commit: str = "c" * 40
    gated: bool = False
    private: bool = False
    """Answers 401 to whoever brings no token, as do names that do not exist."""


@dataclass
class HubServer:
    """Use it as a context manager. `requests` is what was asked: method, path, Range header."""

    models: dict[str, Repository] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """The next answers with a large file end after so many bytes, the connection with them."""
    stall_after: int | None = None
    """Answers with a large file come to a halt after so many bytes, until it is None again."""
    status: int | None = None
    """All requests are answered with it."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens_elsewhere: list[str] = field(default_factory=list)
    """Tokens that came to the place of the large files, which is not to know them."""

    def __enter__(self) -> HubServer:
        self._hub, self._store = HttpThread(_handler(self)), HttpThread(_handler(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for server in (self._hub, self._store):
            server.stop()

    @property
    def url(self) -> str:
        return self._hub.url

    @property
    def store_url(self) -> str:
        return self._store.url

    def fetched(self) -> list[tuple[str, str | None]]:
        """The files whose bytes were asked for, with the Range."""
        return [
            (path.rpartition("/")[2], range_)
            for method, path, range_ in self.requests
            if method == "GET" and not path.startswith("/api/")
        ]


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None: ...

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((self.command, path, self.headers.get("Range")))
            if hub.status is not None:
                return self._refuse(hub.status, None)
            if path.startswith("/store/"):
                return self._stored(path)
            kind, model = _parse(path)
            repository = hub.models.get(model)
            token = self.headers.get("Authorization")
            if repository is None or (repository.private and token is None):
                return self._refuse(404 if token else 401, "RepoNotFound")
            if kind[0] == "info":
                return self._json(repository, kind[1], _info(model, repository))
            if kind[0] == "tree":
                return self._json(repository, kind[1], _tree(repository))
            if repository.gated:
                return self._refuse(403, "GatedRepo")
            return self._file(model, repository, kind[2])

        def _file(self, model: str, repository: Repository, name: str) -> None:
            file = repository.folder / name
            if not file.is_file():
                return self._refuse(404, "EntryNotFound")
            headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{_git_id(file)}"'}
            if name.endswith(LARGE):
                headers["X-Linked-Etag"] = f'"{_sha256(file)}"'
                headers["X-Linked-Size"] = str(file.stat().st_size)
                headers["Location"] = f"{hub.store_url}/store/{model}/{name}"
                return self._send(302, b"", headers)
            return self._send(200, file.read_bytes(), headers)

        def _stored(self, path: str) -> None:
            if "Authorization" in self.headers:
                hub.tokens_elsewhere.append(self.headers["Authorization"])
            _, _, organisation, model, name = path.split("/")
            data = (hub.models[f"{organisation}/{model}"].folder / name).read_bytes()
            begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            part = data[begin:]
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            if begin:
                headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            cut = hub.cuts.pop(0) if hub.cuts and self.command == "GET" else None
            self._send(206 if begin else 200, part, headers, cut)

        def _json(self, repository: Repository, revision: str, value: Any) -> None:
            if revision not in ("main", repository.commit):
                return self._refuse(404, "RevisionNotFound")
            return self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _refuse(self, status: int, code: str | None) -> None:
            self._send(status, b"{}", {"X-Error-Code": code} if code else {})

        def _send(self, status: int, data: bytes, headers: dict[str, str], cut: int | None = None) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET" and hub.stall_after is not None and len(data) > hub.stall_after:
                self.wfile.write(data[: hub.stall_after])
                while hub.stall_after is not None:
                    time.sleep(0.01)
                self.close_connection = True
            elif self.command == "GET":
                self.wfile.write(data[:cut])
            if cut is not None:
                self.close_connection = True

    return Handler


def _parse(path: str) -> tuple[tuple[str, ...], str]:
    """(what, revision, file) and the model's name."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        model, rest = "/".join(parts[2:4]), parts[4:]
        if rest and rest[0] == "tree":
            return ("tree", rest[1]), model
        return ("info", rest[1] if rest else "main"), model
    return ("file", parts[3], "/".join(parts[4:])), "/".join(parts[:2])


def _info(model: str, repository: Repository) -> dict[str, Any]:
    siblings = []
    for file in sorted(repository.folder.iterdir()):
        one: dict[str, Any] = {"rfilename": file.name, "size": file.stat().st_size, "blobId": _git_id(file)}
        if file.name.endswith(LARGE):
            one["lfs"] = {"sha256": _sha256(file), "size": file.stat().st_size, "pointerSize": 134}
        siblings.append(one)
    return {"id": model, "modelId": model, "sha": repository.commit, "siblings": siblings, "tags": []}


def _tree(repository: Repository) -> list[dict[str, Any]]:
    entries = []
    for file in sorted(repository.folder.iterdir()):
        one: dict[str, Any] = {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _git_id(file)}
        if file.name.endswith(LARGE):
            one["lfs"] = {"oid": _sha256(file), "size": file.stat().st_size, "pointerSize": 134}
        entries.append(one)
    return entries


def _git_id(file: Path) -> str:
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
