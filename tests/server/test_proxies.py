"""The nginx of `docs/proxies.md`, tried with a real one."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import websockets

from running import START_S, TLS, RunningServer, free_port
from talking import pcm_file, talk

DOCS = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text(encoding="utf-8")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="nginx is not installed (nginx-light)")]


class Proxied(RunningServer):
    """A server whose `url` is its proxy's."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


def site_of(server: RunningServer, port: int) -> str:
    block = re.findall(r"```nginx\n(.*?)```", DOCS, re.S)[0]
    return (
        str(block)
        .replace("listen 80;", f"listen 127.0.0.1:{port};")
        .replace("127.0.0.1:8000", server.url.removeprefix("http://"))
    )


@pytest.fixture(scope="module")
def proxied(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("nginx")
    with running_nginx(folder, lambda port: site_of(server, port)) as proxy:
        yield proxy


@contextmanager
def running_nginx(folder: Path, site: Callable[[int], str]) -> Iterator[RunningServer]:
    assert NGINX is not None
    port = free_port()
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, site=site(port)))
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"])
    proxy = Proxied()
    proxy.url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_S
        while not _answers(port):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < until
        yield proxy
    finally:
        process.terminate()
        process.wait(START_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True


async def test_a_live_session_goes_through(proxied: RunningServer, fixtures: Path) -> None:
    async with talk(proxied) as conversation:
        await conversation.say(pcm_file(fixtures / "weather.flac"))
        await conversation.send({"action": "close"})
        await conversation.until_closed()
    assert conversation.text.startswith("w0 w1")


async def test_the_page_may_connect_because_its_host_is_passed_on(proxied: RunningServer) -> None:
    async with talk(proxied, headers=[("Origin", proxied.url)]) as conversation:
        await conversation.send({"action": "close"})
        await conversation.until_closed()
    assert conversation.messages[0]["status"] == "connected"
    assert "steno" in httpx.get(f"{proxied.url}/", timeout=30, verify=TLS).text


def test_a_large_upload_and_a_stream_of_events_go_through(proxied: RunningServer, fixtures: Path) -> None:
    recording = pcm_file(fixtures / "address.opus")
    wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff"
    assert len(recording) > 2**20
    with httpx.stream(
        "POST",
        f"{proxied.url}/v1/audio/transcriptions",
        files={"file": wav + recording},
        data={"stream": "true"},
        timeout=120,
        verify=TLS,
    ) as answer:
        assert answer.status_code == 200
        events = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert "transcript.text.done" in events[-1]


async def test_without_the_upgrade_the_message_says_so(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = r".*(_http_version|Upgrade|Connection).*\n"
    folder = tmp_path_factory.mktemp("plain")
    with running_nginx(folder, lambda port: re.sub(lines, "", site_of(server, port))) as proxy:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(proxy.url.replace("http", "ws") + "/ws/transcribe"):
                pass
        assert refused.value.response.status_code == 426
        assert b"proxy" in (refused.value.response.body or b"")
