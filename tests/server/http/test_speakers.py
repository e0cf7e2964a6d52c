"""Speakers in recordings, over HTTP: OpenAI's SDK, Deepgram's shape, subtitles, jobs, and what is refused."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

import recordings
from recordings import wav
from running import EMBEDDED, TLS, RunningServer
from steno.audio.decode import decode

NAMES = ("weather", "market", "doctor", "meeting")
"""A woman and a man, in turn."""
TURN_S = 2.0
"""Two windows of the embedder: enough to tell voices apart."""
TRANSCRIPTIONS, SUBTITLES = "/v1/audio/transcriptions", "/v1/audio/subtitles"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    jobs = tmp_path_factory.mktemp("jobs") / "jobs.db"
    with RunningServer(ASR_BACKEND=EMBEDDED, JOBS_DB=str(jobs)) as server:
        yield server


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    path = tmp_path_factory.mktemp("speakers") / "conversation.wav"
    path.write_bytes(recordings.conversation(fixtures, *NAMES, longest_s=TURN_S))
    return path


def data_url(path: Path) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(path.read_bytes()).decode()}"


def wrapped(reference: str) -> str:
    """As the command `base64` writes it."""
    scheme, data = reference.split(",")
    return "\n".join([f"{scheme},", *re.findall(".{1,76}", data), ""])


def post(server: RunningServer, recording: Path, path: str = TRANSCRIPTIONS, **fields: Any) -> httpx.Response:
    with recording.open("rb") as file:
        return httpx.post(server.url + path, files={"file": file}, data=fields, timeout=120, verify=TLS)


def runs(labels: list[Any]) -> list[Any]:
    """Labels without repetition."""
    return [label for label, _ in groupby(labels)]


def test_openais_sdk_gets_segments_with_speakers(server: RunningServer, conversation: Path) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    with conversation.open("rb") as file:
        found = client.audio.transcriptions.create(
            file=file, model="whisper-1", response_format="diarized_json", chunking_strategy="auto"
        )
    assert type(found).__name__ == "TranscriptionDiarized"
    assert (found.task, found.usage.type) == ("transcribe", "duration")
    assert runs([segment.speaker for segment in found.segments]) == ["A", "B", "A", "B"]
    assert " ".join(segment.text for segment in found.segments) == found.text
    assert [segment.id for segment in found.segments] == [str(n) for n in range(len(found.segments))]


def test_known_speakers_are_named(server: RunningServer, conversation: Path, fixtures: Path) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    with conversation.open("rb") as file:
        found = client.audio.transcriptions.create(
            file=file,
            model="whisper-1",
            response_format="diarized_json",
            known_speaker_names=["Bo"],
            known_speaker_references=[wrapped(data_url(fixtures / "meeting.flac"))],
        )
    assert runs([segment.speaker for segment in found.segments]) == ["A", "Bo", "A", "Bo"]


def test_a_stream_ends_with_the_segments_and_their_speakers(server: RunningServer, conversation: Path) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    with conversation.open("rb") as file:
        events = list(
            client.audio.transcriptions.create(
                file=file, model="whisper-1", response_format="diarized_json", stream=True
            )
        )
    segments = [event for event in events if event.type == "transcript.text.segment"]
    assert runs([segment.speaker for segment in segments]) == ["A", "B", "A", "B"]
    text = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert text == events[-1].text == " ".join(segment.text for segment in segments)


def test_the_older_stream_has_speakers(server: RunningServer, conversation: Path) -> None:
    response = post(server, conversation, f"{TRANSCRIPTIONS}/stream", diarize="true")
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    assert runs([event["speaker"] for event in events[:-1]]) == ["A", "B", "A", "B"]
    assert [event["chunk_index"] for event in events[:-1]] == list(range(len(events) - 1))
    assert events[-1] == {"done": True}


def test_verbose_json_has_speakers_of_words_and_segments(server: RunningServer, conversation: Path) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    found = post(server, conversation, diarize="true", **fields).json()
    assert runs([segment["speaker"] for segment in found["segments"]]) == ["A", "B", "A", "B"]
    assert runs([word["speaker"] for word in found["words"]]) == ["A", "B", "A", "B"]
    assert found["timings"]["speakers"] > 0
    plain = post(server, conversation, **fields).json()
    assert plain["text"] == found["text"]
    assert all("speaker" not in word for word in (*plain["words"], *plain["segments"]))


def test_a_reference_may_be_ten_seconds_of_a_studio_recording(
    server: RunningServer, conversation: Path, fixtures: Path
) -> None:
    voice = np.concatenate([*decode(fixtures / f"{NAMES[1]}.flac", max_seconds=None)])
    seconds = 2 * 48_000 * 2 * 10 / (2 * 16_000)
    large = wav(np.concatenate([voice, np.zeros(round(16_000 * seconds) - len(voice), np.float32)]))
    assert len(large) > 1_900_000
    reference = f"data:audio/wav;base64,{base64.b64encode(large).decode()}"
    known = {"known_speaker_names[]": "Bo", "known_speaker_references[]": reference}
    response = post(server, conversation, response_format="diarized_json", **known)
    assert "Bo" in {segment["speaker"] for segment in response.raise_for_status().json()["segments"]}


def test_the_number_of_speakers_can_be_given(server: RunningServer, conversation: Path) -> None:
    found = post(server, conversation, response_format="diarized_json", num_speakers="1").json()
    assert {segment["speaker"] for segment in found["segments"]} == {"A"}
    found = post(server, conversation, response_format="diarized_json", min_speakers="3", max_speakers="3").json()
    assert {segment["speaker"] for segment in found["segments"]} == {"A", "B", "C"}


def test_subtitles_have_a_cue_for_each_speaker_and_webvtt_voice_tags(server: RunningServer, conversation: Path) -> None:
    named = post(server, conversation, SUBTITLES, diarize="true", speaker_labels="name").text
    blocks = [block.splitlines()[2:] for block in named.strip().split("\n\n")]
    assert all(lines[0].startswith(("A: ", "B: ")) for lines in blocks)
    assert runs([lines[0][0] for lines in blocks]) == ["A", "B", "A", "B"]
    voices = post(server, conversation, SUBTITLES, diarize="true", response_format="vtt", speaker_labels="name").text
    assert runs(re.findall("<v ([^>]*)>", voices)) == ["A", "B", "A", "B"]
    assert "A: " not in voices
    bare = post(server, conversation, SUBTITLES, diarize="true", speaker_labels="none").text
    assert "- " not in bare
    assert "A: " not in bare


def test_names_in_voice_tags_take_no_room_in_webvtt(server: RunningServer, conversation: Path, fixtures: Path) -> None:
    known = {
        "known_speaker_names[]": "Dr. Margaret Thompson-Smith",
        "known_speaker_references[]": data_url(fixtures / "meeting.flac"),
    }
    named, bare = (
        post(server, conversation, diarize="true", response_format="vtt", speaker_labels=labels, **known).text
        for labels in ("name", "none")
    )
    assert "<v Dr. Margaret Thompson-Smith>" in named
    assert re.sub("</?v[^>]*>", "", named) == bare


def test_deepgrams_answer_has_numbered_speakers(server: RunningServer, conversation: Path) -> None:
    response = httpx.post(
        f"{server.url}/v1/listen",
        params={"diarize": "true", "utterances": "true", "smart_format": "true"},
        content=conversation.read_bytes(),
        timeout=120,
        verify=TLS,
    )
    results = response.json()["results"]
    assert set(response.json()["metadata"]["diarize_info"]) == {"model_uuid", "arch"}
    alternative = results["channels"][0]["alternatives"][0]
    assert runs([word["speaker"] for word in alternative["words"]]) == [0, 1, 0, 1]
    assert all(0 < word["speaker_confidence"] <= 1 for word in alternative["words"])
    assert runs([utterance["speaker"] for utterance in results["utterances"]]) == [0, 1, 0, 1]
    assert all({word["speaker"] for word in each["words"]} == {each["speaker"]} for each in results["utterances"])
    assert runs([each["speaker"] for each in alternative["paragraphs"]["paragraphs"]]) == [0, 1, 0, 1]
    transcript = alternative["paragraphs"]["transcript"]
    assert transcript.startswith("\nSpeaker 0: ")
    assert re.findall(r"^Speaker (\d): \S", transcript, re.MULTILINE) == ["0", "1", "0", "1"]
    for utterance in results["utterances"]:
        sure = [word["confidence"] for word in utterance["words"]]
        assert utterance["confidence"] == pytest.approx(sum(sure) / len(sure), abs=0.001)


def test_a_job_tells_speakers(server: RunningServer, conversation: Path) -> None:
    with conversation.open("rb") as file:
        form = {"kind": "transcription", "response_format": "diarized_json", "num_speakers": "2"}
        job = httpx.post(f"{server.url}/v1/jobs", files={"file": file}, data=form, timeout=60, verify=TLS).json()
    url = f"{server.url}/v1/jobs/{job['id']}"
    httpx.get(f"{url}/events", timeout=120, verify=TLS)  # ends with the job
    found = httpx.get(f"{url}/result", timeout=60, verify=TLS).json()
    assert runs([segment["speaker"] for segment in found["segments"]]) == ["A", "B", "A", "B"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"num_speakers": "2"}, "num_speakers"),
        ({"speaker_labels": "name", "response_format": "srt"}, "speaker_labels"),
        ({"diarize": "true"}, "response_format"),
        ({"diarize": "true", "response_format": "text"}, "response_format"),
        ({"diarize": "false", "response_format": "diarized_json"}, "diarize"),
        ({"response_format": "diarized_json", "num_speakers": "0"}, "num_speakers"),
        ({"response_format": "diarized_json", "max_speakers": "21"}, "max_speakers"),
        ({"response_format": "diarized_json", "num_speakers": "2", "max_speakers": "3"}, "max_speakers"),
        ({"response_format": "diarized_json", "min_speakers": "3", "max_speakers": "2"}, "min_speakers"),
        ({"response_format": "srt", "diarize": "true", "speaker_labels": "colour"}, "speaker_labels"),
        ({"response_format": "diarized_json", "known_speaker_names[]": "Bo"}, "known_speaker_references[]"),
        ({"known_speaker_names[]": "Bo", "known_speaker_references[]": "data:audio/wav;base64,AAAA"},
         "known_speaker_names[]"),
        ({"response_format": "diarized_json", "known_speaker_names[]": "Bo", "known_speaker_references[]": "http://x"},
         "known_speaker_references[]"),
        ({"response_format": "diarized_json", "known_speaker_names[]": "Bo",
          "known_speaker_references[]": "data:audio/wav;base64,AAAA"}, "known_speaker_references[]"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(
    server: RunningServer, fixtures: Path, fields: dict[str, str], param: str
) -> None:
    response = post(server, fixtures / "letter.flac", **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (SUBTITLES, {"diarize": "true", "known_speaker_names[]": "Bo"}, "known_speaker_names[]"),
        ("/v1/audio/alignments", {"text": "dear sir", "diarize": "true"}, "diarize"),
        ("/v1/jobs", {"kind": "alignment", "text": "dear sir", "diarize": "true"}, "diarize"),
        ("/v1/jobs", {"kind": "translation", "diarize": "true"}, "diarize"),
        ("/v1/jobs", {"kind": "subtitles", "known_speaker_names[]": "Bo"}, "known_speaker_names[]"),
    ],
)
def test_speakers_are_refused_by_name_where_they_are_not_supported(
    server: RunningServer, fixtures: Path, path: str, fields: dict[str, str], param: str
) -> None:
    response = post(server, fixtures / "letter.flac", path, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_feature", param)
    assert param in error["message"]


def test_a_recording_without_speech_has_no_segments(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "silence.wav").write_bytes(wav(np.zeros(32_000, np.float32)))
    found = post(server, tmp_path / "silence.wav", response_format="diarized_json").json()
    assert (found["segments"], found["text"]) == ([], "")
