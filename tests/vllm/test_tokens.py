"""Windows as audio items of their own give the tokens of our own engine, and those of the clip as one audio item."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

from recorded_vllm import RecordedEngine, recorded_backend
from steno.backends.base import Recognize
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.vllm.backend import VllmBackend
from steno.streaming.hypothesis import LocalAgreement
from stepping import Spied, tokens_of
from tiny.clips import ASR, clips, word_error_rate

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
RATE = 16_000
CUTS = 56
STEP_S = 0.96
LONG_S = (24.3, 26.7, 29.9)
"""Utterances past 24 s, where a session looks for a place to cut them, up to the longest."""
SPEECH_S = 12.6
"""Of `talk`: its first four sentences."""
UNLOAD_S = 30.0


class Engines:
    """The backend on vLLM, and our own, with the same checkpoint."""

    def __init__(self, backend: VllmBackend, engine: RecordedEngine, own: Spied) -> None:
        self.backend, self.engine, self.own = backend, engine, own

    async def tokens(self, work: Recognize) -> tuple[Hypothesis, list[int]]:
        before = len(self.engine.taken)
        hypothesis = await self.backend.recognize(work)
        if not work.audio.any():  # never reaches vLLM
            return hypothesis, []
        assert len(self.engine.taken) == before + 1
        return hypothesis, self.engine.tokens(before, work.language)

    def own_tokens(self, work: Recognize) -> list[int]:
        (tokens,) = tokens_of(self.own, [work])
        return tokens


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines() -> AsyncIterator[Engines]:
    backend, engine = recorded_backend()
    await backend.load(lambda *_: None)
    loaded = load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), lambda *_: None)
    yield Engines(backend, engine(), Spied(loaded, 4))
    await asyncio.wait_for(backend.unload(), UNLOAD_S)


def steps(audio: Audio, step_s: float = STEP_S) -> list[Audio]:
    step = round(step_s * RATE)
    return [audio[: min(end, len(audio))] for end in range(step, len(audio) + step, step)]


def silence(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE), np.float32)


async def live(engines: Engines, audio: Audio, key: str, language: str | None = "en") -> Hypothesis:
    """An utterance that grows, its stable text forced, in both engines: the tokens of each step are the same."""
    agreement = LocalAgreement(1.0)
    parts = steps(audio)
    for number, part in enumerate(parts, 1):
        work = Recognize(part, language, utterance=key, final=number == len(parts), stable=agreement.stable)
        hypothesis, tokens = await engines.tokens(work)
        assert tokens == engines.own_tokens(work), f"step {number} of {len(parts)}"
        agreement.update(hypothesis, len(part) / RATE)
    return hypothesis


async def test_random_cuts_have_the_tokens_of_our_engine_and_of_one_audio_item(engines: Engines) -> None:
    rng = random.Random(16)
    sources = [clip.audio for clip in clips().values()]
    texts = set()
    for _ in range(CUTS):
        audio = rng.choice(sources)
        length = round((0.5 + 29.5 * rng.random() ** 3) * RATE)
        start = rng.randrange(max(RATE, len(audio) - length))
        work = Recognize(audio[start : start + length], rng.choice((None, "en", "de")))
        hypothesis, tokens = await engines.tokens(work)
        assert tokens == engines.own_tokens(work)
        assert tokens == await engines.engine.of_one_item(work.audio, work.language)
        texts.add(hypothesis.text)
    assert len(texts) > 0.6 * CUTS


async def test_a_growing_utterance_has_the_tokens_of_our_engine_at_each_step(engines: Engines) -> None:
    hypothesis = await live(engines, clips()["long-talk"].audio[: 30 * RATE], "growing")
    reused, prompted = engines.engine.cached[-1]
    assert reused >= 0.5 * prompted
    assert len(hypothesis.text.split()) > 30


@pytest.mark.parametrize("seconds", LONG_S)
async def test_utterances_past_the_place_of_a_forced_cut(engines: Engines, seconds: float) -> None:
    work = Recognize(clips()["long-talk"].audio[: round(seconds * RATE)], "en")
    _, tokens = await engines.tokens(work)
    assert tokens == engines.own_tokens(work) == await engines.engine.of_one_item(work.audio, "en")


async def test_speech_that_gets_louder_late_changes_the_features_of_earlier_windows(engines: Engines) -> None:
    audio = clips()["talk"].audio[: 22 * RATE].copy()
    audio[: 12 * RATE] *= 0.01
    await live(engines, audio, "late loudness")


async def test_silence_first_for_longer_than_a_window(engines: Engines) -> None:
    """The tiny checkpoint reads nothing where one sentence follows such a silence; where more follow, it makes up one
    before them. It does so in every engine."""
    clip = clips()["talk"]
    said = " ".join(word for word, _, end_s in clip.words if end_s <= SPEECH_S)
    audio = np.concatenate([silence(9.5), clip.audio[: round(SPEECH_S * RATE)]])
    final = await live(engines, audio, "silence first")
    work = Recognize(audio, "en")
    hypothesis, tokens = await engines.tokens(work)
    assert tokens == engines.own_tokens(work) == await engines.engine.of_one_item(audio, "en")
    assert final.text.endswith(said)
    assert hypothesis.text.endswith(said)


async def test_the_same_audio_again_gives_the_same_text_once(engines: Engines) -> None:
    clip = clips()["english-1"]
    once = await engines.tokens(Recognize(clip.audio, "en"))
    again = await engines.tokens(Recognize(clip.audio, "en"))
    assert once[1] == again[1] == engines.own_tokens(Recognize(clip.audio, "en"))
    twice = np.concatenate([clip.audio, silence(0.5), clip.audio])
    assert (await live(engines, twice, "twice")).text.split().count("boats") <= 2 * clip.text.split().count("boats")


async def test_near_silence_after_speech_does_not_give_back_the_speech(engines: Engines) -> None:
    clip = clips()["english-2"]
    noise = (1e-4 * np.random.default_rng(5).standard_normal(6 * RATE)).astype(np.float32)
    said, _ = await engines.tokens(Recognize(clip.audio, "en"))
    work = Recognize(noise, "en")
    hypothesis, tokens = await engines.tokens(work)
    assert tokens == engines.own_tokens(work)
    assert hypothesis.text != said.text
    tail = np.concatenate([clip.audio, noise])
    hypothesis = await live(engines, tail, "silence after speech")
    assert word_error_rate([clip.text], [hypothesis.text]) <= 0.3


async def test_many_at_once_have_the_tokens_of_each_alone(engines: Engines) -> None:
    works = [Recognize(clip.audio[: 12 * RATE], clip.language) for clip in clips().values()]
    hypotheses = await asyncio.gather(*(engines.backend.recognize(work) for work in works))
    alone = [(await engines.backend.recognize(work)).text for work in works]
    assert [hypothesis.text for hypothesis in hypotheses] == alone


async def test_cancelling_a_call_aborts_its_request(engines: Engines) -> None:
    work = Recognize(clips()["long-talk"].audio[: 29 * RATE], "en")
    call = asyncio.create_task(engines.backend.recognize(work))
    async with asyncio.timeout(10):
        while not engines.engine.unfinished():
            await asyncio.sleep(0.002)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while engines.engine.unfinished():
            await asyncio.sleep(0.002)
    assert len((await engines.backend.recognize(work)).text.split()) > 30
