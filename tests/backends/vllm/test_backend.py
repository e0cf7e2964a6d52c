"""The backend with a recogniser behind its seam that stands in for vLLM: it answers by what the request holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the vLLM backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the vLLM backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.base import AsyncBackend, Progress, Recognize
from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.vllm.backend import VllmBackend
from steno.backends.vllm.token_generator import Generation, TokenRequest, VllmPriority
from steno.backends.vllm.utterances import Utterance
from steno.errors import AudioTooLongError, BackendUnavailableError, UnsupportedLanguageError
from tiny.clips import ASR

if TYPE_CHECKING:
    from steno.backends.vllm.processing import Processing

RATE = 16_000
WINDOW_FRAMES = 800
NOISE = np.random.default_rng(3).standard_normal(30 * RATE).astype(np.float32) * 0.1


class SpokenText:
    """A `TokenGenerator` whose speaker says `text` in every audio: it continues what is forced of it."""

    def __init__(self, processing: Processing, text: str) -> None:
        self.processing = processing
        self.text = text
        self.requests: list[TokenRequest] = []
        self.starts = self.stops = 0
        self.release: asyncio.Event | None = None
        """Set: `generate` waits for it."""
        self.aborted = 0
        self.forgotten: list[str] = []
        self.gives_tokens = True

    async def start(self, progress: Progress) -> None:
        self.starts += 1

    async def stop(self) -> None:
        self.stops += 1

    async def generate(self, request: TokenRequest) -> Generation:
        self.requests.append(request)
        if self.release is not None:
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.aborted += 1
                raise
        if not self.gives_tokens:
            return Generation((), (), self.text)
        ids = self.ids(self.text)
        forced = next(n for n in range(len(ids), -1, -1) if not n or tuple(request.after[-n:]) == tuple(ids[:n]))
        rest = ids[forced : forced + request.max_tokens]
        stop = sorted(self.processing.stop_token_ids)[0]
        tokens = (*rest, stop) if len(rest) < request.max_tokens else tuple(rest)
        return Generation(tokens, (-0.1,) * len(tokens))

    def forget(self, utterance: str) -> None:
        self.forgotten.append(utterance)

    def ids(self, text: str) -> Sequence[int]:
        tokenizer: Any = self.processing.prompt_builder._tokenizer
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


@asynccontextmanager
async def loaded(text: str) -> AsyncIterator[tuple[VllmBackend, SpokenText]]:
    generators: list[SpokenText] = []

    def new(processing: Processing) -> SpokenText:
        generators.append(SpokenText(processing, text))
        return generators[-1]

    backend = VllmBackend(ModelRef(str(ASR), None, (), None, "recogniser"), 8, "cpu", new)
    await backend.load(lambda *_: None)
    try:
        yield backend, generators[0]
    finally:
        await backend.unload()


async def test_it_is_what_the_engine_expects() -> None:
    async with loaded("Anna sees the boats.") as (backend, spoken):
        assert isinstance(backend, AsyncBackend)
        assert (backend.workers, backend.live_workers) == (6, 2)
        assert (await backend.recognize(Recognize(NOISE[:RATE], "en"))).text == "Anna sees the boats."
        (request,) = spoken.requests
        assert request.priority is VllmPriority.UPLOAD
    assert (spoken.starts, spoken.stops) == (1, 1)


async def test_audio_goes_in_as_windows_of_8_s() -> None:
    async with loaded("Yes.") as (backend, spoken):
        await backend.recognize(Recognize(NOISE[: 19 * RATE], "en"))
    assert [window.frames for window in spoken.requests[0].windows] == [WINDOW_FRAMES, WINDOW_FRAMES, 300]


async def test_stable_text_is_forced_and_only_the_rest_is_generated() -> None:
    async with loaded("Anna sees the boats near the bridge.") as (backend, spoken):
        work = Recognize(NOISE[: 4 * RATE], "en", utterance="u", final=False)
        first = await backend.recognize(work)
        work = Recognize(NOISE[: 5 * RATE], "en", utterance="u", final=True, stable="Anna sees the")
        second = await backend.recognize(work)
        forced = spoken.ids("Anna sees the")
        before, after = (request.after for request in spoken.requests)
        assert (first.text, second.text) == (spoken.text, spoken.text)
        assert after == (*before, *forced)
        assert spoken.requests[1].priority is VllmPriority.LIVE_FINAL
        assert not backend._utterances, "a final drops the cache"


async def test_stable_text_of_another_language_is_not_forced() -> None:
    async with loaded("Anna sees the boats.") as (backend, spoken):
        await backend.recognize(Recognize(NOISE[: 4 * RATE], "en", utterance="u", final=False))
        work = Recognize(NOISE[: 5 * RATE], "de", utterance="u", final=True, stable="Anna sees")
        await backend.recognize(work)
        _, tail = spoken.processing.prompt_builder.around("", "de")
        assert spoken.requests[1].after == tail


async def test_silence_never_reaches_vllm() -> None:
    async with loaded("Thank you for watching.") as (backend, spoken):
        assert (await backend.recognize(Recognize(np.zeros(5 * RATE, np.float32)))).text == ""
        assert not spoken.requests


async def test_a_text_that_repeats_its_context_is_recognised_again_without_it() -> None:
    async with loaded("Anna, Kate, Marc") as (backend, spoken):
        hypothesis = await backend.recognize(Recognize(NOISE[: 3 * RATE], "en", context="Anna, Kate, Marc"))
    assert hypothesis.text == spoken.text, "the second try confirms it"
    assert len(spoken.requests) == 2
    assert len(spoken.requests[1].before) < len(spoken.requests[0].before)


async def test_a_repetition_loop_is_cut_and_reported() -> None:
    async with loaded("yes " * 100) as (backend, _):
        hypothesis = await backend.recognize(Recognize(NOISE[: 25 * RATE], "en"))
    assert hypothesis.repetition
    assert len(hypothesis.text.split()) < 60


async def test_text_without_tokens_is_the_whole_text_and_nothing_is_forced_after_it() -> None:
    async with loaded("Anna sees the boats near the bridge.") as (backend, spoken):
        works = [
            Recognize(NOISE[: n * RATE], "en", utterance="u", final=n == 6, stable="Anna sees" if n > 4 else "")
            for n in (4, 5, 6)
        ]
        await backend.recognize(works[0])
        spoken.gives_tokens = False
        hypotheses = [await backend.recognize(work) for work in works[1:]]
        assert [each.text for each in hypotheses] == [spoken.text] * 2
        assert (hypotheses[0].language, hypotheses[0].confidence) == ("en", None)
        unforced, forced, none = (len(request.after) for request in spoken.requests)
        assert unforced == none < forced
        assert [request.work.audio.size for request in spoken.requests] == [n * RATE for n in (4, 5, 6)]
        assert spoken.forgotten == ["u"]


async def test_cancelling_a_call_cancels_the_request_and_forget_drops_the_utterance() -> None:
    async with loaded("Anna sees the boats.") as (backend, spoken):
        spoken.release = asyncio.Event()
        work = Recognize(NOISE[: 4 * RATE], "en", utterance="u", final=False)
        call = asyncio.create_task(backend.recognize(work))
        async with asyncio.timeout(10):
            while not spoken.requests:
                await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert spoken.aborted == 1
        assert list(backend._utterances) == ["u"]
        backend.forget("u")
        backend.forget("never seen")
        assert not backend._utterances
        assert spoken.forgotten == ["u", "never seen"]
        spoken.release.set()
        assert (await backend.recognize(work)).text == spoken.text


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (Recognize(NOISE[:RATE], "cy"), UnsupportedLanguageError),
        (Recognize(np.tile(NOISE, 50)), AudioTooLongError),
    ],
)
async def test_work_that_is_not_supported_is_refused_before_vllm(work: Recognize, error: type[Exception]) -> None:
    async with loaded("Yes.") as (backend, spoken):
        with pytest.raises(error):
            await backend.recognize(work)
        assert not spoken.requests


async def test_unloaded_it_refuses_work_and_it_can_be_loaded_again() -> None:
    async with loaded("Yes.") as (backend, spoken):
        await backend.unload()
        with pytest.raises(BackendUnavailableError, match="not loaded"):
            await backend.recognize(Recognize(NOISE[:RATE]))
        await backend.load(lambda *_: None)
        assert (await backend.recognize(Recognize(NOISE[:RATE], "en"))).text == "Yes."
        assert (spoken.starts, spoken.stops) == (2, 1)


async def test_features_of_an_utterance_grow_and_start_anew_if_it_became_shorter() -> None:
    async with loaded("Yes.") as (_, spoken):
        processing = spoken.processing
        utterance = Utterance(processing.new_log_mel())
        for seconds in (3, 9, 17, 5):
            audio = NOISE[: seconds * RATE]
            grown = utterance.windows(audio, processing.new_log_mel)
            alone = Utterance(processing.new_log_mel()).windows(audio, processing.new_log_mel)
            assert [each.frames for each in grown] == [each.frames for each in alone]
            for one, other in zip(grown, alone, strict=True):
                assert np.array_equal(one.features.numpy(), other.features.numpy())
