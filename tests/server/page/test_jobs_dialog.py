"""The page's list of stored jobs: Chromium and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recordings import repeated
from running import RunningServer, until
from server.page.browser import Visit, axe_violations, chromium, microphone
from steno.client import Client
from talking import BYTES_PER_S

pytestmark = pytest.mark.slow  # a browser, which not every machine has

SLOW = {"ASR_BACKEND": "scripted", "WORKERS": "1", "MODEL_ID": "scripted@50ms", "CONCURRENT_JOBS": "1"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(microphone(tmp_path_factory.mktemp("microphone") / "said.wav", bytes(BYTES_PER_S))) as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(JOBS_DB=str(tmp_path / "jobs.db"), **SLOW) as server:
        yield server


@pytest.fixture(scope="module")
def talk(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recordings") / "talk.wav"
    file.write_bytes(repeated(fixtures / "weather.flac", 40))
    return file


def filled(client: Client, fixtures: Path, folder: Path, talk: Path) -> dict[str, str]:
    """A job in each state, by state."""
    (folder / "broken.mp3").write_text("this is no audio")
    made = {
        "succeeded": client.submit_job(fixtures / "letter.flac", "subtitles").id,
        "failed": client.submit_job(folder / "broken.mp3", "transcription").id,
    }
    for job in made.values():
        client.wait_for_job(job)
    made["running"] = client.submit_job(talk, "subtitles").id
    made["queued"] = client.submit_job(talk, "transcription").id
    until(lambda: client.job(made["running"]).time_left_s is not None)
    return made


def row(visit: Visit, job: str) -> Any:
    return visit.page.locator(f"#job-list li[data-id={job}]")


def test_jobs_are_shown_in_every_state_and_refreshed(
    server: RunningServer, browser: Any, fixtures: Path, tmp_path: Path, talk: Path
) -> None:
    with Client(server.url) as client, Visit(browser, server.url) as visit:
        made = filled(client, fixtures, tmp_path, talk)
        visit.page.keyboard.press("j")
        visit.see(f"[data-id={made['running']}] .job-facts", "left")
        assert visit.page.locator("#job-list li").count() == 4
        states = {name: row(visit, job).locator(".job-state").inner_text() for name, job in made.items()}
        assert states == {"succeeded": "Done", "failed": "Failed", "running": "Running", "queued": "Queued"}
        assert "not an audio file" in row(visit, made["failed"]).locator(".job-problem").inner_text()
        assert row(visit, made["running"]).locator(".job-name").inner_text() == "talk.wav"
        before = row(visit, made["running"]).locator("progress").get_attribute("value")
        assert 0 < float(before or 0) < 1
        visit.wait_until(f"document.querySelector('[data-id={made['running']}] progress').value > {before}")
        assert not row(visit, made["failed"]).locator("progress").is_visible()
        for job in (made["running"], made["queued"]):
            row(visit, job).get_by_role("button", name="Cancel talk.wav").click()
        visit.see(f"[data-id={made['queued']}] .job-state", "Cancelled")
        visit.see(f"[data-id={made['running']}] .job-state", "Cancelled")
        assert client.job(made["running"]).state == "cancelled"
        assert visit.problems == []


def test_a_result_is_downloaded_and_a_job_deleted(server: RunningServer, browser: Any, fixtures: Path) -> None:
    with Client(server.url) as client, Visit(browser, server.url) as visit:
        job = client.submit_job(fixtures / "letter.flac", "subtitles").id
        visit.page.click("#open-jobs")
        visit.see("#job-list .job-state", "Done")
        with visit.page.expect_download() as download:
            row(visit, job).get_by_role("button", name="Download the result of letter.flac").click()
        assert download.value.suggested_filename == "letter.srt"
        assert Path(download.value.path()).read_text() == client.job_result(job).text
        row(visit, job).get_by_role("button", name="Delete letter.flac").click()
        visit.see("#jobs-said", "There are no jobs")
        assert client.jobs() == []
        visit.page.keyboard.press("Escape")
        visit.page.locator("#jobs").wait_for(state="hidden")
        assert visit.problems == []


def test_a_server_that_is_gone_is_asked_again(browser: Any, fixtures: Path, tmp_path: Path) -> None:
    jobs = {"JOBS_DB": str(tmp_path / "jobs.db"), **SLOW}
    with RunningServer(**jobs) as first, Client(first.url) as client, Visit(browser, first.url) as visit:
        client.wait_for_job(client.submit_job(fixtures / "letter.flac", "subtitles").id)
        first.process.kill()
        first.process.wait()
        visit.page.click("#open-jobs")
        visit.see("#jobs-said", "The server does not respond. Trying again…")
        with RunningServer(PORT=first.url.rpartition(":")[2], **jobs):
            visit.see("#job-list .job-state", "Done")
            assert visit.page.locator("#jobs-said").inner_text() == ""


def test_the_key_of_the_settings_is_used(browser: Any, fixtures: Path, tmp_path: Path) -> None:
    with (
        RunningServer(JOBS_DB=str(tmp_path / "jobs.db"), API_KEYS="k,other", **SLOW) as server,
        Client(server.url, "k") as client,
        Visit(browser, server.url) as visit,
    ):
        client.submit_job(fixtures / "letter.flac", "subtitles")
        visit.page.click("#open-jobs")
        visit.see("#jobs-said", "This server wants an API key")
        visit.page.click("#jobs-said button")
        visit.page.fill("#key", "wrong")
        visit.page.click("#settings [data-close]")
        visit.see("#jobs-said", "The API key is not valid")
        for key, shown in (("other", "There are no jobs"), ("k", "")):
            visit.page.click("#jobs [data-close]")
            visit.page.click("#open-settings")
            visit.page.fill("#key", key)
            visit.page.click("#settings [data-close]")
            visit.page.click("#open-jobs")
            visit.see("#jobs-said" if shown else "#job-list .job-name", shown or "letter.flac")


def test_a_server_that_takes_no_jobs_offers_none(browser: Any) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server, Visit(browser, server.url) as visit:
        assert not visit.page.locator("#open-jobs").is_visible()
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("?")
        visit.page.locator("#help[open]").wait_for()
        assert not visit.page.locator("#jobs-help").is_visible()
        assert not visit.page.locator("#jobs").is_visible()
        assert visit.problems == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious_and_no_width_scrolls_sideways(
    server: RunningServer, browser: Any, fixtures: Path, tmp_path: Path, talk: Path, scheme: str
) -> None:
    with Client(server.url) as client, Visit(browser, server.url, color_scheme=scheme, bypass_csp=True) as visit:
        made = filled(client, fixtures, tmp_path, talk)
        visit.page.evaluate("() => { document.getElementById('state').textContent = 'Retry in 15 s' }")
        for width in (320, 360, 412, 768):
            visit.page.set_viewport_size({"width": width, "height": 740})
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.page.click("#open-jobs")
        visit.page.locator("#job-list li").nth(3).wait_for()
        for width in (320, 412, 1024):
            visit.page.set_viewport_size({"width": width, "height": 740})
            assert visit.page.evaluate("document.getElementById('jobs').scrollWidth") <= width - 24
            close = visit.page.locator("#jobs [data-close]").bounding_box()
            assert close["y"] + close["height"] <= 740
        assert axe_violations(visit) == []
        for job in (made["running"], made["queued"]):
            client.cancel_job(job)
