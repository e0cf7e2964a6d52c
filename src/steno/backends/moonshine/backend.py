"""Moonshine as an `AsyncBackend`: inference in threads, because ONNX Runtime releases the GIL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from steno.alignment.confidence import mean
from steno.backends.base import Capabilities, Drafts, Progress, Recognize
from steno.backends.cpu import half_of_cores, usable_cores, yield_to_live_work
from steno.backends.memory import map_large_blocks, release_memory
from steno.backends.moonshine import files
from steno.backends.moonshine.closing_punctuation import closing_punctuation
from steno.backends.moonshine.decoding import Decoding, transcribe
from steno.backends.moonshine.installed import MODEL_ID
from steno.backends.moonshine.sentence_end_probe import FRAMES, SentenceEndProbe
from steno.backends.moonshine.stream_context import StreamContext
from steno.backends.moonshine.vocabulary import Vocabulary
from steno.errors import (
    AudioTooLongError,
    BackendUnavailableError,
    SettingsError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.languages import code_of
from steno.request_ids import run_in_executor
from steno.types import SAMPLE_RATE, Hypothesis, Score

if TYPE_CHECKING:
    from steno.backends.moonshine.model import Cancellation, MoonshineModel
    from steno.backends.registry import BackendOptions

T = TypeVar("T")

MAX_AUDIO_S = 30.0
"""Max audio per call. The encoder attends to all of the audio at once: twice the audio takes three times as long."""

MIN_SAMPLES = SAMPLE_RATE // 10
"""No word is shorter, and the encoder's convolutions need 55 ms."""

TOKENS_PER_S = 6.5
"""From Moonshine's own configuration (`token_limit_factor`)."""
MIN_TOKENS = 8

NOISE_CONFIDENCE = 0.72
"""On noise, rain and animals Moonshine hallucinates `Thank you for watching!` with a confidence of 0.42 to 0.71; on
clear speech its confidence is 0.77 to 0.95."""

CONTEXT_CONFIDENCE = 0.6
"""Min confidence of a final that becomes context for the next utterances. Lower than above: VAD has detected speech."""

FINAL_SILENCE_MS = 32.0
PADDING = round(0.1 * SAMPLE_RATE)
"""Samples of digital silence behind the audio of a live final. With it 32 ms of a pause are enough for the text, and
the punctuation is better than after 96 ms without it and than with 200 ms (`LEARNING_LOG.md`). Finals that end
otherwise get it too: behind 500 ms of silence it changes little."""

MUSIC_NOTES = frozenset("♩♪♫♬")


class MoonshineBackend:
    """See `Capabilities` for what it supports.

    Args:
        model_id: None or `moonshine-tiny-en` for the model in the wheel, or a folder of the same layout.
        language: the model's language, ISO 639-1.
        workers: threads for uploads; None = one for each core that this process may use.
        live_workers: additional threads for live utterances; None = one for each two cores.
    """

    name = "moonshine"
    device = "cpu"
    path = "standard"

    def __init__(
        self,
        model_id: str | None = None,
        language: str = "en",
        workers: int | None = None,
        live_workers: int | None = None,
    ) -> None:
        self.model_id = model_id or MODEL_ID
        self.workers = workers or usable_cores()
        self.live_workers = live_workers or half_of_cores()
        self.capabilities = Capabilities(
            languages=frozenset({language}),
            live=True,
            word_times=False,
            context=False,
            max_audio_s=MAX_AUDIO_S,
            stream_context=True,
            noise_confidence=NOISE_CONFIDENCE,
            final_silence_ms=FINAL_SILENCE_MS,
            sentence_end=self.model_id == MODEL_ID,
        )
        self._language = language
        self._loaded: _Loaded | None = None
        self._context = StreamContext()
        self._drafts = Drafts(0, 0)

    def drafts(self) -> Drafts:
        return self._drafts

    async def load(self, progress: Progress) -> None:
        """Raises ModelLoadError, SettingsError: which file is missing, damaged or not Moonshine's, and what to do."""
        self._loaded = await asyncio.to_thread(_Loaded.load, self.model_id, self.workers, self.live_workers, progress)
        progress(1.0, "ready")

    async def unload(self) -> None:
        loaded, self._loaded = self._loaded, None
        self._context.clear()
        if loaded is not None:
            await asyncio.to_thread(loaded.close)
        del loaded
        await asyncio.to_thread(release_memory)

    async def recognize(self, work: Recognize) -> Hypothesis:
        """Decode a piece. For a live utterance the last hypothesis is the draft, stable text is forced, and earlier
        utterances of its stream are the context.

        Raises:
            UnsupportedLanguageError, UnsupportedFeatureError, AudioTooLongError: the work is not supported.
        """
        self._check(work)
        loaded = self._loaded
        if loaded is None:
            raise BackendUnavailableError("backend 'moonshine' is not loaded")
        if len(work.audio) < MIN_SAMPLES or not work.audio.any():
            decoding = Decoding()
        else:
            contextual = self._context.with_context(work, loaded.vocabulary)
            is_live_final = work.utterance is not None and work.final
            audio = np.pad(contextual.audio, (0, PADDING)) if is_live_final else contextual.audio
            ending = FRAMES if is_live_final and loaded.probe is not None else 0
            max_tokens = max(token_limit(len(work.audio) / SAMPLE_RATE), contextual.draft.forced)
            decoding = await loaded.run(
                lambda cancellation: transcribe(
                    loaded.model, audio, contextual.draft, max_tokens, cancellation, ending
                ),
                is_live=work.utterance is not None,
            )
        totals = self._drafts
        self._drafts = Drafts(totals.proposed + decoding.proposed, totals.accepted + decoding.accepted)
        hypothesis = self._hypothesis(decoding, loaded)
        is_reliable = not hypothesis.repetition and (hypothesis.confidence or 0.0) >= CONTEXT_CONFIDENCE
        self._context.store(work, tuple(decoding.tokens), is_reliable=is_reliable)
        return hypothesis

    def forget(self, utterance: str) -> None:
        self._context.forget(utterance)

    def _check(self, work: Recognize) -> None:
        if work.language not in (None, self._language):
            text = f"backend 'moonshine' supports {self._language} only, not {work.language}"
            raise UnsupportedLanguageError(text, param="language")
        if work.context:
            raise UnsupportedFeatureError("backend 'moonshine' does not support a prompt or hot words", param="prompt")
        if len(work.audio) > MAX_AUDIO_S * SAMPLE_RATE:
            seconds = len(work.audio) / SAMPLE_RATE
            raise AudioTooLongError(
                f"backend 'moonshine' takes at most {MAX_AUDIO_S:.0f} s of audio; this is {seconds:.1f} s"
            )

    def _hypothesis(self, decoding: Decoding, loaded: _Loaded) -> Hypothesis:
        text, ends = remove_notes(*loaded.vocabulary.decode(decoding.tokens))
        if not is_text(text, self._language):
            return Hypothesis("", None, repetition=decoding.repetition)
        scores = tuple(Score(end, math.exp(logprob)) for end, logprob in zip(ends, decoding.logprobs, strict=True))
        sentence_end = None
        if decoding.ending is not None and loaded.probe is not None:
            sentence_end = loaded.probe.log_odds(decoding.ending, closing_punctuation(text, scores))
        return Hypothesis(
            text,
            self._language,
            (),
            mean(scores),
            scores,
            diverged=decoding.diverged,
            repetition=decoding.repetition,
            sentence_end=sentence_end,
        )


class _Loaded:
    """The model, its vocabulary, its probe if it has one, and the threads that run it."""

    def __init__(
        self,
        model: MoonshineModel,
        vocabulary: Vocabulary,
        probe: SentenceEndProbe | None,
        workers: int,
        live_workers: int,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.probe = probe
        self._uploads = ThreadPoolExecutor(workers, "moonshine", initializer=yield_to_live_work)
        self._live = ThreadPoolExecutor(workers + live_workers, "moonshine-live")

    @classmethod
    def load(cls, model_id: str, workers: int, live_workers: int, progress: Progress) -> _Loaded:
        """In a thread. Raises ModelLoadError, SettingsError."""
        from steno.backends.moonshine.model import MoonshineModel, warm_up

        map_large_blocks()
        progress(0.0, "checking the weights")
        found = files.find(model_id)
        progress(0.3, "loading the weights")
        vocabulary = Vocabulary.load(found.vocabulary)
        model = MoonshineModel(found)
        progress(0.8, "warming up")
        warm_up(model, vocabulary)
        probe = SentenceEndProbe.load() if model_id == MODEL_ID else None
        return cls(model, vocabulary, probe, workers, live_workers)

    async def run(self, call: Callable[[Cancellation], T], *, is_live: bool) -> T:
        """Run `call` in a thread. If the caller is cancelled, abort the call and wait for its end, which takes
        milliseconds: its thread is not free before."""
        cancellation = self.model.cancellation()
        executor = self._live if is_live else self._uploads
        future = run_in_executor(executor, partial(call, cancellation))
        # Retrieve the exception even if the caller is cancelled again while it waits for the thread.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancellation.cancel()
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """End the threads. No call may be running."""
        self._uploads.shutdown()
        self._live.shutdown()


def create(options: BackendOptions) -> MoonshineBackend:
    """For the registry.

    Raises:
        SettingsError: `MODEL_ID` is not a folder in Moonshine's layout, or `MODEL_LANGUAGE` is not a language.
    """
    language = code_of(options.language)
    if language is None:
        raise SettingsError(
            f"invalid value {options.language!r} for MODEL_LANGUAGE; expected a language code or name",
            param="MODEL_LANGUAGE",
        )
    if options.model_id not in (None, MODEL_ID):
        files.find(options.model_id)
    elif language != "en":
        raise SettingsError(f"MODEL_LANGUAGE={options.language!r}: {MODEL_ID} is English", param="MODEL_LANGUAGE")
    return MoonshineBackend(options.model_id, language, options.workers)


def token_limit(seconds: float) -> int:
    """Max tokens of text for `seconds` of audio."""
    return MIN_TOKENS + round(TOKENS_PER_S * seconds)


def remove_notes(text: str, ends: list[int]) -> tuple[str, list[int]]:
    """`text` without musical notes, and the end of each token in it."""
    if not MUSIC_NOTES & set(text):
        return text, ends
    return _without_notes(text), [len(_without_notes(text[:end])) for end in ends]


def is_text(text: str, language: str) -> bool:
    """Whether `text` can be speech: not only notes or punctuation; in English, not only another script."""
    if language == "en":
        return any(char.isascii() and char.isalnum() for char in text)
    return any(char.isalnum() for char in text)


def _without_notes(text: str) -> str:
    return " ".join("".join(char for char in text if char not in MUSIC_NOTES).split())
