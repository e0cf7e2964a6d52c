"""The documentation as a site, `make site`: it builds, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The links, parts and anchors of an HTML file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if tag in ("script", "img", "iframe") and "src" in values:
            self.loaded.add(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.add(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make site` does, elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor_in_it(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.exists() or (parts.fragment and known and unquote(parts.fragment) not in known.anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


@pytest.mark.slow
def test_pages_load_nothing_from_other_sites(pages: dict[Path, Page]) -> None:
    assert {part for page in pages.values() for part in page.loaded if urlsplit(part).netloc} == set()


@pytest.mark.slow
def test_the_references_have_all_routes_and_messages(site: Path) -> None:
    http = (site / "reference" / "http.html").read_text(encoding="utf-8")
    for route in ("/v1/audio/transcriptions", "/v1/jobs", "/v1/audio/alignments", "/health"):
        assert route in http
    live = (site / "reference" / "live.html").read_text(encoding="utf-8")
    for told in ("buffer_size", "conversation.item.input_audio_transcription.completed", "UtteranceEnd"):
        assert told in live


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda found: found[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def links() -> Iterator[tuple[Path, str]]:
    """Links of the Markdown files, as GitHub shows them."""
    top = ("README.md", "LEARNING_LOG.md", "improvements.md", "benchmarks/README.md")
    for page in [*(ROOT / name for name in top), *(ROOT / "docs").glob("*.md")]:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            yield page, target


def test_every_link_of_the_markdown_files_leads_to_a_file_and_a_heading_in_it() -> None:
    broken = []
    for page, link in links():
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        target = page.parent / path if path else page
        if not target.exists():
            broken.append(f"{page.name}: {link}")
        elif anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            if anchor not in map(slug, headings):
                broken.append(f"{page.name}: {link}")
    assert broken == []
