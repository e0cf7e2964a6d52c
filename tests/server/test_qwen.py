"""A real server with `ASR_BACKEND=qwen` and the tiny checkpoints: what every API says, and the life of the model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from itertools import cycle
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import srt

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from dialects import Dialect, deepgram, native, openai, pcm
from running import RunningServer, post, until
from steno.client import Client, Final
from talking import said, talk
from tiny.clips import ALIGNER, ASR, DRAFT, Clip, clips, word_error_rate

ACCURATE = {"response_format": "srt", "mode": "accurate"}
QWEN = {"ASR_BACKEND": "qwen", "MODEL_ID": str(ASR), "FORCED_ALIGNER_ID": str(ALIGNER), "DEVICE": "cpu"}
ENGLISH = [f"english-{n}" for n in range(4)]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(**QWEN) as server:
        yield server


def transcribe(server: RunningServer, clip: Clip, **form: Any) -> httpx.Response:
    answer = post(server, clip.path, **form)
    assert answer.status_code == 200, answer.text
    return answer


def test_http_reads_every_clip_and_names_its_language(server: RunningServer) -> None:
    answers = {name: transcribe(server, clip, response_format="verbose_json").json() for name, clip in clips().items()}
    texts = [clip.text for clip in clips().values()]
    assert word_error_rate(texts, [answer["text"] for answer in answers.values()]) <= 0.05
    assert [answer["language"] for answer in answers.values()] == [
        {"en": "english", "de": "german"}[clip.language] for clip in clips().values()
    ]


def test_by_default_a_cpu_runs_int8(server: RunningServer) -> None:
    for name in ("english-0", "english-1", "german-0"):
        assert transcribe(server, clips()[name]).json()["text"] == clips()[name].text
    assert server.health()["precision"] == "int8"


def test_many_at_once_say_what_each_says_alone(server: RunningServer) -> None:
    names = [*ENGLISH, "german-0", "german-1", "telephone-0", "talk"] * 3
    alone = {name: transcribe(server, clips()[name]).json()["text"] for name in set(names)}
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda name: transcribe(server, clips()[name]).json()["text"], names))
    assert together == [alone[name] for name in names]


def test_events_over_sse_add_up_to_the_text(server: RunningServer) -> None:
    clip = clips()["talk"]
    lines = transcribe(server, clip, stream="true").text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    done = next(event for event in events if event["type"] == "transcript.text.done")
    assert "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta") == done["text"]
    assert word_error_rate([clip.text], [done["text"]]) <= 0.05


@pytest.mark.parametrize(
    ("name", "right"), [("english-0", 1), ("english-3", 1), ("german-0", 1), ("talk", 0.95), ("long-talk", 0.9)]
)
def test_accurate_subtitles_have_the_words_when_they_are_spoken(server: RunningServer, name: str, right: float) -> None:
    """The tiny recogniser is not right in all of a piece of 30 s; times are compared where it is."""
    clip = clips()[name]
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word", "mode": "accurate"}
    words = transcribe(server, clip, **form).json()["words"]
    heard, said = [word["word"].strip() for word in words], [word for word, *_ in clip.words]
    same = SequenceMatcher(None, heard, said, autojunk=False).get_matching_blocks()
    pairs = [(words[m + n], clip.words[k + n]) for m, k, length in same for n in range(length)]
    assert len(pairs) >= right * max(len(said), len(heard))
    off = [(abs(word["start"] - start), abs(word["end"] - end)) for word, (_, start, end) in pairs]
    assert np.mean(off) <= 0.1
    cues = list(srt.parse(transcribe(server, clip, response_format="srt", mode="accurate").text))
    assert " ".join(cue.content.replace("\n", " ") for cue in cues) == " ".join(heard)
    assert abs(cues[0].start.total_seconds() - clip.words[0][1]) <= 0.2
    assert abs(cues[-1].end.total_seconds() - clip.words[-1][2]) <= 1.5


def test_words_say_how_sure_the_model_is(server: RunningServer) -> None:
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answer = transcribe(server, clips()["english-0"], **form).json()
    confidences = [word["confidence"] for word in answer["words"]]
    assert all(0 < confidence <= 1 for confidence in confidences)
    assert len(set(confidences)) > 1


def test_hot_words_reach_the_model(server: RunningServer) -> None:
    clip = next(clip for clip in clips().values() if "Marc" in clip.text and clip.name in ENGLISH)
    assert "Mark" in transcribe(server, clip, hotwords="Mark, Cate").json()["text"]


def test_a_language_that_the_model_lacks_is_refused_by_name(server: RunningServer) -> None:
    answer = post(server, clips()["english-0"].path, language="cy")
    assert answer.status_code == 400
    assert "cy" in answer.json()["error"]["message"]


async def test_the_native_dialect(server: RunningServer) -> None:
    for name in (*ENGLISH, "german-0", "talk"):
        clip = clips()[name]
        conversation = await said(server, pcm(clip), words="true")
        assert word_error_rate([clip.text], [conversation.text]) <= 0.1, name
        words = [word for final in conversation.finals for word in final["words"]]
        assert all(word["confidence"] is not None for word in words), name


@pytest.mark.parametrize("dialect", [openai, deepgram])
async def test_the_other_dialects(server: RunningServer, dialect: Dialect) -> None:
    clip = clips()["talk"]
    assert word_error_rate([clip.text], [await dialect(server, clip)]) <= 0.05


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"DUAL_MODEL": "true"}, marks=pytest.mark.slow),
        pytest.param({"USE_SPECULATIVE": "true"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
async def test_eight_streams_in_three_dialects_beside_uploads(settings: dict[str, str]) -> None:
    names = ["talk", *ENGLISH, "german-0", "german-1", "talk"]
    ways = [way for way, _ in zip(cycle((native, openai, deepgram)), names, strict=False)]
    with RunningServer(**QWEN, **settings, FAST_MODEL_ID=str(DRAFT)) as server, ThreadPoolExecutor(2) as pool:
        uploads = [pool.submit(transcribe, server, clips()[name]) for name in (*ENGLISH, "talk", "german-1")]
        texts = await asyncio.gather(*(way(server, clips()[name]) for way, name in zip(ways, names, strict=True)))
        uploaded = [upload.result().json()["text"] for upload in uploads]
        async with talk(server) as conversation:  # one that waits for its partial before it goes on
            clip = clips()["english-0"]
            await conversation.say(pcm(clip)[:-32_000])
            await conversation.next(is_partial=True)
            await conversation.say(pcm(clip)[-32_000:])
            await conversation.close()
            texts.append(conversation.text)
        metrics = server.get("/metrics").text
        assert 'steno_kv_slots{class="long",state="total"}' in metrics
        assert server.health()["mode"] == {"DUAL_MODEL": "dual", "USE_SPECULATIVE": "speculative"}.get(
            next(iter(settings), ""), "standard"
        )
    wanted = [clips()[name].text for name in (*names, "english-0", *ENGLISH, "talk", "german-1")]
    assert word_error_rate(wanted, [*texts, *uploaded]) <= 0.05
    proposed, accepted = (
        float(next(line.split()[1] for line in metrics.splitlines() if line.startswith(f"{name} ")))
        for name in ("steno_draft_tokens_total", "steno_draft_tokens_accepted_total")
    )
    assert 0.3 * proposed < accepted <= proposed


def test_our_own_client(server: RunningServer) -> None:
    clip = clips()["english-0"]
    data = pcm(clip)
    with Client(server.url) as client:
        frames = (data[n : n + 3200] for n in range(0, len(data), 3200))
        finals = [event for event in client.stream(frames) if isinstance(event, Final)]
    assert word_error_rate([clip.text], [" ".join(final.text for final in finals)]) <= 0.1


@pytest.mark.slow
async def test_without_an_aligner_live_words_have_estimated_times_and_confidences(unaligned: RunningServer) -> None:
    clip = clips()["english-0"]
    conversation = await said(unaligned, pcm(clip), words="true")
    words = [word for final in conversation.finals for word in final["words"]]
    assert [word["word"] for word in words] == clip.text.split()
    assert all(0.5 < word["confidence"] <= 1 for word in words)
    assert {final["timing"] for final in conversation.finals} == {"fast"}


def test_without_an_aligner_times_are_estimated_and_the_result_says_so(unaligned: RunningServer) -> None:
    clip = clips()["english-0"]
    estimated = transcribe(unaligned, clip, response_format="srt", mode="accurate")
    assert word_error_rate([clip.text], [" ".join(cue.content for cue in srt.parse(estimated.text))]) <= 0.2
    assert estimated.headers["x-timing-mode"] == "fast"
    refused = post(unaligned, clip.path, **{"response_format": "verbose_json", "timestamp_granularities[]": "word"})
    assert refused.status_code == 400
    assert "or set ALIGNER" in refused.json()["error"]["message"]


@pytest.mark.slow
def test_an_english_text_of_qwen_s_may_be_timed_by_pocketsphinx() -> None:
    clip = clips()["english-0"]
    with RunningServer(**{**QWEN, "FORCED_ALIGNER_ID": ""}) as server:
        answer = transcribe(server, clip, **{"response_format": "verbose_json", "timestamp_granularities[]": "word"})
        assert server.health()["aligner"] == "pocketsphinx-en-us"
    words = [(word["word"], word["start"]) for word in answer.json()["words"]]
    assert [word for word, _ in words] == clip.text.split()
    assert [start for _, start in words] == pytest.approx([start for _, start, _ in clip.words], abs=0.15)


@pytest.mark.slow
def test_an_aligner_that_cannot_be_loaded_costs_the_times_alone(tmp_path: Any) -> None:
    clip = clips()["english-0"]
    with RunningServer(**{**QWEN, "FORCED_ALIGNER_ID": str(tmp_path)}) as server:
        answer = transcribe(server, clip, response_format="srt", mode="accurate")
        assert word_error_rate([clip.text], [" ".join(cue.content for cue in srt.parse(answer.text))]) <= 0.2
        assert "word times are estimated" in server.log()


@pytest.mark.slow
def test_it_loads_on_demand_ten_times_without_growing() -> None:
    """A request that comes while the model is loaded or unloaded waits for it, and succeeds."""
    clip = clips()["english-0"]
    with RunningServer(**QWEN, IDLE_TIMEOUT="0.3") as server:
        process = psutil.Process(server.process.pid)
        resident: list[int] = []
        for _ in range(10):
            with ThreadPoolExecutor(3) as pool:
                answers = list(pool.map(lambda clip: transcribe(server, clip, **ACCURATE), [clip] * 3))
            assert all("boats" in answer.text for answer in answers)
            until(lambda: {server.health()[name] for name in ("model_state", "aligner_state")} == {"unloaded"})
            time.sleep(0.2)
            resident.append(process.memory_info().rss)
        assert resident[-1] - resident[2] < 30e6, [round(rss / 1e6) for rss in resident]
