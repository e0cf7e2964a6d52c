"""PocketSphinx as an `AsyncBackend`: small, offline, US English; the default where no better backend can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from steno.backends.base import Capabilities, Progress, Recognize
from steno.backends.cpu import usable_cores
from steno.backends.sphinx.calls import (
    MAX_AUDIO_S,
    MIN_SAMPLES,
    RECYCLE_AFTER,
    ChildPools,
    call_timeout_s,
    check,
    pcm_of,
    start_pools,
    with_retry,
)
from steno.backends.sphinx.pool import PartialUtterance, PooledChild
from steno.errors import BackendUnavailableError, UnsupportedFeatureError
from steno.types import SAMPLE_RATE, Hypothesis, Word

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions
    from steno.types import Audio

WordRow: TypeAlias = tuple[str, float, float, float | None]
"""word, start and end in seconds, probability"""

MIN_LIVE_SAMPLES = SAMPLE_RATE * 4 // 10
"""Shortest live utterance that is decoded: the cepstral mean of less audio is not usable."""

NORMALISED_ENOUGH = SAMPLE_RATE * 2
"""Until its cepstral mean is computed from this much audio, an utterance is decoded again whenever it has doubled."""


class SphinxBackend:
    """See `Capabilities` for what it supports.

    Args:
        workers: child processes for uploads; None = one for each core that this process may use.
        live_workers: additional calls for live utterances; live work has its own children.
        recycle_after: calls after which a child is replaced.
    """

    name = "sphinx"
    model_id = "pocketsphinx-en-us"
    device = "cpu"
    capabilities = Capabilities(
        languages=frozenset({"en"}),
        live=True,
        word_times=True,
        context=False,
        max_audio_s=MAX_AUDIO_S,
    )

    def __init__(
        self, workers: int | None = None, live_workers: int = 2, *, recycle_after: int = RECYCLE_AFTER
    ) -> None:
        self._workers = workers or usable_cores()
        self._live_workers = live_workers
        self._recycle_after = recycle_after
        self._pools: ChildPools | None = None

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def live_workers(self) -> int:
        return self._live_workers

    @property
    def pids(self) -> list[int]:
        """Process ids of usable children."""
        return self._pools.pids if self._pools else []

    async def load(self, progress: Progress) -> None:
        """Raises BackendUnavailableError: pocketsphinx or a part of its model is missing, or it does not start."""
        self._pools = await start_pools(
            "backend 'sphinx'", self._workers, self._live_workers, "recognise", progress, self._recycle_after
        )

    async def unload(self) -> None:
        pools, self._pools = self._pools, None
        if pools:
            await pools.close()

    async def recognize(self, work: Recognize) -> Hypothesis:
        """Decode a piece, or the new audio of a live utterance.

        The final text of an utterance that was decoded incrementally may differ from that of the same audio as one
        piece: the former is normalised by the mean of its first seconds, the latter by the mean of all.
        """
        check(work.audio, work.language)
        if work.context:
            raise UnsupportedFeatureError("backend 'sphinx' does not support a prompt or hot words", param="prompt")
        is_growing = work.utterance is not None and not work.final
        min_samples = MIN_LIVE_SAMPLES if is_growing else MIN_SAMPLES
        if len(work.audio) < min_samples or not work.audio.any():
            rows: Sequence[WordRow] = ()
        elif work.utterance is None:
            rows = await with_retry(lambda: self._recognise_whole(work.audio))
        else:
            key = work.utterance
            rows = await with_retry(lambda: self._recognise_growing(work.audio, key, work.final))
        if work.utterance is not None and work.final:
            self.forget(work.utterance)
        return _hypothesis(rows, len(work.audio) / SAMPLE_RATE)

    def forget(self, utterance: str) -> None:
        if self._pools:
            self._pools.live.forget(utterance)

    async def _recognise_whole(self, audio: Audio) -> list[WordRow]:
        pcm = await pcm_of(audio)
        async with self._loaded().uploads.lease() as lease:
            return await _words(lease, "recognise", pcm, audio)

    async def _recognise_growing(self, audio: Audio, key: str, final: bool) -> list[WordRow]:
        async with self._loaded().live.lease(key) as lease:
            growing = lease.growing
            if growing is None or _starts_over(growing, len(audio)):
                pcm = await pcm_of(audio)
                if final:
                    return await _words(lease, "recognise", pcm, audio)
                lease.growing = PartialUtterance(key, samples=len(audio), normalised_on=len(audio))
                return await _words(lease, "begin", pcm, audio)
            pcm = await pcm_of(audio[growing.samples :])
            growing.samples = len(audio)  # before the call: if it fails, the child ends and this state with it
            return await _words(lease, "finish" if final else "feed", pcm, audio)

    def _loaded(self) -> ChildPools:
        if self._pools is None:
            raise BackendUnavailableError("backend 'sphinx' is not loaded")
        return self._pools


def create(options: BackendOptions) -> SphinxBackend:
    """For the registry."""
    return SphinxBackend(workers=options.workers)


def _starts_over(growing: PartialUtterance, samples: int) -> bool:
    """Whether the audio is not the child's, or so much longer that its mean should be computed again."""
    has_doubled = growing.normalised_on < NORMALISED_ENOUGH and samples >= 2 * growing.normalised_on
    return samples < growing.samples or has_doubled


async def _words(lease: PooledChild, op: str, pcm: bytes, audio: Audio) -> list[WordRow]:
    reply = await lease.child.call({"op": op}, pcm, timeout_s=call_timeout_s(audio))
    words: list[WordRow] = reply["words"]
    return words


def _hypothesis(rows: Sequence[WordRow], duration_s: float) -> Hypothesis:
    words = tuple(
        Word(text, min(start_s, duration_s), min(end_s, duration_s), confidence)
        for text, start_s, end_s, confidence in rows
    )
    return Hypothesis(" ".join(word.text for word in words), "en", words, _confidence(words))


def _confidence(words: Sequence[Word]) -> float | None:
    """The mean of the words' probabilities, weighted by duration."""
    weighted = [(word.confidence, word.end_s - word.start_s) for word in words if word.confidence is not None]
    total_s = sum(length_s for _, length_s in weighted)
    return sum(confidence * length_s for confidence, length_s in weighted) / total_s if total_s else None
