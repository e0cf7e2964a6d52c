"""OpenAI's own SDK against a running server with the embedded recogniser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest

from recordings import wav
from running import EMBEDDED, RunningServer
from speech import word_error_rate
from steno.audio.decode import decode
from steno.server.http.timings_json import ResultTimings

MODEL = {"moonshine": "moonshine-tiny-en", "sphinx": "pocketsphinx-en-us"}[EMBEDDED]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, API_KEYS="right,also-right") as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="right", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def half_a_minute(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("speech") / "half.wav"
    file.write_bytes(wav(np.concatenate(list(decode(fixtures / "address.opus", max_seconds=None)))[: 30 * 16_000]))
    return file


def test_json_has_the_text_that_was_spoken(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(model="whisper-1", file=fixtures / "weather.flac")
    assert word_error_rate("weather.flac", answer.text) <= 0.25
    assert answer.usage is not None
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == 5


def test_text_comes_as_a_string(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=fixtures / "letter.flac", response_format="text"
    )
    assert isinstance(answer, str)
    assert word_error_rate("letter.flac", answer) <= 0.25


def test_verbose_json_has_words_and_segments_in_order_and_inside_the_audio(
    client: openai.OpenAI, half_a_minute: Path
) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-1",
        file=half_a_minute,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
        temperature=0,
        prompt="a speech",
    )
    assert answer.words is not None
    assert answer.segments is not None
    assert answer.language == "english"
    assert float(answer.duration) == pytest.approx(30)
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= float(answer.duration)
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
    assert len(answer.segments) > 3
    assert " ".join(segment.text for segment in answer.segments) == answer.text
    assert " ".join(word.word for word in answer.words) == answer.text
    timings = ResultTimings.model_validate(answer.model_extra["timings"])  # type: ignore[index]
    assert timings.recognize > 0
    assert max(timings.decode, timings.write) < timings.total
    assert timings.real_time_factor == pytest.approx(timings.total / 30, rel=0.01)
    assert timings.peak_memory_mb is not None
    assert timings.peak_memory_mb > 30


def test_a_stream_has_deltas_that_add_up_and_arrives_before_the_end_is_recognised(
    client: openai.OpenAI, half_a_minute: Path
) -> None:
    stream = client.audio.transcriptions.create(model="whisper-1", file=half_a_minute, stream=True)
    deltas, kinds = "", []
    with stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "transcript.text.delta":
                deltas += event.delta
            if event.type == "transcript.text.done":
                assert event.text == deltas
    assert kinds[-1] == "transcript.text.done"
    assert kinds.count("transcript.text.delta") > 3


def test_logprobs_come_with_json(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=fixtures / "letter.flac", include=["logprobs"]
    )
    assert answer.logprobs is not None
    assert " ".join(entry.token or "" for entry in answer.logprobs) == answer.text
    assert all(entry.logprob is not None and entry.logprob <= 0 for entry in answer.logprobs)


def test_bare_bytes_are_a_file_too(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(model="whisper-1", file=(fixtures / "letter.flac").read_bytes())
    assert word_error_rate("letter.flac", answer.text) <= 0.25


def test_the_models_are_listed_and_found_by_alias(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve("whisper-1").id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_a_wrong_key_is_an_authentication_error(server: RunningServer, fixtures: Path) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.audio.transcriptions.create(model="whisper-1", file=fixtures / "letter.flac")


def test_every_key_of_the_list_is_right(server: RunningServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="also-right", max_retries=0) as client:
        client.models.list()


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [
        (b"this is not audio, whatever its name says", openai.BadRequestError, "not_audio"),
        (b"", openai.BadRequestError, "empty_audio"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", openai.BadRequestError, "undecodable_audio"),
    ],
)
def test_a_bad_file_is_a_typed_error_with_a_message_and_a_request_id(
    client: openai.OpenAI, content: bytes, error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=("talk.wav", io.BytesIO(content)))
    assert caught.value.code == code
    assert caught.value.request_id
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


@pytest.mark.parametrize(
    ("options", "error", "code", "param"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found", "model"),
        ({"language": "fr"}, openai.BadRequestError, "unsupported_language", "language"),
        ({"language": "klingon"}, openai.BadRequestError, "unsupported_language", "language"),
        ({"response_format": "xml"}, openai.BadRequestError, "invalid_request", "response_format"),
        ({"temperature": 7}, openai.BadRequestError, "invalid_request", "temperature"),
    ],
)
def test_a_bad_option_is_named(
    client: openai.OpenAI,
    fixtures: Path,
    options: dict[str, object],
    error: type[openai.APIStatusError],
    code: str,
    param: str,
) -> None:
    with pytest.raises(error) as caught:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": fixtures / "letter.flac", **options})  # type: ignore[call-overload]
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.slow
def test_an_overload_is_a_rate_limit_error_that_says_when_to_come_back(fixtures: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    slow = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@50ms", "SPHINX_WORKERS": "1"}  # seven seconds
    with RunningServer(**slow, MAX_QUEUE="0") as server:

        def upload(_: int) -> str:
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
                try:
                    client.audio.transcriptions.create(model="whisper-1", file=fixtures / "address.opus")
                except openai.RateLimitError as error:
                    return f"come back in {error.response.headers['retry-after']} s"
                return "served"

        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(upload, range(3)))
    assert outcomes.count("served") == 1
    assert sum(re.fullmatch(r"come back in [1-9]\d* s", outcome) is not None for outcome in outcomes) == 2
