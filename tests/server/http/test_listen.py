"""`POST /v1/listen` with Deepgram's own SDK, and with plain HTTP where the SDK is too polite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from deepgram.core.api_error import ApiError
from deepgram.listen.v1.media.client import MediaClient

from deepgram_clients import client_of
from running import EMBEDDED, TLS, RunningServer
from speech import word_error_rate
from talking import pcm_file

TOKEN = {"Authorization": "Token right"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, API_KEYS="right", MAX_UPLOAD_MB="1") as server:
        yield server


@pytest.fixture
def media(server: RunningServer) -> Iterator[MediaClient]:
    with httpx.Client(timeout=90, verify=TLS) as http:
        yield client_of(server, httpx_client=http).listen.v1.media


def test_a_recording_comes_back_as_deepgrams_sdk_expects_it(media: MediaClient, fixtures: Path) -> None:
    recording = (fixtures / "weather.flac").read_bytes()
    answer = media.transcribe_file(
        request=recording, model="nova-3", smart_format=True, utterances=True, paragraphs=True, tag="mine"
    )
    (channel,) = answer.results.channels
    (alternative,) = channel.alternatives
    assert word_error_rate("weather.flac", alternative.transcript) <= 0.25
    assert " ".join(word.punctuated_word for word in alternative.words) == alternative.transcript
    times = [time for word in alternative.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= answer.metadata.duration
    assert answer.metadata.duration == pytest.approx(4.8, abs=0.5)
    assert answer.metadata.sha256 == hashlib.sha256(recording).hexdigest()
    assert (answer.metadata.channels, answer.metadata.tags) == (1, ["mine"])
    assert set(answer.metadata.model_info) == set(answer.metadata.models)
    assert " ".join(utterance.transcript for utterance in answer.results.utterances) == alternative.transcript
    (paragraph,) = alternative.paragraphs.paragraphs
    assert paragraph.num_words == len(alternative.words)
    assert " ".join(sentence.text for sentence in paragraph.sentences) == alternative.transcript


def test_raw_samples_are_a_recording_too(media: MediaClient, fixtures: Path) -> None:
    raw = pcm_file(fixtures / "weather.flac")
    options = {"additional_query_parameters": {"sample_rate": 16000}}
    answer = media.transcribe_file(request=raw, encoding="linear16", request_options=options)
    assert word_error_rate("weather.flac", answer.results.channels[0].alternatives[0].transcript) <= 0.25
    assert answer.metadata.sha256 == hashlib.sha256(raw).hexdigest()


def test_any_content_type_and_either_scheme_will_do(server: RunningServer, fixtures: Path) -> None:
    recording = (fixtures / "weather.flac").read_bytes()
    for headers in (
        {**TOKEN, "Content-Type": "audio/flac"},
        {"Authorization": "bearer right", "Content-Type": "application/x-www-form-urlencoded"},
    ):
        answer = post(server, recording, headers=headers, encoding="linear16", sample_rate="16000")
        assert answer.status_code == 200, answer.text
        assert answer.headers["dg-request-id"] == answer.json()["metadata"]["request_id"]


def post(server: RunningServer, body: bytes, *, headers: dict[str, str], **query: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/listen", content=body, headers=headers, params=query, timeout=90, verify=TLS)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert sorted(body) == ["err_code", "err_msg", "request_id"]
    assert answer.headers["dg-request-id"] == body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["dg-error"] == body["err_msg"]
    return answer.status_code, body["err_code"]


def test_refusals_have_deepgrams_shape_whoever_refuses(server: RunningServer) -> None:
    assert refusal(post(server, b"x", headers={})) == (401, "INVALID_AUTH")
    assert refusal(post(server, b"x", headers=TOKEN, summarize="true")) == (400, "Bad Request")
    assert refusal(post(server, bytes(2**20 + 1), headers=TOKEN)) == (413, "PAYLOAD_TOO_LARGE")
    assert refusal(httpx.put(f"{server.url}/v1/listen", headers=TOKEN, verify=TLS)) == (405, "METHOD_NOT_ALLOWED")
    status, _ = refusal(post(server, b"this is no audio at all, whatever it says" * 9, headers=TOKEN))
    assert status in (400, 415)
    status, _ = refusal(post(server, b"", headers=TOKEN))
    assert status in (400, 422)


def test_the_sdk_is_told_what_is_not_supported(media: MediaClient, server: RunningServer) -> None:
    with pytest.raises(ApiError) as refused:
        media.transcribe_file(request=b"x", model="nova-3", summarize="v2")
    assert refused.value.status_code == 400
    assert "summarize" in refused.value.body["err_msg"]
    with httpx.Client(verify=TLS) as http, pytest.raises(ApiError) as refused:
        client_of(server, "wrong", httpx_client=http).listen.v1.media.transcribe_file(request=b"x")
    assert refused.value.status_code == 401


def test_a_url_is_refused_by_name(media: MediaClient) -> None:
    with pytest.raises(ApiError) as refused:
        media.transcribe_url(url="https://example.org/a.wav", model="nova-3")
    assert refused.value.status_code == 400
    assert "URL" in refused.value.body["err_msg"]
    assert "url" in refused.value.body["err_msg"]


def test_a_full_server_says_when_to_come_back(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="right", MAX_UPLOADS_PER_CLIENT="1") as server:

        def slowly() -> Iterator[bytes]:
            yield b"x" * 1000
            answer = post(server, b"x", headers=TOKEN)
            assert refusal(answer) == (429, "TOO_MANY_REQUESTS")
            assert int(answer.headers["retry-after"]) >= 1

        httpx.post(f"{server.url}/v1/listen", content=slowly(), headers=TOKEN, timeout=90, verify=TLS)
