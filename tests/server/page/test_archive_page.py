"""The review of an archive: Chromium, a real server, a real archive."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import run_command
from recordings import repeated
from running import RunningServer, until
from server.page.browser import Visit, axe_violations, chromium, microphone
from steno.archive.archive_folder import ArchiveFolder
from talking import BYTES_PER_S

pytestmark = pytest.mark.slow  # a browser, which not every machine has

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms"}


@pytest.fixture(scope="module")
def made(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one recording of 11 sentences, with a chat that is 7 s late."""
    folder = tmp_path_factory.mktemp("vods")
    vod, chat = folder / "vod.wav", folder / "chat.jsonl"
    vod.write_bytes(repeated(fixtures / "weather.flac", 11))
    lines = [{"time": 5.5 * n + 7, "author": "kim", "text": f"sentence {n}"} for n in range(11)]
    chat.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for words in (("add", vod, "--chat", chat), ("run",)):
        assert run_command("archive", *words, "-a", folder / "archive", environment=SCRIPTED).returncode == 0
    return folder / "archive"


@pytest.fixture(scope="module")
def browser(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`made` comes first: while the browser is open, this thread has an event loop of its own."""
    with chromium(microphone(tmp_path_factory.mktemp("microphone") / "said.wav", bytes(BYTES_PER_S))) as browser:
        yield browser


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder.open(shutil.copytree(made, tmp_path / "archive"))


def visit(browser: Any, server: RunningServer, **context: Any) -> Visit:
    found = Visit(browser, f"{server.url}/archive", **context)
    found.see("#about", "11 segments, 11 messages")
    return found


def test_an_anchor_that_is_set_by_keyboard_is_in_the_manifest(archive: ArchiveFolder, browser: Any) -> None:
    (vod,) = archive.ids()
    with (
        RunningServer(ASR_BACKEND="scripted", ARCHIVE_DIR=str(archive.path)) as server,
        visit(browser, server) as shown,
    ):
        page = shown.page
        assert "Not found: too few messages" in page.locator("#clock-state").inner_text()
        page.fill("#by", "kim")
        page.locator("#segments").focus()
        for key in ("j", "j", "j", "n", "p"):
            page.keyboard.press(key)
        start_s = page.evaluate("document.getElementById('player').currentTime")
        assert start_s > 5
        chosen = page.locator("#messages [aria-current]").inner_text()
        page.keyboard.press("h")
        shown.see("#clock-state", "confirmed by kim")
        clock = archive.manifest(vod).clock
        assert clock is not None
        (anchor,) = clock.anchors
        assert (clock.method, clock.confirmed_by, anchor.by) == ("anchors", "kim", "kim")
        assert anchor.recording_s == pytest.approx(start_s, abs=0.05)
        assert f"sentence {round((anchor.chat_s - 7) / 5.5)}" in chosen
        assert clock.segments[0].offset_s == pytest.approx(anchor.recording_s - anchor.chat_s, abs=0.01)
        page.keyboard.press("]")
        page.keyboard.press("s")
        shown.see("#anchors li:nth-child(2)", "kim")
        after = archive.manifest(vod).clock
        assert after is not None
        assert len(after.anchors) == 2
        assert archive.manifest(vod).clocks[-2] == clock
        page.locator("#anchors button").first.click()
        until(lambda: len(archive.manifest(vod).clocks[-1].anchors) == 1)
        assert shown.problems == []


def test_segments_are_accepted_and_rejected_by_keyboard(archive: ArchiveFolder, browser: Any) -> None:
    (vod,) = archive.ids()
    with (
        RunningServer(ASR_BACKEND="scripted", ARCHIVE_DIR=str(archive.path)) as server,
        visit(browser, server) as shown,
    ):
        page = shown.page
        page.keyboard.press("j")
        page.keyboard.press("a")
        shown.see("#progress", "1 of 11 reviewed")
        page.keyboard.press("r")
        shown.see("#progress", "2 of 11 reviewed")
        assert [review.verdict for review in archive.manifest(vod).reviews] == ["accepted", "rejected"]
        page.keyboard.press("k")
        page.keyboard.press("u")
        shown.see("#progress", "1 of 11 reviewed")
        assert [review.verdict for review in archive.manifest(vod).reviews] == ["accepted"]
        assert shown.problems == []


def test_the_audio_plays_from_where_it_is_wanted(archive: ArchiveFolder, browser: Any) -> None:
    with (
        RunningServer(ASR_BACKEND="scripted", ARCHIVE_DIR=str(archive.path), API_KEYS="k") as server,
        Visit(browser, f"{server.url}/archive") as shown,
    ):
        page = shown.page
        shown.see("#about", "an API key is required")
        page.fill("#key", "k")
        page.locator("#key").blur()
        shown.see("#about", "11 segments")
        page.locator("#wave").click(position={"x": 1, "y": 60})
        page.locator("#whole").click(position={"x": 600, "y": 20})
        shown.wait_until("document.getElementById('player').currentTime > 20")
        shown.wait_until("document.getElementById('player').readyState >= 2")
        (vod,) = archive.ids()
        assert server.get(f"/v1/archive/{vod}/audio").status_code == 401
        link = page.evaluate("document.getElementById('player').src").removeprefix(server.url)
        part = server.get(link, headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content) == (206, b"fLaC")
        assert server.get(link.replace("signature=", "signature=0")).status_code == 401
        assert server.get(link.replace(vod, "other")).status_code == 401
        assert [each for each in shown.problems if "401" not in each] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(archive: ArchiveFolder, browser: Any, scheme: str) -> None:
    with (
        RunningServer(ASR_BACKEND="scripted", ARCHIVE_DIR=str(archive.path)) as server,
        visit(browser, server, bypass_csp=True, color_scheme=scheme) as shown,
    ):
        shown.page.keyboard.press("j")
        assert axe_violations(shown) == []


def test_a_server_without_an_archive_has_no_page(browser: Any) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        assert server.get("/archive").status_code == 404
        assert server.get("/v1/archive").status_code == 400
        assert server.get("/archive/audio/x?expires=1&signature=x").status_code == 400
