"""AsyncAPI's own parser accepts `docs/asyncapi.yaml`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CLIENTS = Path(os.environ.get("STENO_CLIENTS", ".venv-clients"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
PARSE = """
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, path, message } of diagnostics) if (severity === 0) console.log(path.join("."), message);
process.exit(document ? 0 : 1);
"""


def test_the_document_is_valid(tmp_path: Path) -> None:
    script = tmp_path / "parse.mjs"
    script.write_text(PARSE, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to((CLIENTS / "node_modules").resolve())
    command = [CLIENTS / "bin" / "node", "--preserve-symlinks-main", script, DOCUMENT]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
