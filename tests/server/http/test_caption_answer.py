"""Subtitles and translations over HTTP, with OpenAI's SDK and without, read back by independent parsers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import openai
import pysubs2
import pytest
import srt
import webvtt

from llm_server import Answer, LlmServer, good
from running import EMBEDDED, TLS, RunningServer, post
from speech import word_error_rate
from translation.misbehaviours import BAD


def translating(backend: str, llm: LlmServer) -> RunningServer:
    return RunningServer(ASR_BACKEND=backend, OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="test", TRANSLATE_RETRIES="0")


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmServer]:
    with LlmServer() as llm:
        yield llm


@pytest.fixture(scope="module")
def server(llm: LlmServer) -> Iterator[RunningServer]:
    with translating(EMBEDDED, llm) as server:
        yield server


@pytest.fixture(scope="module")
def other_llm() -> Iterator[LlmServer]:
    with LlmServer() as llm:
        yield llm


@pytest.fixture(scope="module")
def scripted(other_llm: LlmServer) -> Iterator[RunningServer]:
    with translating("scripted", other_llm) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
        yield client


def texts(content: str) -> str:
    return " ".join(cue.content for cue in srt.parse(content))


# Subtitles


def test_srt_through_the_sdk_is_srt(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=fixtures / "address.opus", response_format="srt"
    )
    assert isinstance(answer, str)
    cues = list(srt.parse(answer))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert word_error_rate("address.opus", texts(answer)) < 0.4
    for cue, following in pairwise(cues):
        assert cue.end <= following.start
        assert (cue.end - cue.start).total_seconds() <= 7.001
    assert all(len(line) <= 42 for cue in cues for line in cue.content.splitlines())
    assert cues[-1].end.total_seconds() <= 67


def test_vtt_through_the_sdk_is_vtt(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.transcriptions.create(model="whisper-1", file=fixtures / "letter.flac", response_format="vtt")
    cues = webvtt.from_buffer(io.StringIO(str(answer))).captions
    assert word_error_rate("letter.flac", " ".join(cue.text for cue in cues)) < 0.3


@pytest.mark.parametrize("form", ["srt", "vtt", "tsv", "lrc"])
def test_every_format_has_its_type_and_a_name(scripted: RunningServer, fixtures: Path, form: str) -> None:
    answer = post(scripted, fixtures / "letter.flac", "transcriptions", response_format=form)
    assert answer.status_code == 200
    expected = {
        "srt": "application/x-subrip",
        "vtt": "text/vtt",
        "tsv": "text/tab-separated-values",
        "lrc": "text/plain",
    }
    assert answer.headers["content-type"].partition(";")[0] == expected[form]
    assert f'filename="letter.{form}"' in answer.headers["content-disposition"]
    assert answer.headers["x-timing-mode"] == "accurate"


def test_the_subtitles_route_gives_srt_with_nothing_else_asked(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, fixtures / "market.flac", "subtitles", max_line_chars="20", max_lines="1")
    assert answer.headers["x-timing-mode"] == "accurate"
    assert len(pysubs2.SSAFile.from_string(answer.text)) >= 3
    assert all(len(line) <= 20 for cue in srt.parse(answer.text) for line in cue.content.splitlines())
    assert all("\n" not in cue.content for cue in srt.parse(answer.text))


def test_fast_times_are_spread_and_say_so(server: RunningServer, fixtures: Path) -> None:
    fast = post(server, fixtures / "market.flac", "subtitles", mode="fast", max_line_chars="20")
    accurate = post(server, fixtures / "market.flac", "subtitles", max_line_chars="20")
    assert fast.headers["x-timing-mode"] == "fast"
    assert texts(fast.text).split() == texts(accurate.text).split()
    assert fast.text != accurate.text


def test_a_strange_file_name_does_not_break_the_header(scripted: RunningServer, fixtures: Path) -> None:
    content = (fixtures / "letter.flac").read_bytes()
    answer = httpx.post(
        f"{scripted.url}/v1/audio/subtitles", files={"file": ('../größe "x".mp4', content)}, timeout=90, verify=TLS
    )
    disposition = answer.headers["content-disposition"]
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe%20" in disposition
    assert ".." not in disposition


def test_control_characters_in_a_file_name_do_not_break_the_header(scripted: RunningServer, fixtures: Path) -> None:
    head = b'--end\r\nContent-Disposition: form-data; name="file"; filename="a\x01\x7fb.wav"\r\n\r\n'
    body = head + (fixtures / "letter.flac").read_bytes() + b"\r\n--end--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=end"}
    answer = httpx.post(f"{scripted.url}/v1/audio/subtitles", content=body, headers=kind, timeout=90, verify=TLS)
    assert answer.status_code == 200
    assert 'filename="a__b.srt"' in answer.headers["content-disposition"]


def test_subtitles_do_not_go_with_events(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, fixtures / "letter.flac", "transcriptions", response_format="srt", stream="true")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")


# Translation


@pytest.mark.filterwarnings("ignore:deprecated")  # the SDK would rather have nobody translate
def test_english_into_english_needs_no_llm(client: openai.OpenAI, llm: LlmServer, fixtures: Path) -> None:
    before = len(llm.requests)
    answer = client.audio.translations.create(model="whisper-1", file=fixtures / "letter.flac")
    assert word_error_rate("letter.flac", answer.text) < 0.3
    assert len(llm.requests) == before


@pytest.mark.filterwarnings("ignore:deprecated")  # the SDK would rather have nobody translate
def test_a_translation_through_the_sdk(client: openai.OpenAI, fixtures: Path) -> None:
    answer = client.audio.translations.create(
        model="whisper-1", file=fixtures / "letter.flac", extra_body={"language": "French"}
    )
    assert answer.text.endswith("(fr)")


def test_translated_subtitles_have_the_times_of_the_source(
    scripted: RunningServer, other_llm: LlmServer, fixtures: Path
) -> None:
    other_llm.turn(good)
    source = list(srt.parse(post(scripted, fixtures / "address.opus", "subtitles").text))
    answer = post(scripted, fixtures / "address.opus", "translations", language="zh", response_format="srt")
    cues = list(srt.parse(answer.text))
    assert len(cues) > 10
    assert [(cue.start, cue.end) for cue in cues] == [(cue.start, cue.end) for cue in source]
    assert all("好的" in cue.content.replace("\n", "") for cue in cues)
    assert "x-untranslated" not in answer.headers


def test_bilingual_subtitles_have_both(server: RunningServer, fixtures: Path) -> None:
    fields = {"language": "fr", "response_format": "srt", "bilingual": "true"}
    (cue, *_) = srt.parse(post(server, fixtures / "letter.flac", "translations", **fields).text)
    assert "(fr)" in cue.content
    assert cue.content.count("please") + cue.content.count("Please") == 2


def test_verbose_json_says_which_segments_are_translated(server: RunningServer, fixtures: Path) -> None:
    answer = post(
        server, fixtures / "letter.flac", "translations", language="fr", response_format="verbose_json"
    ).json()
    assert (answer["task"], answer["language"]) == ("translate", "french")
    assert all(segment["translated"] for segment in answer["segments"])


@pytest.mark.parametrize(
    "fields", [{"language": "x-1"}, {"glossary": "no equals sign"}, {"source_language": "fr"}], ids=str
)
def test_bad_options_are_named(server: RunningServer, fixtures: Path, fields: dict[str, str]) -> None:
    answer = post(server, fixtures / "letter.flac", "translations", **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in ("language", "glossary")


@pytest.mark.parametrize("name", [*sorted(BAD), "error", "disconnect"])
def test_a_misbehaving_llm_cannot_break_a_subtitle_file(
    scripted: RunningServer, other_llm: LlmServer, fixtures: Path, name: str, plain_srt: str
) -> None:
    behaviours = {**BAD, "error": lambda *_: Answer(status=500), "disconnect": lambda *_: Answer(disconnect=True)}
    other_llm.turn(behaviours[name])
    fields = {"language": "fr", "source_language": "en", "response_format": "srt"}
    answer = post(scripted, fixtures / "doctor.flac", "translations", **fields)
    assert answer.status_code == 200
    assert 1 <= len(other_llm.requests) <= 12
    source, cues = list(srt.parse(plain_srt)), list(srt.parse(answer.text))
    assert [(c.index, c.start, c.end) for c in cues] == [(c.index, c.start, c.end) for c in source]
    untranslated = [cue.index for cue in cues if "(fr)" not in cue.content]
    for index in untranslated:
        assert cues[index - 1].content == source[index - 1].content
    assert bool(untranslated) == ("x-untranslated" in answer.headers)


@pytest.fixture(scope="module")
def plain_srt(scripted: RunningServer, fixtures: Path) -> str:
    return post(scripted, fixtures / "doctor.flac", "subtitles", language="en").text


def test_without_an_llm_the_error_names_the_variable_and_nothing_is_transcribed(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED, OPENAI_BASE_URL="", TRANSLATE_MODEL="") as server:
        answer = post(server, fixtures / "letter.flac", "translations", language="fr")
        assert (answer.status_code, answer.json()["code"]) == (400, "translation_not_configured")
        assert "OPENAI_BASE_URL" in answer.json()["message"]
        assert server.health()["model_loaded"] is False


def test_what_a_translation_cannot_follow_is_said(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, fixtures / "letter.flac", "translations", prompt="a letter", temperature="0.5", colour="red")
    assert answer.headers["x-steno-ignored"] == "prompt, temperature, colour"


@pytest.mark.slow
def test_a_translation_that_runs_out_of_time_still_gives_the_transcript(fixtures: Path) -> None:
    with LlmServer(then=lambda *_: Answer(hang_s=8)) as llm, RunningServer(
        ASR_BACKEND="scripted", OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="test", REQUEST_TIMEOUT="4"
    ) as server:  # fmt: skip
        answer = post(server, fixtures / "letter.flac", "translations", language="fr", source_language="en")
    assert answer.status_code == 200
    assert answer.json()["text"].startswith("w0 w1")
    assert answer.headers["x-untranslated"] == "0"
