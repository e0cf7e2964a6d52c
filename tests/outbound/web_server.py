"""A web server that has recordings, and every fault that the server of a URL may have."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from urllib.parse import unquote, urlsplit

from http_thread import HttpThread

HOST = "127.0.0.2"
"""Its own address of the loopback network (Linux), so that tests can allow it and refuse 127.0.0.1."""
ENDLESS_S = 30.0


class WebServer:
    """Use it as a context manager. `requests` is the paths that were asked for.

    Paths: `/files/NAME`, `/redirect/URL`, `/loop`, `/endless`, `/silent`, `/trickle`, `/longer-than-it-says`,
    `/shorter-than-it-says`, `/says-it-is-huge`, `/status/N`, `/garbage`.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.requests: list[str] = []
        self.ended = threading.Event()

    def __enter__(self) -> WebServer:
        self._server = HttpThread(_handler(self), HOST)
        self.url = self._server.url
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        self._server.stop()


def _handler(web: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            web.requests.append(path)
            name, _, rest = path[1:].partition("/")
            with suppress(OSError):  # the client has had enough
                getattr(self, "get_" + name.replace("-", "_"))(rest)

        def get_files(self, name: str) -> None:
            self._begin(200, len(web.files[name]))
            self.wfile.write(web.files[name])

        def get_redirect(self, url: str) -> None:
            self.send_response(302)
            self.send_header("Location", url)
            self.end_headers()

        def get_loop(self, rest: str) -> None:
            self.get_redirect("/loop")

        def get_endless(self, rest: str) -> None:
            self._begin(200, None)
            until = time.monotonic() + ENDLESS_S
            while time.monotonic() < until and not web.ended.is_set():
                self.wfile.write(bytes(65_536))
                time.sleep(0.001)

        def get_silent(self, rest: str) -> None:
            web.ended.wait(ENDLESS_S)

        def get_trickle(self, rest: str) -> None:
            self._begin(200, None)
            while not web.ended.wait(0.05):
                self.wfile.write(b"x")

        def get_longer_than_it_says(self, rest: str) -> None:
            self._begin(200, 4)
            self.wfile.write(bytes(100_000))

        def get_shorter_than_it_says(self, rest: str) -> None:
            self._begin(200, 100_000)
            self.wfile.write(bytes(4))

        def get_says_it_is_huge(self, rest: str) -> None:
            self._begin(200, 10**12)

        def get_status(self, rest: str) -> None:
            self._begin(int(rest), 0)

        def get_garbage(self, rest: str) -> None:
            self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")

        def _begin(self, status: int, length: int | None) -> None:
            self.send_response(status)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    return Handler
