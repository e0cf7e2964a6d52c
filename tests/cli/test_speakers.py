"""`steno transcribe --diarize` and `steno live --diarize`, in this process and on a server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

import recordings
from command_line import run_command
from llm_server import LlmServer
from running import EMBEDDED, RunningServer
from steno.cli.live_view import json_of, text_of
from steno.client import Client, Final
from steno.types import Word


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    """A woman, a man, the woman again."""
    path = tmp_path_factory.mktemp("speakers") / "talk.wav"
    path.write_bytes(recordings.conversation(fixtures, "weather", "meeting", "doctor", longest_s=3.0))
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, SPEAKER_TIMEOUT="30") as server:
        yield server


def runs(labels: list[str]) -> list[str]:
    return [label for label, _ in groupby(labels)]


ENVIRONMENT = {**os.environ, "ASR_BACKEND": EMBEDDED, "SPEAKER_TIMEOUT": "30"}


def test_files_have_speakers(conversation: Path, tmp_path: Path) -> None:
    arguments = ("-f", "diarized_json,verbose_json,srt", "--speaker-labels", "name", "-d", tmp_path, "-q")
    ended = run_command("transcribe", conversation, *arguments, environment=ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr
    diarized = json.loads((tmp_path / "talk.diarized.json").read_text())
    assert runs([segment["speaker"] for segment in diarized["segments"]]) == ["A", "B", "A"]
    verbose = json.loads((tmp_path / "talk.verbose.json").read_text())
    assert runs([word["speaker"] for word in verbose["words"]]) == ["A", "B", "A"]
    srt = (tmp_path / "talk.srt").read_text()
    assert runs(re.findall(r"^([AB]): ", srt, re.MULTILINE)) == ["A", "B", "A"]


def test_a_result_is_made_again_with_speakers(conversation: Path, tmp_path: Path) -> None:
    arguments = ("transcribe", conversation, "-f", "srt", "-d", tmp_path, "-q")
    run_command(*arguments, environment=ENVIRONMENT)
    run_command(*arguments, "--diarize", "--speaker-labels", "name", environment=ENVIRONMENT)
    assert "A: " in (tmp_path / "talk.srt").read_text()


def test_translated_subtitles_have_room_for_their_speakers(conversation: Path, tmp_path: Path) -> None:
    with LlmServer() as llm:
        environment = {**ENVIRONMENT, "OPENAI_BASE_URL": llm.url, "TRANSLATE_MODEL": "any"}
        options = (
            "--diarize",
            "--speaker-labels",
            "name",
            "--max-line-chars",
            "30",
            "--max-lines",
            "3",
            "-d",
            tmp_path,
        )
        wanted = ("-f", "srt", "--translate-to", "fr", "-q", *options)
        run_command("transcribe", conversation, *wanted, environment=environment)
        translated = (tmp_path / "talk.fr.srt").read_text()
        run_command("transcribe", conversation, *wanted, "--bilingual", environment=environment)
        bilingual = (tmp_path / "talk.fr.srt").read_text()
    assert "(fr)" in translated
    assert max(map(len, translated.splitlines())) <= 30
    for text in (translated, bilingual):
        assert runs(re.findall(r"^([AB]): ", text, re.MULTILINE)) == ["A", "B", "A"]


def test_a_server_tells_them_to_the_command_and_to_the_client(conversation: Path, server: RunningServer) -> None:
    options = ("--url", server.url, "--diarize", "--num-speakers", "2", "-f", "diarized_json", "-q")
    ended = run_command("transcribe", conversation, *options, environment=ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert runs([segment["speaker"] for segment in found["segments"]]) == ["A", "B", "A"]
    with Client(server.url) as client:
        transcript = client.transcribe(conversation, diarize=True, max_speakers=1)
    assert {word.speaker for word in transcript.words} == {segment.speaker for segment in transcript.segments} == {"A"}


def test_live_lines_begin_with_their_speaker_and_json_has_it(conversation: Path, server: RunningServer) -> None:
    hurried = {**ENVIRONMENT, "SPEAKER_TIMEOUT": "0.001"}  # not with `--fast`
    ended = run_command("live", conversation, "--fast", "--diarize", "--max-speakers", "2", environment=hurried)
    assert ended.returncode == 0, ended.stderr
    assert runs([line[:3] for line in ended.stdout.splitlines()]) == ["A: ", "B: ", "A: "]
    options = ("--url", server.url, "--fast", "--diarize", "--json", "--words")
    told = run_command("live", conversation, *options, environment=ENVIRONMENT).stdout.splitlines()
    finals = [message for message in map(json.loads, told) if message["is_final"] and message["text"]]
    assert runs([final["speaker"] for final in finals]) == ["A", "B", "A"]
    assert runs([word["speaker"] for final in finals for word in final["words"]]) == ["A", "B", "A"]


def test_live_json_names_unknown_speakers_if_they_are_asked_for() -> None:
    word = Word("hello", 0.0, 0.5)
    final = Final(0, 0.0, 1.0, "hello", words=(word, replace(word, speaker="A")))
    asked = json.loads(json_of(final, words=True, speakers=True))
    assert (asked["speaker"], [word["speaker"] for word in asked["words"]]) == (None, [None, "A"])
    assert "speaker" not in json_of(replace(final, words=(word,)), words=True, speakers=False)


def test_a_live_line_of_an_unknown_speaker_does_not_seem_to_be_of_the_one_before() -> None:
    final = Final(0, 0.0, 1.0, "hello you", words=(Word("hello", 0.0, 0.5), Word("you", 0.5, 1.0)))
    assert text_of(final, speakers=True) == "?: hello you"
    assert text_of(final, speakers=False) == "hello you"
    partly = replace(final, speaker="A", words=(replace(final.words[0], speaker="A"), final.words[1]))
    assert text_of(partly, speakers=True) == "A: hello\n?: you"


@pytest.mark.parametrize(
    "options", [("--num-speakers", "2"), ("--diarize", "--num-speakers", "2", "--max-speakers", "3")]
)
def test_live_options_that_contradict_each_other_are_refused(fixtures: Path, options: tuple[str, ...]) -> None:
    ended = run_command("live", fixtures / "letter.flac", *options, environment=ENVIRONMENT)
    assert ended.returncode == 2
    assert "speakers" in ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num-speakers", "2"), "--num-speakers needs --diarize"),
        (("--speaker-labels", "name", "-f", "srt"), "--speaker-labels needs --diarize"),
        (("--diarize",), "text would not show the speakers; expected -f srt"),
        (("--diarize", "-f", "text,json"), "text and json would not show the speakers"),
        (("--diarize", "--num-speakers", "2", "--max-speakers", "3"), "--num-speakers excludes"),
        (("-f", "diarized_json", "--min-speakers", "3", "--max-speakers", "2"), "must be at most --max-speakers 2"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fixtures: Path, options: tuple[str, ...], message: str) -> None:
    ended = run_command("transcribe", fixtures / "letter.flac", *options, environment=ENVIRONMENT)
    assert ended.returncode == 2
    assert message in " ".join(ended.stderr.split())
