"""The sound of another tab. A module of its own, because its browser is another one."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from running import RunningServer
from server.page.browser import Visit, chromium_that_shares


@pytest.mark.slow  # a browser, which not every machine has
def test_a_tab_is_heard_until_it_is_closed(fixtures: Path) -> None:
    with (
        RunningServer(ASR_BACKEND="scripted") as server,
        chromium_that_shares("A talk") as browser,
        Visit(browser, server.url) as visit,
    ):
        tab = visit.another_page()
        tab.goto(f"{server.url}/health")
        tab.set_content("<title>A talk</title><audio id='talk' loop></audio>")
        talk = base64.b64encode((fixtures / "weather.flac").read_bytes()).decode()
        tab.evaluate(
            "(talk) => { window.talk.src = `data:audio/flac;base64,${talk}`; return window.talk.play(); }", talk
        )
        visit.page.bring_to_front()
        visit.page.click("#sources label:has([value=tab])")
        visit.see("#hello", "Caption what another tab plays")
        visit.page.click("#start")
        visit.see("#captions .open", "w0 w1 w2")
        tab.close()
        visit.see("#notices", "Sharing has ended")
        visit.wait_for_state("idle")
        assert visit.lines[0].startswith("w0 w1 w2")
