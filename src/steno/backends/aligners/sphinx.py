"""PocketSphinx's aligner as an aligner of its own: US English, in child processes that hold no language model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from steno.alignment.repair import Span
from steno.backends.aligners.base import Alignment
from steno.backends.cpu import usable_cores
from steno.backends.sphinx.calls import (
    MAX_AUDIO_S,
    MIN_SAMPLES,
    call_timeout_s,
    check,
    pcm_of,
    start_pools,
    with_retry,
)
from steno.errors import BackendError, BackendUnavailableError, UnsupportedFeatureError
from steno.types import SAMPLE_RATE, Word

if TYPE_CHECKING:
    from steno.backends.aligners.base import Align
    from steno.backends.base import Progress
    from steno.backends.registry import BackendOptions
    from steno.backends.sphinx.calls import ChildPools


MAX_TEXT_CHARS = 6_000
"""100 characters per second of the longest audio, four times the fastest speech."""


class SphinxAligner:
    """See `backends.aligners.base.Aligner`.

    Args:
        workers: child processes for uploads; None = one for each core that this process may use.
        live_workers: additional calls for live work, which has its own children.
    """

    name = "sphinx"
    model_id = "pocketsphinx-en-us"
    languages = frozenset({"en"})
    max_audio_s = MAX_AUDIO_S

    def __init__(self, workers: int | None = None, live_workers: int = 1) -> None:
        self.workers = workers or usable_cores()
        self.live_workers = live_workers
        self._pools: ChildPools | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of usable children."""
        return self._pools.pids if self._pools else []

    async def load(self, progress: Progress) -> None:
        """Raises BackendUnavailableError: pocketsphinx or a part of its model is missing, or it does not start."""
        self._pools = await start_pools("aligner 'sphinx'", self.workers, self.live_workers, "align", progress)

    async def unload(self) -> None:
        pools, self._pools = self._pools, None
        if pools:
            await pools.close()

    async def align(self, work: Align) -> Alignment:
        """Find the times of every token of the text. A token without an English pronunciation gets the times of
        the gap around it.

        Raises:
            UnsupportedLanguageError, AudioTooLongError, UnsupportedFeatureError: the work is not supported.
            BackendError: the audio cannot hold the text. (A wrong text of the right length is not noticed.)
        """
        check(work.audio, work.language)
        if len(work.text) > MAX_TEXT_CHARS:
            raise UnsupportedFeatureError(
                f"aligner 'sphinx' takes at most {MAX_TEXT_CHARS} characters; this text has {len(work.text)}"
            )
        tokens = work.text.split()
        if not tokens:
            return Alignment(())
        spans = await with_retry(lambda: self._spans(work, tokens))
        if spans is None:
            seconds = f"{len(work.audio) / SAMPLE_RATE:.1f} s"
            raise BackendError(f"the text ({len(tokens)} words) could not be found in the audio ({seconds})")
        return Alignment(tuple(_placed(tokens, spans, len(work.audio) / SAMPLE_RATE)))

    async def _spans(self, work: Align, tokens: list[str]) -> list[Span | None] | None:
        audio = work.audio
        if len(audio) < MIN_SAMPLES:
            return None
        if self._pools is None:
            raise BackendUnavailableError("aligner 'sphinx' is not loaded")
        pcm = await pcm_of(audio)
        async with self._pools.of(is_live=work.is_live).lease() as lease:
            reply = await lease.child.call({"op": "align", "tokens": tokens}, pcm, timeout_s=call_timeout_s(audio))
            spans: list[Span | None] | None = reply["spans"]
            return spans


def create(options: BackendOptions) -> SphinxAligner:
    """For the registry."""
    return SphinxAligner(workers=options.workers)


def _placed(tokens: Sequence[str], spans: Sequence[Span | None], duration_s: float) -> list[Word]:
    """The tokens with their times.

    Tokens without a sound share the gap between their neighbours; before the first and behind the last word they have
    no length, for nothing says how far from it they are. Where no token has a sound, they share the whole audio.
    """
    voiced = [span for span in spans if span]
    edges = (voiced[0][0], voiced[-1][1]) if voiced else (0.0, duration_s)
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
