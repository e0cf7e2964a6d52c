"""Chromium on the page: a recording is its microphone, and what it says and asks for is kept."""

from __future__ import annotations

import base64
import os
import shutil
import wave
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from talking import BYTES_PER_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE_MS = 90_000
POLL_MS = 50
AXE = [
    Path(os.environ.get("AXE_PATH", "node_modules/axe-core/axe.min.js")),
    *(
        Path(folder) / "axe.min.js"
        for folder in getattr(find_spec("axe_playwright_python"), "submodule_search_locations", ())
    ),
]
"""From npm, or from a Python package that brings the same file."""


def microphone(path: Path, pcm: bytes) -> Path:
    """A WAV for the fake microphone: its first 150 ms are lost, and its end is repeated."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(BYTES_PER_S // 2)
        file.writeframes(bytes(BYTES_PER_S) + pcm + bytes(2 * BYTES_PER_S))
    return path


def chromium(hears: Path) -> AbstractContextManager[Any]:
    """A browser whose microphone plays the file once, from the moment it is opened."""
    return _launched(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={hears}%noloop",
    )


def chromium_that_shares(title: str) -> AbstractContextManager[Any]:
    """A browser that, when it is asked for a tab, shares the one with this title, sound included."""
    return _launched(
        f"--auto-select-tab-capture-source-by-title={title}",
        "--autoplay-policy=no-user-gesture-required",
        unless="--mute-audio",
    )


@contextmanager
def _launched(*arguments: str, unless: str = "") -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", *arguments],
            timeout=PATIENCE_MS,
            ignore_default_args=[unless] if unless else [],
        )
        yield browser
        browser.close()


class Visit:
    """The page, opened. `problems` are its console's errors, its exceptions and every request to somewhere else."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self.another_page()
        self.problems: list[str] = []
        self._origin = urlsplit(url).netloc
        self.page.on("console", self._said)
        self.page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url))
        self.page.goto(url)
        self.wait_until("document.getElementById('about').textContent !== ''")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def another_page(self) -> Any:
        return self._context.new_page()

    def see(self, selector: str, text: str) -> None:
        """Wait until it shows."""
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def wait_until(self, condition: str) -> None:
        """Ask from here: a page that polls for itself needs `eval`, which this one's policy forbids."""
        for _ in range(PATIENCE_MS // POLL_MS):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(POLL_MS)
        raise AssertionError(f"it never happened: {condition}")

    def wait_for_state(self, state: str) -> None:
        self.page.locator(f"#state[data-state={state}]").wait_for()

    def wait_for_lines(self, count: int) -> None:
        self.page.locator("#lines li").nth(count - 1).wait_for()

    @property
    def lines(self) -> list[str]:
        return list(self.page.locator("#lines .said").all_text_contents())

    def drag(self, event: str, file: Path) -> None:
        """A `dragover` (`over`) or `drop` of a file, as a desktop does it."""
        made = """([name, data]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
            return transfer;
        }"""
        data = base64.b64encode(file.read_bytes()).decode()
        transfer = self.page.evaluate_handle(made, [file.name, data])
        name = {"over": "dragover", "drop": "drop"}[event]
        self.page.dispatch_event("#stage", name, {"dataTransfer": transfer})

    def download(self, press: str) -> str:
        with self.page.expect_download() as download:
            self.page.keyboard.press(press) if len(press) == 1 else self.page.click(press)
        return Path(download.value.path()).read_text(encoding="utf-8")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._origin:
            self.problems.append(f"asked {url}")


def axe_violations(visit: Visit) -> list[str]:
    """What axe-core finds serious. The visit needs `bypass_csp`."""
    axe = next((path for path in AXE if path.is_file()), None)
    if axe is None:
        pytest.skip(f"axe-core is not installed: no {AXE[0]}")
    if not visit.page.evaluate("'axe' in window"):
        visit.page.add_script_tag(path=axe)
    visit.page.wait_for_timeout(300)  # transitions end
    found = visit.page.evaluate("axe.run().then(({violations}) => violations)")
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
