"""What goes wrong between the client and a server is said in a sentence that names it."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from steno.cli.models import command as models
from steno.client import Client, ServerError
from steno.errors import SettingsError


class _Quiet(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not like our certificate is not this server's trouble."""


@contextmanager
def serving(
    body: bytes, kind: str | None = "application/json", status: int = 200, tls: Path | None = None
) -> Iterator[str]:
    """A server that answers everything with this; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with _Quiet(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed, for 127.0.0.1, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file.with_name("key"), "-out", file.with_name("cert")],
        check=True, capture_output=True, timeout=90,
    )  # fmt: skip
    file.write_text(file.with_name("key").read_text() + file.with_name("cert").read_text())
    return file


def get(url: str) -> Any:
    with Client(url) as client:
        return client.get("/v1/models")


@pytest.mark.parametrize("url", ["http://[::1", "http://localhost:port", "http://x\x00y"])
def test_what_cannot_be_parsed_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(SettingsError, match="invalid server URL ") as refused:
        Client(url)
    assert refused.value.param == "url"


@pytest.mark.parametrize("url", ["", "localhost:8000", "127.0.0.1:8000", "ftp://host", "http://", "/v1"])
def test_a_url_without_scheme_or_host_is_answered_with_an_example(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Client(url)
    assert refused.value.message.startswith(f"invalid server URL {url!r}")


def test_a_wrong_url_is_one_line_and_a_usage_error_on_the_command_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "models", "--url", "http://[::1"], capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("steno: invalid server URL 'http://[::1': ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("key", ["schlüssel", "one\ntwo"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Client("http://127.0.0.1:9", key)
    assert refused.value.message == "invalid API key; expected printable ASCII"


@pytest.mark.parametrize(
    ("body", "kind", "named"),
    [
        (b"<html>welcome to the hotel</html>", "text/html", "text/html"),
        (b"ok", "text/plain", "text/plain"),
        (b"{", "application/json", "application/json"),
        (b"", None, "something unnamed"),
    ],
)
def test_an_answer_that_is_no_json_is_an_error_that_names_what_came(
    body: bytes, kind: str | None, named: str, fixtures: Path
) -> None:
    with serving(body, kind) as url, Client(url) as client:
        for path, ask in (
            ("/v1/models", lambda: client.get("/v1/models")),
            ("/v1/audio/transcriptions", lambda: client.transcribe(fixtures / "letter.flac")),
        ):
            with pytest.raises(ServerError) as failed:
                ask()
            assert failed.value.message == (
                f"{url}{path} responds with {named}; expected JSON: is this a speech-to-text server?"
            )
            assert failed.value.status == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "too busy"}}', "too busy"),
        (b'{"error": "plain"}', '{"error": "plain"}'),
        (b"<h1>no</h1>", "<h1>no</h1>"),
        (b"", "Service Unavailable"),
    ],
)
def test_a_refusal_is_passed_on_in_the_server_s_words(body: bytes, said: str) -> None:
    with serving(body, status=503) as url, pytest.raises(ServerError) as failed:
        get(url)
    assert failed.value.message == f"the server says 503: {said}"


def test_a_certificate_that_is_not_trusted_is_named_with_what_to_do(certificate: Path) -> None:
    with serving(b"{}", tls=certificate) as url, pytest.raises(ServerError) as failed:
        get(url.replace("https://", "https://user:password@"))
    assert failed.value.message == (
        f"the certificate of {url}/ is not trusted: self-signed certificate; "
        "SSL_CERT_FILE can name a file with its certificate authority"
    )


def test_a_certificate_of_one_s_own_is_trusted_where_the_environment_names_it(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(b'{"data": []}', tls=certificate) as url:
        assert get(url) == {"data": []}


def test_https_with_a_server_that_speaks_http_is_not_taken_for_a_server_that_is_down() -> None:
    with serving(b"{}") as url, pytest.raises(ServerError) as failed:
        get(url.replace("http:", "https:"))
    assert failed.value.message.startswith(f"TLS failed with {url.replace('http:', 'https:')}/: ")
    assert failed.value.message.endswith("; does it serve https?")


def test_a_server_that_is_down_is_asked_about() -> None:
    with serving(b"{}") as url:
        pass
    with pytest.raises(ServerError, match=f"^no response from {url}/: is the server up\\?$"):
        get(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_directly_and_not_through_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(b'{"data": []}') as url:
        assert get(url.replace("127.0.0.1", host)) == {"data": []}


def test_another_machine_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(b'{"data": ["from the proxy"]}') as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        assert get("http://steno.invalid") == {"data": ["from the proxy"]}


@pytest.mark.parametrize(("name", "value"), [("http_proxy", "gopher://a"), ("SSL_CERT_FILE", "/no/such/file")])
def test_an_environment_that_cannot_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"^invalid proxy .* or certificate .* in the environment: "):
        Client("https://steno.invalid")


# steno models --url


def shown(answer: object) -> str:
    with serving(json.dumps(answer).encode()) as url:
        ended = CliRunner().invoke(models, ["--url", url], catch_exceptions=False)
    return ended.stdout


def test_models_of_another_server_are_listed_with_what_is_known_of_them() -> None:
    ours = {"id": "mine", "loaded": False, "aliases": ["whisper-1", "nova-2"]}
    theirs = {"id": "whisper-large-v3", "object": "model", "created": 1, "owned_by": "them"}
    assert shown({"object": "list", "data": [ours, theirs, {"id": "third", "loaded": True, "aliases": []}]}) == (
        "mine  (not loaded; also known as whisper-1, nova-2)\nwhisper-large-v3\nthird  (loaded)\n"
    )


@pytest.mark.parametrize("answer", [{}, [], "text", None, {"data": None}, {"data": ["a"]}, {"data": [{"name": "a"}]}])
def test_what_is_no_list_of_models_is_called_so(answer: object) -> None:
    with pytest.raises(ServerError, match=r"^invalid response; expected OpenAI's list of models$"):
        shown(answer)
