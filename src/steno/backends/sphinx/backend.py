"""PocketSphinx as an `AsyncBackend`: small, offline, US English; the default where no better one can run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from loguru import logger

from steno.backends.base import Align, Alignment, Capabilities, Progress, Recognize
from steno.backends.sphinx import installed
from steno.backends.sphinx.pool import Growing, Place, Pool
from steno.backends.sphinx.process import DecodingTimeoutError
from steno.errors import (
    AudioTooLongError,
    BackendCrashedError,
    BackendError,
    BackendUnavailableError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Hypothesis, Word

if TYPE_CHECKING:
    from steno.backends.base import Work
    from steno.backends.registry import BackendOptions
    from steno.types import Audio

T = TypeVar("T")

Row: TypeAlias = tuple[str, float, float, float | None]
"""word, start and end in seconds, probability"""

Span: TypeAlias = tuple[float, float]
"""start and end in seconds"""

MAX_AUDIO_S = 60.0
MAX_TEXT_CHARS = 6_000
"""For an alignment: a hundred a second of the longest audio, four times the fastest speech."""

MIN_SAMPLES = SAMPLE_RATE // 10
"""No word is shorter, and the front end makes NaN of less than a frame."""

MIN_LIVE_SAMPLES = SAMPLE_RATE * 4 // 10
"""A live utterance is decoded from here on: of less, the cepstral mean says nothing."""

NORMALISED_ENOUGH = SAMPLE_RATE * 2
"""Until the mean of a live utterance comes from this much, decoding starts over each time its audio has doubled."""

RECYCLE_AFTER = 1_000
RECYCLE_RSS_MB = 512.0
"""A child takes 105 to 155 MB, 30 more once it has aligned, and was not seen to grow: this is for the day it does."""


class SphinxBackend:
    """See `Capabilities` for what it can do.

    Args:
        workers: child processes for stateless calls; None = one for each core that this process may use.
        live_workers: how many more there may be, so that live utterances find a place beside uploads.
        recycle_after: calls after which a child is replaced by a fresh one.
    """

    name = "sphinx"
    model_id = "pocketsphinx-en-us"
    device = "cpu"
    capabilities = Capabilities(
        languages=frozenset({"en"}),
        live=True,
        word_times=True,
        alignment=True,
        context=False,
        rejects_non_speech=False,
        max_audio_s=MAX_AUDIO_S,
    )

    def __init__(
        self, workers: int | None = None, live_workers: int = 2, *, recycle_after: int = RECYCLE_AFTER
    ) -> None:
        self._workers = workers or _cores()
        self._live_workers = live_workers
        self._recycle_after = recycle_after
        self._pool: Pool | None = None

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def live_workers(self) -> int:
        return self._live_workers

    @property
    def pids(self) -> list[int]:
        """Of the children that are there to be used."""
        return self._pool.pids if self._pool else []

    async def load(self, progress: Progress) -> None:
        """Start one child and wait until its decoder is ready. Further ones start when they are needed.

        Raises:
            BackendUnavailableError: pocketsphinx or a part of its model is missing, or it does not start.
        """
        lacking = installed.missing()
        if lacking:
            raise BackendUnavailableError(f"backend 'sphinx' {lacking}")
        progress(0.0, "starting a decoder")
        pool = Pool(
            self._workers + self._live_workers,
            recycle_after=self._recycle_after,
            recycle_rss_mb=RECYCLE_RSS_MB,
        )
        try:
            async with pool.place():
                pass
        except BackendCrashedError as error:
            await pool.close()
            raise BackendUnavailableError(
                f"backend 'sphinx' does not start: {error}; the log has the reason"
            ) from error
        self._pool = pool
        progress(1.0, "ready")

    async def unload(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            await pool.close()

    async def recognize(self, work: Recognize) -> Hypothesis:
        """Decode a piece, or what is new of a live utterance.

        The final result of an utterance that was decoded as it grew may differ from that of the same audio as one
        piece: the one is normalised by the mean of its first seconds, the other by that of all.
        """
        _check(work)
        if work.context:
            raise UnsupportedFeatureError("backend 'sphinx' takes no prompt and no hot words", param="prompt")
        is_growing = work.utterance is not None and not work.final
        least = MIN_LIVE_SAMPLES if is_growing else MIN_SAMPLES
        if len(work.audio) < least or not work.audio.any():
            rows: Sequence[Row] = ()
        elif work.utterance is None:
            rows = await self._retrying(lambda: self._whole(work.audio))
        else:
            key = work.utterance
            rows = await self._retrying(lambda: self._part(work.audio, key, work.final))
        if work.utterance is not None and work.final:
            self.forget(work.utterance)
        return _hypothesis(rows, len(work.audio) / SAMPLE_RATE)

    async def align(self, work: Align) -> Alignment:
        """Find the times of every token of the text; what has no sound in English gets those of the gap it stands in.

        Raises:
            BackendError: the audio cannot hold the text. (A wrong text of the right length is not noticed.)
        """
        _check(work)
        if len(work.text) > MAX_TEXT_CHARS:
            raise UnsupportedFeatureError(
                f"backend 'sphinx' aligns {MAX_TEXT_CHARS} characters at most, this text has {len(work.text)}"
            )
        tokens = work.text.split()
        if not tokens:
            return Alignment(())
        spans = await self._retrying(lambda: self._spans(work.audio, tokens))
        if spans is None:
            seconds = f"{len(work.audio) / SAMPLE_RATE:.1f} s"
            raise BackendError(f"the text ({len(tokens)} words) could not be found in the audio ({seconds})")
        return Alignment(tuple(_placed(tokens, spans, len(work.audio) / SAMPLE_RATE)))

    def forget(self, utterance: str) -> None:
        if self._pool:
            self._pool.forget(utterance)

    async def _whole(self, audio: Audio) -> list[Row]:
        pcm = await _pcm(audio)
        async with self._loaded().place() as place:
            return await _words(place, "recognise", pcm, audio)

    async def _part(self, audio: Audio, key: str, final: bool) -> list[Row]:
        async with self._loaded().place(key) as place:
            growing = place.growing
            if growing is None or _starts_over(growing, len(audio)):
                pcm = await _pcm(audio)
                if final:
                    return await _words(place, "recognise", pcm, audio)
                place.growing = Growing(key, samples=len(audio), normalised_on=len(audio))
                return await _words(place, "begin", pcm, audio)
            pcm = await _pcm(audio[growing.samples :])
            growing.samples = len(audio)  # before the call: where that fails, the child ends and this with it
            return await _words(place, "finish" if final else "feed", pcm, audio)

    async def _spans(self, audio: Audio, tokens: list[str]) -> list[Span | None] | None:
        if len(audio) < MIN_SAMPLES:
            return None
        pcm = await _pcm(audio)
        async with self._loaded().place() as place:
            reply = await place.child.call({"op": "align", "tokens": tokens}, pcm, timeout_s=_patience_s(audio))
            spans: list[Span | None] | None = reply["spans"]
            return spans

    async def _retrying(self, call: Callable[[], Awaitable[T]]) -> T:
        """Every call brings all of its audio, so one whose child dies is tried again, once."""
        try:
            return await call()
        except DecodingTimeoutError:
            raise
        except BackendCrashedError as error:
            logger.warning("{}; trying once more in a fresh one", error)
            return await call()

    def _loaded(self) -> Pool:
        if self._pool is None:
            raise BackendUnavailableError("backend 'sphinx' is not loaded")
        return self._pool


def create(options: BackendOptions) -> SphinxBackend:
    """For the registry."""
    return SphinxBackend(workers=options.workers)


def _check(work: Work) -> None:
    if work.language not in (None, "en"):
        raise UnsupportedLanguageError(f"backend 'sphinx' speaks en only, not {work.language}", param="language")
    if len(work.audio) > MAX_AUDIO_S * SAMPLE_RATE:
        raise AudioTooLongError(
            f"backend 'sphinx' takes {MAX_AUDIO_S:.0f} s at once, this is {len(work.audio) / SAMPLE_RATE:.1f} s"
        )


def _starts_over(growing: Growing, samples: int) -> bool:
    """Whether the audio is another than the child holds, or so much longer that its mean is worth finding again."""
    grew_twofold = growing.normalised_on < NORMALISED_ENOUGH and samples >= 2 * growing.normalised_on
    return samples < growing.samples or grew_twofold


async def _words(place: Place, op: str, pcm: bytes, audio: Audio) -> list[Row]:
    reply = await place.child.call({"op": op}, pcm, timeout_s=_patience_s(audio))
    words: list[Row] = reply["words"]
    return words


def _patience_s(audio: Audio) -> float:
    """Decoding takes a quarter of the audio's time on an idle core; this is for a machine twenty times as busy."""
    return 10.0 + 5.0 * len(audio) / SAMPLE_RATE


async def _pcm(audio: Audio) -> bytes:
    """16-bit PCM of `audio`, clipped; in a thread, for a minute of it takes 3 ms."""

    def convert() -> bytes:
        samples = np.clip(np.rint(audio * 32_768.0), -32_768, 32_767)
        return bytes(samples.astype("<i2").data)

    return await asyncio.to_thread(convert)


def _hypothesis(rows: Sequence[Row], duration_s: float) -> Hypothesis:
    words = tuple(
        Word(text, min(start_s, duration_s), min(end_s, duration_s), confidence)
        for text, start_s, end_s, confidence in rows
    )
    return Hypothesis(" ".join(word.text for word in words), "en", words, _confidence(words))


def _confidence(words: Sequence[Word]) -> float | None:
    """The mean of the words' probabilities, each for as long as it lasts."""
    weighted = [(word.confidence, word.end_s - word.start_s) for word in words if word.confidence is not None]
    total_s = sum(length_s for _, length_s in weighted)
    return sum(confidence * length_s for confidence, length_s in weighted) / total_s if total_s else None


def _placed(tokens: Sequence[str], spans: Sequence[Span | None], duration_s: float) -> list[Word]:
    """The tokens with their times.

    Tokens without a sound share the gap between their neighbours; before the first and behind the last word they have
    no length, for nothing says how far from it they are. Where no token has a sound, they share the whole audio.
    """
    heard = [span for span in spans if span]
    edges = (heard[0][0], heard[-1][1]) if heard else (0.0, duration_s)
    words: list[Word] = []
    for is_silent, run in groupby(zip(tokens, spans, strict=True), key=lambda pair: pair[1] is None):
        group = list(run)
        if is_silent:
            from_s = words[-1].end_s if words else edges[0]
            to_s = next((span[0] for span in spans[len(words) + len(group) :] if span), edges[1])
            step_s = (to_s - from_s) / len(group)
            group = [(token, (from_s + n * step_s, from_s + (n + 1) * step_s)) for n, (token, _) in enumerate(group)]
        words += [Word(token, min(span[0], duration_s), min(span[1], duration_s)) for token, span in group if span]
    return words


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
