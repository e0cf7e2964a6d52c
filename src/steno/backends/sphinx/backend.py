"""PocketSphinx as an `AsyncBackend`: small, offline, US English; the default where no better one can run."""

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
    check,
    patience_s,
    pcm_of,
    retrying,
    start_pools,
)
from steno.backends.sphinx.pool import PartialUtterance, PooledChild
from steno.errors import BackendUnavailableError, UnsupportedFeatureError
from steno.types import SAMPLE_RATE, Hypothesis, Word

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions
    from steno.types import Audio

Row: TypeAlias = tuple[str, float, float, float | None]
"""word, start and end in seconds, probability"""

MIN_LIVE_SAMPLES = SAMPLE_RATE * 4 // 10
"""A live utterance is decoded from here on: of less, the cepstral mean says nothing."""

NORMALISED_ENOUGH = SAMPLE_RATE * 2
"""Until the mean of a live utterance comes from this much, decoding starts over each time its audio has doubled."""


class SphinxBackend:
    """See `Capabilities` for what it can do.

    Args:
        workers: child processes for uploads; None = one for each core that this process may use.
        live_workers: calls for live utterances that run beside those of uploads; live work has children of its own.
        recycle_after: calls after which a child is replaced by a fresh one.
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
        """Of the children that are ready for use."""
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
        """Decode a piece, or what is new of a live utterance.

        The final result of an utterance that was decoded as it grew may differ from that of the same audio as one
        piece: the one is normalised by the mean of its first seconds, the other by that of all.
        """
        check(work.audio, work.language)
        if work.context:
            raise UnsupportedFeatureError("backend 'sphinx' takes no prompt and no hot words", param="prompt")
        is_growing = work.utterance is not None and not work.final
        least = MIN_LIVE_SAMPLES if is_growing else MIN_SAMPLES
        if len(work.audio) < least or not work.audio.any():
            rows: Sequence[Row] = ()
        elif work.utterance is None:
            rows = await retrying(lambda: self._whole(work.audio))
        else:
            key = work.utterance
            rows = await retrying(lambda: self._part(work.audio, key, work.final))
        if work.utterance is not None and work.final:
            self.forget(work.utterance)
        return _hypothesis(rows, len(work.audio) / SAMPLE_RATE)

    def forget(self, utterance: str) -> None:
        if self._pools:
            self._pools.live.forget(utterance)

    async def _whole(self, audio: Audio) -> list[Row]:
        pcm = await pcm_of(audio)
        async with self._loaded().uploads.place() as place:
            return await _words(place, "recognise", pcm, audio)

    async def _part(self, audio: Audio, key: str, final: bool) -> list[Row]:
        async with self._loaded().live.place(key) as place:
            growing = place.growing
            if growing is None or _starts_over(growing, len(audio)):
                pcm = await pcm_of(audio)
                if final:
                    return await _words(place, "recognise", pcm, audio)
                place.growing = PartialUtterance(key, samples=len(audio), normalised_on=len(audio))
                return await _words(place, "begin", pcm, audio)
            pcm = await pcm_of(audio[growing.samples :])
            growing.samples = len(audio)  # before the call: where that fails, the child ends and this with it
            return await _words(place, "finish" if final else "feed", pcm, audio)

    def _loaded(self) -> ChildPools:
        if self._pools is None:
            raise BackendUnavailableError("backend 'sphinx' is not loaded")
        return self._pools


def create(options: BackendOptions) -> SphinxBackend:
    """For the registry."""
    return SphinxBackend(workers=options.workers)


def _starts_over(growing: PartialUtterance, samples: int) -> bool:
    """Whether the audio is another than the child holds, or so much longer that its mean is worth finding again."""
    grew_twofold = growing.normalised_on < NORMALISED_ENOUGH and samples >= 2 * growing.normalised_on
    return samples < growing.samples or grew_twofold


async def _words(place: PooledChild, op: str, pcm: bytes, audio: Audio) -> list[Row]:
    reply = await place.child.call({"op": op}, pcm, timeout_s=patience_s(audio))
    words: list[Row] = reply["words"]
    return words


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
