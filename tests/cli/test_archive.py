"""`steno archive`, with real recordings and the scripted recogniser: interruptions, changes, failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from command_line import run_command
from recordings import wav
from running import PATIENCE_S, TLS, RunningServer, until
from steno.archive.work_log import WORK_LOG
from steno.audio.decode import decode
from steno.types import SAMPLE_RATE

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms"}
STAGES = ("probe", "audio", "pieces", "transcript", "words")


def archive(*words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return run_command("archive", *words, environment={**SCRIPTED, **settings})


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(archive("status", "--json", "-a", folder).stdout)
    return found


def recordings(folder: Path, sentence: Path, count: int, seconds: float) -> Path:
    """Recordings that differ in their length, each with sentences and pauses."""
    speech = np.concatenate([*decode(sentence, max_seconds=None), np.zeros(SAMPLE_RATE, "f4")])
    folder.mkdir()
    for number in range(count):
        audio = np.resize(speech, round(seconds * SAMPLE_RATE) + 160 * number)
        (folder / f"vod{number:03}.wav").write_bytes(wav(audio))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that may be deleted."""
    files = (path for path in folder.rglob("*") if path.is_file() and "work" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "lock"}


def killed_in_the_middle(folder: Path, pieces: int, model: dict[str, str]) -> None:
    """A run that gets a SIGKILL once so many pieces were recognised."""
    command = [sys.executable, "-m", "steno", "archive", "run", "-a", folder, "-q"]
    run = subprocess.Popen(command, env={**SCRIPTED, **model})
    try:
        until(lambda: status(folder)["computed_pieces"].get("transcript", 0) >= pieces)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait(10)


def lose_last_lines(folder: Path) -> None:
    """What a SIGKILL between a piece's result and its line in the log leaves."""
    for path in folder.rglob(WORK_LOG):
        *before, last = path.read_bytes().splitlines(keepends=True)
        _, _, piece, *_ = json.loads(last)
        if piece is not None:
            path.write_bytes(b"".join(before))


@pytest.mark.parametrize(
    ("count", "seconds", "kills", "step"),
    [(12, 40.0, 1, "20ms"), pytest.param(80, 30.0, 5, "5ms", marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_a_run_that_was_killed_is_continued_and_computes_nothing_twice(
    fixtures: Path, tmp_path: Path, count: int, seconds: float, kills: int, step: str
) -> None:
    vods = recordings(tmp_path / "vods", fixtures / "weather.flac", count, seconds)
    once, twice = tmp_path / "once", tmp_path / "twice"
    for folder in (once, twice):
        assert archive("add", vods, "-a", folder).returncode == 0
    model = {"MODEL_ID": f"scripted@{step}"}
    assert archive("run", "-a", once, **model).returncode == 0
    pieces = [json.loads(path.read_text())["pieces"] for path in once.rglob("pieces-*.json")]
    spoken = sum(piece["speech"] is not None for piece in chain(*pieces))
    for kill in range(kills):
        killed_in_the_middle(twice, spoken * (kill + 1) // (kills + 3), model)
        assert 0 < status(twice)["done"]["words"] < count
        lose_last_lines(twice)
    assert archive("run", "-a", twice, **model).returncode == 0
    assert contents(once) == contents(twice)
    for folder in (once, twice):
        found = status(folder)
        assert found["seconds"]["audio"]["decode"] > 0
        assert found["seconds"]["transcript"]["recognize"] > 0
        assert found["computed"] == dict.fromkeys(STAGES, count)
        assert found["computed_pieces"] == {"transcript": spoken}
        assert found["repeated"] == 0
        assert archive("verify", "-a", folder).returncode == 0
    changed = sorted(vods.iterdir())[: count // 2 if count < 20 else 10]
    for path in changed:
        path.write_bytes(wav(np.resize(next(decode(path, max_seconds=None)), 50 * SAMPLE_RATE)))
    again = archive("run", "-a", twice, **model)
    assert again.returncode == 0
    found = status(twice)
    assert found["computed"] == dict.fromkeys(STAGES, count + len(changed))
    assert found["repeated"] == 0
    assert f"known: probe {count - len(changed)}, " in again.stderr


def test_only_what_depends_on_a_change_is_computed_again_and_earlier_results_are_kept(
    fixtures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    (talk,) = archive("add", fixtures / "weather.flac", "-a", folder).stdout.split()
    assert archive("run", "-a", folder).returncode == 0
    before = contents(folder)
    german = archive("run", "-a", folder, "--language", "German")
    assert "computed: transcript 1, words 1; known: probe 1, audio 1, pieces 1" in german.stderr
    results = f"recordings/{talk}/"
    kept = {name: data for name, data in contents(folder).items() if name in before}
    assert {name for name in before if kept[name] != before[name]} == {"archive.json", f"{results}manifest.json"}
    remembered = archive("run", "-a", folder)
    assert "computed: nothing" in remembered.stderr
    detected = archive("run", "-a", folder, "--language", "auto")
    assert "computed: nothing" in detected.stderr
    manifest = json.loads((folder / results / "manifest.json").read_text())
    assert [result["options"] for result in manifest["results"] if result["stage"] == "transcript"] == [
        {"language": None},
        {"language": "de"},
    ]
    words = next(name for name in contents(folder) if "words-" + manifest["current"]["words"] in name)
    assert json.loads((folder / words).read_text())["language"] == "en"


def test_an_unknown_language_is_refused_and_not_remembered(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive("add", fixtures / "letter.flac", "-a", folder)
    before = (folder / "archive.json").read_bytes()
    refused = archive("run", "-a", folder, "--language", "klingon")
    assert (refused.returncode, "'klingon' is not a known" in refused.stderr) == (1, True)
    assert (folder / "archive.json").read_bytes() == before
    assert archive("run", "-a", folder).returncode == 0


def test_a_recording_that_fails_stops_no_other_and_is_listed_at_the_end(fixtures: Path, tmp_path: Path) -> None:
    folder, broken = tmp_path / "archive", tmp_path / "broken.mp3"
    broken.write_text("this is no audio")
    gone = tmp_path / "gone.wav"
    gone.write_bytes(b"RIFF")
    assert archive("add", broken, gone, fixtures / "letter.flac", "-a", folder).returncode == 0
    gone.unlink()
    ended = archive("run", "-a", folder)
    assert ended.returncode == 1
    assert "1 of 3 recordings up to date" in ended.stderr
    *_, first, second = ended.stderr.splitlines()
    assert first.startswith("steno: broken-")
    assert "not an audio file" in first
    assert second.startswith("steno: gone-")
    assert "gone.wav: No such file or directory" in second
    assert status(folder)["done"]["words"] == 1


def test_one_stage_alone_needs_those_before_it(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive("add", fixtures / "letter.flac", "-a", folder)
    early = archive("run", "--only", "pieces", "-a", folder)
    assert early.returncode == 1
    assert "the stage audio was not run yet" in early.stderr
    for stage in ("audio", "pieces"):
        assert archive("run", "--only", stage, "-a", folder).returncode == 0
    assert {stage for stage, done in status(folder)["done"].items() if done} == {"audio", "pieces"}


def test_ctrl_c_leaves_an_archive_that_continues(fixtures: Path, tmp_path: Path) -> None:
    vods = recordings(tmp_path / "vods", fixtures / "weather.flac", 4, 40.0)
    folder = tmp_path / "archive"
    archive("add", vods, "-a", folder)
    command = [sys.executable, "-m", "steno", "archive", "run", "-a", folder, "-j", "1"]
    environment = {**SCRIPTED, "MODEL_ID": "scripted@20ms"}
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    until(lambda: status(folder)["computed_pieces"].get("transcript", 0) >= 1)
    run.send_signal(signal.SIGINT)
    assert "interrupted; repeat the command to continue" in run.communicate(timeout=30)[1]
    assert run.returncode == 130
    assert [name for name in contents(folder) if "/." in name] == []
    assert archive("verify", "-a", folder).returncode == 0
    assert archive("run", "-a", folder, MODEL_ID="scripted@1ms").returncode == 0
    assert status(folder)["computed"] == dict.fromkeys(STAGES, 4)


def test_a_server_recognises_the_pieces(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    (talk,) = archive("add", fixtures / "letter.flac", "-a", folder).stdout.split()
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="k") as server:
        ended = archive("run", "-a", folder, "--url", server.url, "--api-key", "k", ASR_BACKEND="sphinx")
        assert ended.returncode == 0, ended.stderr
    manifest = json.loads((folder / "recordings" / talk / "manifest.json").read_text())
    (words,) = (folder / "recordings" / talk).glob("words-*.json")
    assert json.loads(words.read_text())["text"] == "w0 w1 w2 w3 w4 w5 w6"
    assert manifest["results"][-1]["stage"] == "words"
    seconds = status(folder)["seconds"]
    assert 0 < seconds["transcript"]["recognize"] <= seconds["transcript"]["total"]
    assert [each["model"] for each in manifest["results"] if each["stage"] == "transcript"] == [
        {"backend": "scripted", "id": "scripted", "revision": None}
    ]
    here = archive("run", "-a", folder, ASR_BACKEND="scripted", MODEL_ID="scripted")
    assert "computed: nothing" in here.stderr


def test_a_copy_is_worked_on_when_the_file_is_gone(fixtures: Path, tmp_path: Path) -> None:
    folder, talk = tmp_path / "archive", tmp_path / "talk.flac"
    talk.write_bytes((fixtures / "letter.flac").read_bytes())
    assert archive("add", talk, "--copy", "-a", folder).returncode == 0
    talk.unlink()
    assert archive("run", "-a", folder).returncode == 0
    assert archive("verify", "-a", folder).returncode == 0


def test_the_rest_is_computed_where_the_recordings_are_not(fixtures: Path, tmp_path: Path) -> None:
    folder, talk = tmp_path / "archive", tmp_path / "talk.flac"
    talk.write_bytes((fixtures / "letter.flac").read_bytes())
    archive("add", talk, "-a", folder)
    assert archive("run", "--only", "audio", "-a", folder).returncode == 0
    talk.unlink()
    rest = archive("run", "-a", folder)
    assert rest.returncode == 0, rest.stderr
    assert rest.stderr.count("talk.flac is missing") == 1
    assert "computed: pieces 1, transcript 1, words 1; known: audio 1" in rest.stderr
    track = archive("run", "--track", "1", "-a", folder)
    assert track.returncode == 1, "the audio would have to be decoded again"


def test_what_cannot_be_added_is_refused(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    missing = archive("add", tmp_path / "no.wav", "-a", folder)
    assert (missing.returncode, missing.stderr.count("no such file")) == (2, 1)
    chat = archive("add", fixtures / "letter.flac", fixtures / "train.flac", "--chat", __file__, "-a", folder)
    assert (chat.returncode, folder.exists()) == (2, False)
    assert archive("add", "https://example.org/a.mp3", "--copy", "-a", folder).returncode == 2
    assert archive("status", "-a", folder).returncode == 1


def test_urls_are_fetched_as_the_settings_allow(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive("add", "http://127.0.0.1:9/talk.mp3", "-a", folder)
    refused = archive("run", "-a", folder)
    assert refused.returncode == 1
    assert "scheme 'http' are not allowed" in refused.stderr


def test_a_chat_log_is_read_with_its_recording(fixtures: Path, tmp_path: Path) -> None:
    folder, chat = tmp_path / "archive", tmp_path / "chat.jsonl"
    lines = [{"time": n * 0.5, "author": "kim", "text": f"message {n}"} for n in (2, 0, 1)]
    chat.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (talk,) = archive("add", fixtures / "letter.flac", "--chat", chat, "-a", folder).stdout.split()
    assert archive("run", "-a", folder).returncode == 0
    (result,) = (folder / "recordings" / talk).glob("chat-*.json")
    messages = json.loads(result.read_text())["messages"]
    assert [(each["time_s"], each["text"]) for each in messages] == [(n * 0.5, f"message {n}") for n in range(3)]
    chat.write_text("nothing that is a message\n")
    broken = archive("run", "-a", folder)
    assert broken.returncode == 1
    assert "has no chat message" in broken.stderr
    assert status(folder)["done"]["words"] == 1


def test_the_review_is_served_until_ctrl_c(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    archive("add", fixtures / "letter.flac", "-a", folder)
    archive("run", "-a", folder)
    command = [sys.executable, "-m", "steno", "archive", "review", folder, "--port", "0"]
    served = subprocess.Popen(command, env=SCRIPTED, stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        said = served.stdout.readline()
        url = said.split()[4]
        assert url.endswith("/archive")
        assert "<title>steno · archive</title>" in httpx.get(url, timeout=PATIENCE_S, verify=TLS).text
        listed = httpx.get(url.replace("/archive", "/v1/archive"), timeout=PATIENCE_S, verify=TLS).json()["data"]
        assert [each["segments"] for each in listed] == [1]
    finally:
        served.send_signal(signal.SIGINT)
        served.communicate(timeout=PATIENCE_S)
    nothing = archive("review", tmp_path / "nothing")
    assert (nothing.returncode, "is not an archive" in nothing.stderr) == (2, True)


def test_a_result_that_no_manifest_has_yet_is_not_computed_again(fixtures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    (talk,) = archive("add", fixtures / "letter.flac", "-a", folder).stdout.split()
    before = (folder / "recordings" / talk / "manifest.json").read_bytes()
    archive("run", "-a", folder)
    done = contents(folder)
    (folder / "recordings" / talk / "manifest.json").write_bytes(before)  # as after a SIGKILL, but for all stages
    assert archive("run", "-a", folder).returncode == 0
    assert contents(folder) == done
    found = status(folder)
    assert (found["computed"], found["repeated"]) == (dict.fromkeys(STAGES, 1), 0)
