"""MkDocs hooks: the site has pages that are not in `docs/`, and links from there lead to files of the repository.

`README.md`, `LEARNING_LOG.md`, `improvements.md` and `benchmarks/README.md` become pages. The HTTP API's reference is
written from the server's OpenAPI schema, that of the live API from `asyncapi.yaml`. Other files of the repository that
a page links to are copied, so that no link leaves the site.
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import re
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "LEARNING_LOG.md": "decisions.md",
    "improvements.md": "improvements.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Files of the repository by path: their pages."""
COPIES = "files"
"""The folder of copied files."""
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)([^)]*\))")
NOT_RUN = re.compile(r"^( *)<!-- not run: (.*) -->$", re.M)
LANGUAGES = {".yml": "yaml", ".yaml": "yaml", ".json": "json", ".service": "ini", ".conf": "ini", ".env": "ini"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    schema = openapi_schema()
    files.append(File.generated(config, "reference/openapi.json", content=json.dumps(schema)))
    files.append(File.generated(config, "reference/http.md", content=http_reference(schema)))
    asyncapi = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
    files.append(File.generated(config, "reference/live.md", content=live_reference(asyncapi)))
    for path in sorted({path for file in files.documentation_pages() for path in linked_from(file)}):
        if not (path in PAGES or path.startswith("docs/")):
            files.append(File.generated(config, copy_of(path), content=shown(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri

    def rewritten(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        path = path_of(here, target)
        if path is None:
            return link[0]
        return before + posixpath.relpath(site_path(path), posixpath.dirname(here) or ".") + after

    return NOT_RUN.sub(r"\1<small>Not run by the tests: \2.</small>\n", LINK.sub(rewritten, markdown))


def linked_from(file: File) -> set[str]:
    """The files of the repository that a page links to."""
    links = (path_of(file.src_uri, target) for _, target, _ in LINK.findall(file.content_string))
    return {path for path in links if path is not None}


def path_of(page: str, target: str) -> str | None:
    """A link's path in the repository; None for other sites, for generated pages, and for files that do not exist."""
    if "://" in target or target.startswith(("mailto:", "/")) or page.startswith(("reference/", COPIES)):
        return None
    source = next((source for source, made in PAGES.items() if made == page), f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def site_path(path: str) -> str:
    """Where a file of the repository is in the site."""
    return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else copy_of(path))


def copy_of(path: str) -> str:
    return f"{COPIES}/{path}.md"


def shown(path: str) -> str:
    """A file as a page; a folder as one page with all its files."""
    found = ROOT / path
    files = sorted(each for each in found.rglob("*") if each.is_file()) if found.is_dir() else [found]
    parts = []
    for file in files:
        name = os.path.relpath(file, ROOT)
        language = LANGUAGES.get(file.suffix, "dockerfile" if file.name.startswith("Dockerfile") else "text")
        parts.append(f"## {name}\n\n````{language}\n{file.read_text(encoding='utf-8')}\n````\n")
    return f"# {path}\n\n" + "\n".join(parts)


def openapi_schema() -> dict[str, Any]:
    """The schema of a server with all its routes."""
    from loguru import logger

    from steno.server.app import create_app
    from steno.settings import Settings

    logger.disable("steno")
    return create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]


def http_reference(schema: dict[str, Any]) -> str:
    from openapidocs.mk.v3 import OpenAPIV3DocumentationHandler

    logging.getLogger("openapidocs").setLevel(logging.ERROR)
    return str(OpenAPIV3DocumentationHandler(schema, style="MKDOCS").write())


def live_reference(document: dict[str, Any]) -> str:
    """The AsyncAPI document as Markdown: each channel's messages, with their fields."""
    parts = [f"# {document['info']['title']}\n", document["info"]["description"]]
    parts.append("The document itself: [asyncapi.yaml](../asyncapi.yaml).\n")
    for name, channel in document["channels"].items():
        parts.append(f"## {channel['title']}: `{channel['address']}`\n\n{channel['description']}\n")
        parts.append(fields("Query", channel["bindings"]["ws"]["query"]))
        for action, heading in (("receive", "The client sends"), ("send", "The server sends")):
            operation = next(
                each
                for each in document["operations"].values()
                if each["action"] == action and each["channel"]["$ref"].endswith(f"/{name}")
            )
            parts.append(f"### {heading}\n")
            for reference in operation["messages"]:
                key = channel["messages"][reference["$ref"].rpartition("/")[2]]["$ref"].rpartition("/")[2]
                message = document["components"]["messages"][key]
                parts.append(f"**{message['title']}**: {message['summary']}\n")
                parts.append(fields("Field", message["payload"]))
    return "\n".join(parts)


def fields(title: str, schema: dict[str, Any]) -> str:
    """A table of an object's properties; nothing for other schemas."""
    if "properties" not in schema:
        return ""
    rows = [f"| {title} | Type | |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        known = field.get("enum") or ([field["const"]] if "const" in field else None)
        kind = " ".join(f"`{json.dumps(each)}`" for each in known) if known else " or ".join(kinds(field))
        optional = "" if name in schema.get("required", ()) or title == "Query" else "optional"
        default = f"default `{json.dumps(field['default'])}`" if "default" in field else ""
        rows.append(f"| `{name}` | {kind} | {', '.join(filter(None, (field.get('description'), optional, default)))} |")
    return "\n".join(rows) + "\n"


def kinds(field: dict[str, Any]) -> list[str]:
    kind = field.get("type", "any")
    return [str(each) for each in (kind if isinstance(kind, list) else [kind])]
