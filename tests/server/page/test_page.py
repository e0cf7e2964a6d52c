"""The page as its users have it: Chromium, a fake microphone, a real server."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import srt
import webvtt

from llm_server import LlmServer
from recordings import wav
from running import EMBEDDED, PATIENCE_S, TLS, RunningServer
from server.page.browser import PATIENCE_MS, Visit, axe_violations, chromium, microphone
from speech import word_error_rate
from steno.audio.decode import decode
from talking import BYTES_PER_S, pcm_file, said

pytestmark = pytest.mark.slow  # a browser, which not every machine has


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture(scope="module")
def spoken(fixtures: Path) -> bytes:
    """Two seconds of speech, a pause, a sentence."""
    beginning = pcm_file(fixtures / "letter.flac")[: 2 * BYTES_PER_S]
    return beginning + bytes(BYTES_PER_S) + pcm_file(fixtures / "weather.flac")


@pytest.fixture(scope="module")
def expected(server: RunningServer, spoken: bytes) -> list[int]:
    """How many words each line has where nothing goes wrong."""
    conversation = asyncio.run(said(server, bytes(BYTES_PER_S) + spoken + bytes(BYTES_PER_S)))
    return [_words(final["text"]) for final in conversation.finals]


@pytest.fixture(scope="module")
def browser(spoken: bytes, expected: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Hears `spoken`. `expected` comes first: while the browser is open, this thread has an event loop of its own."""
    with chromium(microphone(tmp_path_factory.mktemp("microphone") / "said.wav", spoken)) as browser:
        yield browser


def test_the_page_may_load_nothing_but_its_own_parts(server: RunningServer) -> None:
    answer = server.get()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    host = server.url.removeprefix("http://")
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": f"'self' ws://{host} wss://{host}",
        "img-src": "'self' data:",
        "media-src": "'self' blob:",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "microphone=(self), display-capture=(self)" in answer.headers["permissions-policy"]
    odd = server.get(headers={"Host": "evil; script-src *"})
    assert "evil" not in odd.headers.get("content-security-policy", "")


def test_an_upgrade_is_seen_at_once_and_nothing_is_sent_twice(server: RunningServer) -> None:
    for path in ("/", "/page/js/steno.js", "/page/css/base.css"):
        first = server.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = server.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert httpx.head(server.url, timeout=PATIENCE_S, verify=TLS).status_code == 200


def test_what_is_not_there_is_not_found(server: RunningServer) -> None:
    for path in ("/page/js/nothing.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/", "/page/js"):
        assert server.get(path).status_code == 404, path


def test_the_core_may_be_used_by_other_sites_pages(server: RunningServer) -> None:
    core = server.get("/page/js/steno.js")
    assert core.headers["content-type"] == "text/javascript; charset=utf-8"
    assert core.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in server.get().headers


def test_what_is_spoken_appears_and_can_be_downloaded(server: RunningServer, browser: Any, expected: list[int]) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.see("#captions .open", "w0 w1")
        visit.see("#latency", " s")
        visit.wait_for_lines(2)
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        assert [_words(line) for line in visit.lines] == [pytest.approx(count, abs=1) for count in expected]
        cues = list(srt.parse(visit.download("d")))
        assert " ".join(cue.content.replace("\n", " ") for cue in cues) == " ".join(visit.lines)
        assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
        assert all(before.end <= after.start for before, after in pairwise(cues))
        assert 0.5 < cues[0].start.total_seconds() < 1.5
        vtt = webvtt.from_string(visit.download("[data-format=vtt]"))
        assert [cue.text.replace("\n", " ") for cue in vtt] == [cue.content.replace("\n", " ") for cue in cues]
        assert visit.download("[data-format=txt]").split("\n")[:-1] == visit.lines
        assert visit.page.locator("#spoken p").all_text_contents() == visit.lines
        assert visit.problems == []


def test_speech_is_recognised_and_what_the_server_cannot_do_is_not_offered(browser: Any) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server, Visit(browser, server.url) as visit:
        assert visit.page.locator("#language option").all_text_contents() == ["Detect", "English"]
        assert visit.page.locator("#translate").is_disabled()
        assert visit.page.locator("#hotwords").is_disabled()
        visit.page.click("#start")
        visit.wait_for_lines(2)
        visit.page.click("#start")
        visit.wait_for_state("idle")
        assert word_error_rate("weather.flac", visit.lines[1]) <= 0.45


def test_a_server_that_dies_and_comes_back_loses_and_doubles_nothing(browser: Any, expected: list[int]) -> None:
    with RunningServer(ASR_BACKEND="scripted") as first, Visit(browser, first.url) as visit:
        visit.page.keyboard.press(" ")
        visit.wait_for_lines(1)
        visit.see("#captions .open", "w3")
        first.process.kill()
        visit.wait_for_state("waiting")
        visit.see("[data-topic=connection]", "The connection was lost")
        visit.see("#captions .open, #captions p", "w3")
        with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rsplit(":", 1)[1]):
            visit.wait_for_lines(2)
            assert [_words(line) for line in visit.lines] == [pytest.approx(count, abs=1) for count in expected]
            assert visit.page.locator("[data-topic=connection]").count() == 0
            cues = list(srt.parse(visit.download("d")))
            assert all(before.end <= after.start for before, after in pairwise(cues))


def test_another_sites_page_can_embed_the_core(browser: Any, spoken: bytes) -> None:
    """`localhost` is another site than 127.0.0.1; its page needs a key, or to be named by ALLOWED_ORIGINS."""
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="a-key") as server, Visit(browser, server.url) as visit:
        visit.page.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/docs")
        finals = visit.page.evaluate(
            """async ([core, pcm]) => {
                const { Captioner } = await import(core);
                const captioner = new Captioner({ key: "a-key", captions: "srt" });
                const finals = [];
                captioner.addEventListener("final", ({ detail }) => finals.push(detail));
                await captioner.start();
                captioner.push(new Int16Array(Uint8Array.from(atob(pcm), (c) => c.charCodeAt(0)).buffer));
                await captioner.stop();
                return finals;
            }""",
            [f"{server.url}/page/js/steno.js", base64.b64encode(spoken).decode()],
        )
        assert [final["text"].split()[0] for final in finals] == ["w0", "w0"]
        assert [cue.index for cue in srt.parse("".join(final["caption"] for final in finals))] == [1, 2]
        refused = visit.page.evaluate(
            """async (core) => {
                const { Captioner } = await import(core);
                const captioner = new Captioner({ key: "wrong" });
                const told = new Promise((resolve) => captioner.addEventListener("error", resolve));
                await captioner.start();
                const { detail } = await told;
                await captioner.stop();
                return [detail.code, detail.fatal, captioner.state];
            }""",
            f"{server.url}/page/js/steno.js",
        )
        assert refused == ["INVALID_API_KEY", True, "closed"]


def test_the_readme_s_snippet_for_web_pages_works_when_it_is_pasted(browser: Any) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```html\n<script type=\"module\">\n(.*?)</script>\n```", readme, re.S)
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="KEY") as server, Visit(browser, server.url) as visit:
        visit.page.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/docs")
        logged: list[str] = []
        visit.page.on("console", lambda message: logged.append(message.text))
        visit.page.add_script_tag(type="module", content=code.replace("http://127.0.0.1:8000", server.url))
        for _ in range(PATIENCE_MS // 100):
            if any(re.match(r"\d\.\d+ w0", line) for line in logged):
                break
            visit.page.wait_for_timeout(100)
    assert any(re.fullmatch(r"\d\.\d+ w0 w1 w2 w3( w4)?", line) for line in logged), logged


def test_stopping_waits_for_what_was_said(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.see("#captions .open", "w1")
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        assert len(visit.lines) == 1
        assert visit.lines[0].startswith("w0 w1")


def test_a_recording_is_captioned_and_played(server: RunningServer, browser: Any, fixtures: Path) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.set_input_files("#file", fixtures / "address.opus")
        visit.wait_for_lines(2)
        visit.wait_for_state("idle")
        assert visit.page.locator("#lines .time").first.inner_text() == "0:00"
        cues = list(srt.parse(visit.download("[data-format=srt]")))
        assert " ".join(cue.content.replace("\n", " ") for cue in cues) == " ".join(visit.lines)
        assert max(len(row) for cue in cues for row in cue.content.split("\n")) <= 50
        visit.page.locator("#lines .time").nth(1).click()
        visit.wait_until("document.getElementById('player').currentTime > 1")
        visit.page.locator("#lines li.current").wait_for()
        visit.page.fill("#search", "w59")
        assert visit.page.locator("#lines li:visible").count() < len(visit.lines)
        visit.page.fill("#search", "zebra")
        visit.see("#empty", "No line has “zebra” in it.")
        assert visit.problems == []


def test_a_recording_can_be_dropped_and_one_that_cannot_be_read_replaces_nothing(
    server: RunningServer, browser: Any, fixtures: Path
) -> None:
    with Visit(browser, server.url) as visit:
        visit.drag("over", fixtures / "letter.flac")
        visit.see("#drop", "Drop the recording")
        visit.drag("drop", fixtures / "letter.flac")
        visit.wait_for_lines(1)
        visit.wait_for_state("idle")
        lines = visit.lines
        assert visit.problems == []
        assert visit.page.locator("#drop").is_hidden()
        assert visit.page.locator("#player").is_visible()
        visit.drag("drop", Path(__file__))
        visit.see("#notices .problem strong", "There is no sound in this file")
        assert visit.lines == lines
        assert visit.page.locator("#player").is_visible()
        visit.drag("drop", fixtures / "address.opus")
        visit.see("#toast", "The last transcript was cleared")
        cues = list(srt.parse(visit.download("#toast button")))
        assert " ".join(cue.content.replace("\n", " ") for cue in cues) == " ".join(lines)
        visit.wait_for_lines(len(lines) + 1)
        visit.wait_for_state("idle")


def test_a_recording_whose_server_died_is_tried_again_without_doubling_its_lines(browser: Any, fixtures: Path) -> None:
    slow = {"MODEL_ID": "scripted@60ms", "SPHINX_WORKERS": "1"}  # one line after the other, in eight seconds
    with RunningServer(ASR_BACKEND="scripted", **slow) as first, Visit(browser, first.url) as visit:
        visit.page.set_input_files("#file", fixtures / "address.opus")
        visit.wait_for_lines(1)
        first.process.kill()
        visit.see("#notices .problem strong", "The recording was not finished")
        begun = visit.lines
        with RunningServer(ASR_BACKEND="scripted", PORT=first.url.rsplit(":", 1)[1]):
            visit.page.click("text=Try again")
            visit.wait_for_lines(len(begun) + 1)
            visit.wait_for_state("idle")
        assert visit.lines[: len(begun)] == begun
        starts = visit.page.locator("#lines .time").all_inner_texts()
        assert len(set(starts)) == len(starts)


def test_nothing_is_dropped_into_live_captions(server: RunningServer, browser: Any, fixtures: Path) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.wait_for_state("live")
        visit.drag("drop", fixtures / "letter.flac")
        visit.see("#toast", "Stop the live captions first")
        visit.wait_for_lines(1)


def test_a_microphone_can_be_chosen(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.wait_for_state("live")
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        visit.page.keyboard.press("s")
        visit.page.locator("#device option").nth(1).wait_for(state="attached")
        visit.page.select_option("#device", index=1)
        visit.page.click("#settings [data-close]")
        visit.page.keyboard.press(" ")
        visit.wait_for_lines(1)
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        visit.page.evaluate("localStorage['steno.settings'] = JSON.stringify({ device: 'sold' })")
        visit.page.reload()
        visit.page.keyboard.press(" ")
        visit.see("#notices .problem strong", "The chosen microphone is not there")
        visit.page.keyboard.press("s")
        visit.wait_until("document.getElementById('device').value === 'sold'")


def test_a_start_can_be_taken_back_while_the_browser_still_asks(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.evaluate(
            """() => {
                const devices = navigator.mediaDevices;
                const open = devices.getUserMedia.bind(devices);
                devices.getUserMedia = (wanted) => new Promise((resolve) => {
                    globalThis.allow = async () => resolve(globalThis.stream = await open(wanted));
                });
            }"""
        )
        visit.page.keyboard.press(" ")
        visit.wait_for_state("opening")
        visit.page.keyboard.press(" ")
        visit.page.evaluate("allow()")
        visit.see("#start-text", "Start")
        visit.wait_until("stream.getTracks().every((track) => track.readyState === 'ended')")
        assert visit.page.locator("#state").inner_text() == "Ready"


def test_a_dialog_closes_beside_it_and_not_on_its_own_edge(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press("s")
        box = visit.page.locator("#settings").bounding_box()
        visit.page.mouse.click(box["x"] + 8, box["y"] + 100)
        assert visit.page.locator("#settings").is_visible()
        visit.page.mouse.click(box["x"] - 20, box["y"] + 100)
        assert visit.page.locator("#settings").is_hidden()


def test_what_is_no_recording_is_said_in_plain_words(server: RunningServer, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.mp3").write_text("this is no audio")
    with Visit(browser, server.url) as visit:
        visit.page.set_input_files("#file", tmp_path / "letter.mp3")
        visit.see("#notices .problem strong", "There is no sound in this file")
        visit.wait_for_state("idle")


def test_a_server_with_keys_asks_for_one_and_loses_nothing_meanwhile(browser: Any, fixtures: Path) -> None:
    keys = {"API_KEYS": "right-key,odd/key=="}
    with RunningServer(ASR_BACKEND="scripted", **keys) as server, Visit(browser, server.url) as visit:
        visit.page.click("#start")  # it gets the focus back when the question is answered
        visit.page.locator("#ask-key[open]").wait_for()
        visit.page.fill("#asked-key", "wrong-key")
        visit.page.keyboard.press("Enter")
        visit.see("#ask-key-reason", "not valid")
        visit.page.fill("#asked-key", "right-key")
        visit.page.keyboard.press("Enter")
        visit.wait_for_lines(1)
        assert visit.lines[0].startswith("w0 w1 w2 w3")
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        assert "right-key" not in visit.page.evaluate("JSON.stringify(localStorage)")
        visit.page.reload()
        visit.page.set_input_files("#file", fixtures / "letter.flac")
        visit.page.locator("#ask-key[open]").wait_for()
        visit.page.fill("#asked-key", "odd/key==")
        visit.page.click("#give-key")
        visit.wait_for_lines(1)


def test_a_full_server_says_when_it_will_be_tried_again(browser: Any) -> None:
    with RunningServer(ASR_BACKEND="scripted", MAX_SESSIONS="0") as server, Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.see("#notices strong", "The server is full")
        visit.see("#state", "Retry in")
        visit.page.keyboard.press(" ")
        visit.see("#start-text", "Give up")
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")


def test_a_translation_is_a_second_line(browser: Any) -> None:
    with (
        LlmServer() as llm,
        RunningServer(ASR_BACKEND="scripted", OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="m") as server,
        Visit(browser, server.url) as visit,
    ):
        visit.page.keyboard.press("s")
        visit.page.select_option("#translate", "fr")
        visit.page.click("#settings [data-close]")
        visit.page.keyboard.press(" ")
        visit.wait_for_lines(1)
        assert visit.page.locator("#translation").inner_text() == f"{visit.lines[0]} (fr)"
        assert visit.page.locator("#lines .translated").first.inner_text() == f"{visit.lines[0]} (fr)"


def test_an_option_that_is_refused_is_named_and_can_be_left_out(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.evaluate(
            """() => {
                const select = document.getElementById("translate");
                select.append(new Option("French", "fr"));
                select.value = "fr";
                select.dispatchEvent(new Event("change"));
            }"""
        )
        visit.page.keyboard.press(" ")
        visit.see("#notices .problem", "translation")
        visit.page.click("text=Go on without it")
        visit.wait_for_lines(1)
        assert visit.lines[0].startswith("w0 w1 w2")


def test_settings_are_kept_and_applied_while_live(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.wait_for_state("live")
        visit.page.keyboard.press("s")
        visit.page.uncheck("#vad")
        visit.page.select_option("#language", "de")
        visit.page.click("#settings [data-close]")
        visit.see("#captions .open", "w12")  # more than either line has: no pause ends it
        assert visit.lines == []
        visit.page.keyboard.press(" ")
        visit.wait_for_state("idle")
        assert len(visit.lines) == 1
        visit.page.reload()
        assert not visit.page.is_checked("#vad")
        visit.wait_until("document.getElementById('language').value === 'de'")


def test_captions_have_speakers_if_that_is_set(
    server: RunningServer, browser: Any, fixtures: Path, tmp_path: Path
) -> None:
    pause = np.zeros(16_000, np.float32)
    spoken = [decode(fixtures / f"{name}.flac", max_seconds=None) for name in ("weather", "meeting", "doctor")]
    (tmp_path / "talk.wav").write_bytes(wav(np.concatenate([part for each in spoken for part in (*each, pause)])))
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press("s")
        visit.page.check("#diarize")
        visit.page.click("#settings [data-close]")
        visit.page.set_input_files("#file", tmp_path / "talk.wav")
        visit.wait_for_lines(3)
        shown = visit.page.locator("#lines .speaker").all_text_contents()
        assert shown == ["Speaker A", "Speaker B", "Speaker A"]
        assert visit.page.locator("#captions .speaker").all_text_contents() == ["A: ", "B: ", "A: "]
        assert visit.problems == []
        finals = visit.page.evaluate(
            """async ([core, pcm]) => {
                const { Captioner } = await import(core);
                const captioner = new Captioner({ diarize: true });
                const speakers = [];
                captioner.addEventListener("final", ({ detail }) => detail.text && speakers.push(detail.speaker));
                await captioner.start();
                captioner.push(new Int16Array(Uint8Array.from(atob(pcm), (c) => c.charCodeAt(0)).buffer));
                await captioner.stop();
                return speakers;
            }""",
            [f"{server.url}/page/js/steno.js", base64.b64encode((tmp_path / "talk.wav").read_bytes()[44:]).decode()],
        )
        assert finals == ["A", "B", "A"]


def test_the_transcript_is_cleared_with_a_way_back(server: RunningServer, browser: Any, fixtures: Path) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.set_input_files("#file", fixtures / "letter.flac")
        visit.wait_for_lines(1)
        visit.wait_for_state("idle")
        lines = visit.lines
        assert lines
        visit.page.click("#clear")
        assert visit.lines == []
        visit.page.click("#toast button")
        assert visit.lines == lines


def test_following_stops_where_the_reader_scrolls_and_goes_on_when_asked(
    server: RunningServer, browser: Any, fixtures: Path
) -> None:
    with Visit(browser, server.url, viewport={"width": 1280, "height": 420}) as visit:
        visit.page.set_input_files("#file", fixtures / "address.opus")
        visit.wait_for_lines(2)
        visit.wait_for_state("idle")
        below = "document.getElementById('scroller').scrollHeight - scroller.scrollTop - scroller.clientHeight"
        assert visit.page.evaluate(below) < 2
        visit.page.evaluate("scroller.scrollTop = 0")
        visit.page.click("#jump")
        assert visit.page.evaluate(below) < 2
        assert visit.page.locator("#jump").is_hidden()


def test_big_captions_fill_the_screen_and_escape_leaves_them(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        visit.page.keyboard.press(" ")
        visit.see("#captions", "w3")
        visit.page.keyboard.press("b")
        visit.wait_until("document.getElementById('stage').clientWidth === innerWidth")
        size = float(visit.page.evaluate("parseFloat(getComputedStyle(captions).fontSize)"))
        assert size > 60
        assert visit.page.evaluate("captions.clientHeight") <= 3.2 * 1.24 * size
        opacity = "Number(getComputedStyle(document.getElementById('leave-big')).opacity)"
        visit.page.mouse.move(300, 300)
        visit.wait_until(f"{opacity} > 0.9")
        visit.wait_until(f"{opacity} < 0.1 && getComputedStyle(stage).cursor === 'none'")
        visit.page.keyboard.press("Escape")
        visit.wait_until("document.getElementById('stage').clientWidth < innerWidth")


@pytest.mark.parametrize(("scheme", "is_dark"), [("dark", True), ("light", False)])
def test_the_theme_is_the_systems_until_one_is_chosen(
    server: RunningServer, browser: Any, scheme: str, is_dark: bool
) -> None:
    with Visit(browser, server.url, color_scheme=scheme) as visit:
        assert (_lightness(visit) < 60) is is_dark
        visit.page.click("#theme")
        assert _lightness(visit) > 200
        visit.page.click("#theme")
        assert _lightness(visit) < 60
        visit.page.reload()
        assert _lightness(visit) < 60


@pytest.mark.parametrize("width", [320, 360, 412, 768, 1024, 1920])
def test_no_width_scrolls_sideways(server: RunningServer, browser: Any, width: int) -> None:
    with Visit(browser, server.url, viewport={"width": width, "height": 740}) as visit:
        for state in ("Ready", "Retry in 15 s"):
            visit.page.evaluate("(text) => { document.getElementById('state').textContent = text }", state)
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
            for button in ("#open-settings", "#start"):
                box = visit.page.locator(button).bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [360, 1280])
def test_no_control_hides_another_while_a_recording_can_be_played(
    server: RunningServer, browser: Any, fixtures: Path, width: int
) -> None:
    with Visit(browser, server.url, viewport={"width": width, "height": 740}) as visit:
        visit.page.set_input_files("#file", fixtures / "letter.flac")
        visit.wait_for_lines(1)
        visit.wait_for_state("idle")
        visit.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert visit.download("[data-format=txt]").split("\n")[:-1] == visit.lines
        visit.page.click("#clear")
        toast, dock = (visit.page.locator(name).bounding_box() for name in ("#toast", ".dock"))
        assert toast["y"] + toast["height"] <= dock["y"]


def test_everything_can_be_reached_with_the_keyboard(server: RunningServer, browser: Any) -> None:
    with Visit(browser, server.url) as visit:
        seen = set()
        for _ in range(14):
            visit.page.keyboard.press("Tab")
            seen.add(visit.page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"open-big", "theme", "open-help", "open-settings", "source", "start", "search", "scroller"} <= seen
        visit.page.keyboard.press("?")
        visit.page.locator("#help[open]").wait_for()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious(server: RunningServer, browser: Any, fixtures: Path, scheme: str) -> None:
    with Visit(browser, server.url, color_scheme=scheme, bypass_csp=True) as visit:
        assert axe_violations(visit) == []
        visit.page.keyboard.press("s")
        assert axe_violations(visit) == []
        visit.page.click("#settings [data-close]")
        visit.page.keyboard.press(" ")
        visit.see("#captions .open", "w2")
        assert axe_violations(visit) == []
        visit.page.keyboard.press("b")
        assert axe_violations(visit) == []


def _lightness(visit: Visit) -> int:
    colour = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(colour.removeprefix("rgb(").split(",")[0])


def _words(line: str) -> int:
    """How many; they must be `w0 w1 w2 …`, without a gap or a repetition."""
    words = line.split()
    assert words == [f"w{n}" for n in range(len(words))]
    return len(words)
