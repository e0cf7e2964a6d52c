"""The dataset `chat-sft` of an archive, through the command line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from archive.test_chat_dataset import digests
from command_line import run_command
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.archive_review import ArchiveReview
from steno.archive.dataset.chat_sft_export import SALT_FILE
from steno.archive.manifest import ClockAnchor


def steno(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("archive", *words, "-a", folder, environment=dict(os.environ))


@pytest.fixture(scope="module")
def archive(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> ArchiveFolder:
    """A recording with a chat whose clock is 100 s late, which somebody has seen."""
    parent = tmp_path_factory.mktemp("chat")
    folder, chat = parent / "archive", parent / "chat.txt"
    chat.write_text(
        "[1:43] ada: a letter to whom\n[1:43] Nightbot: hi\n[1:44] bob: !discord\n[1:44] bob: bye @ada\n",
        encoding="utf-8",
    )
    assert steno(folder, "add", fixtures / "letter.flac", "--chat", chat).returncode == 0
    assert steno(folder, "run").returncode == 0
    return ArchiveFolder.open(folder)


def test_a_chat_without_a_clock_is_left_out_and_then_exported_by_anchors(
    archive: ArchiveFolder, tmp_path: Path
) -> None:
    (name,) = archive.ids()
    refused = steno(archive.path, "export", "-f", "chat-sft", "-o", tmp_path / "none")
    assert refused.returncode == 1
    assert f"steno: {name}: its chat's clock was not found; use steno archive review" in refused.stderr

    ArchiveReview(archive).set_anchors(name, [ClockAnchor(chat_s=103.0, recording_s=2.0)], "kim")
    first = steno(archive.path, "export", "-f", "chat-sft", "-o", tmp_path / "one", "--seed", "3")
    assert first.returncode == 0, first.stderr
    assert "2 examples of 4 messages in 1 recordings; left out: 1 bot, 1 command" in first.stdout + first.stderr
    lines = "".join((tmp_path / "one" / f"{split}.jsonl").read_text() for split in ("train", "validation", "test"))
    one, two = map(json.loads, lines.splitlines())
    assert (one["time_s"], one["messages"][2]) == (2.0, {"role": "assistant", "content": "a letter to whom"})
    assert "Please send this letter" in one["messages"][1]["content"]
    assert two["messages"][2]["content"] == "bye @viewer"
    assert "viewer 2: a letter to whom" in two["messages"][1]["content"]
    assert "ada" not in json.dumps([one["messages"], two["messages"]]), "an id of random digits may contain it"

    salt = archive.path / SALT_FILE
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert not any(
        salt.read_bytes().strip() in path.read_bytes() for path in (tmp_path / "one").iterdir() if path.is_file()
    )
    again = ("--parameters", tmp_path / "one" / "dataset.json")
    assert steno(archive.path, "export", "-f", "chat-sft", "-o", tmp_path / "two", *again).returncode == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert steno(archive.path, "verify").returncode == 0


def test_parameters_that_are_not_valid_are_refused(archive: ArchiveFolder, tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.json"
    for content, message in (
        ('{"seed": "x"}', "seed: Input should be a valid integer"),
        ('{"sede": 1}', "sede: Extra inputs are not permitted"),
        ("[1]", "is not a JSON object with parameters"),
        ("{", "Expecting property name"),
    ):
        parameters.write_text(content, encoding="utf-8")
        refused = steno(archive.path, "export", "-f", "chat-sft", "-o", tmp_path, "--parameters", parameters)
        assert refused.returncode == 2
        assert message in refused.stderr
