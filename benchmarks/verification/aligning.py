"""Checks of a real aligner's word times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from statistics import mean, median
from typing import Any

from benchmarks.verification import rates
from benchmarks.verification.checks import File
from benchmarks.verification.material import Clip
from benchmarks.verification.ours import Aligned, Aligner
from benchmarks.verification.outcome import Check, judged, skipped
from steno.backends.aligners.base import Align
from steno.backends.qwen.forced_aligner import CODES
from steno.errors import StenoError

MAX_S = 30.0
"""Max length of a recording; the text of a part of a longer one is unknown."""

CLOSE_S = 1e-3
REPAIRED = 0.5
"""Max share of words that need repair. Some do: short words that start and end in one 80 ms class."""

SPEECH_RATES = {"WER": (0.7, 6.0), "CER": (1.5, 12.0)}
"""Words, or characters, per second: from dictation to fast speech."""


def check(aligner: Aligner, clips: Sequence[Clip], files: Sequence[File], limit_s: float) -> Check:
    """Word times of the reference text if known, otherwise of the recognised text (`files`)."""
    seen: list[tuple[Clip, Aligned]] = []
    refused: list[str] = []
    for clip, work in _works(clips, files):
        try:
            seen.append((clip, aligner.align(work)))
        except StenoError as error:
            refused.append(f"{clip.name}: {error.message}")
    words = sum(len(aligned.alignment.words) for _, aligned in seen)
    if not words:
        return skipped("aligner", refused[0] if refused else f"no speech in recordings of up to {MAX_S:.0f} s")
    wrong = [f"{clip.name}: {what}" for clip, aligned in seen for what in _problems(clip, aligned)]
    wrong += _implausible([_speech_rate(aligned) for _, aligned in seen])
    raw = sum(len(aligned.raw) for _, aligned in seen)
    share = sum(_repaired(aligned) for _, aligned in seen) / raw if raw else None
    if share is not None and share > REPAIRED:
        wrong.append(f"{share:.0%} of the words needed repair")
    errors = {clip.name: own for clip, aligned in seen if (own := list(_errors_s(clip, aligned)))}
    mean_s = mean(chain.from_iterable(errors.values())) if errors else None
    if mean_s is not None and mean_s > limit_s:
        worst = max(errors, key=lambda name: mean(errors[name]))
        off = f"words are {mean_s * 1000:.0f} ms off in the mean, {limit_s * 1000:.0f} are allowed"
        wrong.append(f"{off}; worst: {worst}, {mean(errors[worst]) * 1000:.0f} ms")
    says = f"{words} words in {len(seen)} files: in order, inside the audio, none without length"
    says += "" if share is None else f"; {share:.1%} needed repair"
    says += "" if mean_s is None else f"; {mean_s * 1000:.0f} ms off in the mean"
    measured: dict[str, Any] = {"files": len(seen), "words": words, "load_s": round(aligner.load_s, 2)}
    measured |= {"repaired_share": None if share is None else round(share, 4), "refused": refused, "wrong": wrong}
    measured |= {"mean_error_ms": None if mean_s is None else round(mean_s * 1000, 1)}
    measured |= {"compared_files": len(errors)}
    return judged("aligner", not wrong, wrong[0] if wrong else says, **measured)


def _works(clips: Sequence[Clip], files: Sequence[File]) -> Iterator[tuple[Clip, Align]]:
    heard = {file.name: file for file in files}
    for clip in clips:
        file, reference = heard.get(clip.name), clip.reference
        language = (reference.language if reference else None) or (file.language if file else None)
        text = reference.text if reference else file.heard if file else ""
        if text and clip.seconds <= MAX_S:
            yield clip, Align(clip.audio, text, language if language in CODES else None)


def _problems(clip: Clip, aligned: Aligned) -> Iterator[str]:
    words = aligned.alignment.words
    for one, other in pairwise(words):
        if other.start_s < one.end_s - CLOSE_S:
            yield f"{other.text!r} begins at {other.start_s:.2f} s, before {one.text!r} ends"
    for word in words:
        if word.end_s - word.start_s < CLOSE_S:
            yield f"{word.text!r} has no length"
        if word.start_s < 0 or word.end_s > clip.seconds + CLOSE_S:
            yield f"{word.text!r} at {word.start_s:.2f} to {word.end_s:.2f} s is outside of {clip.seconds:.2f} s"


def _speech_rate(aligned: Aligned) -> tuple[str, float]:
    words = aligned.alignment.words
    text = " ".join(word.text for word in words)
    unit = "CER" if rates.is_spaceless(text) else "WER"
    return unit, len(words) / max(words[-1].end_s - words[0].start_s, CLOSE_S) if words else 0.0


def _implausible(found: Sequence[tuple[str, float]]) -> Iterator[str]:
    for unit, (low, high) in SPEECH_RATES.items():
        own = [rate for name, rate in found if name == unit]
        if own and not low <= median(own) <= high:
            yield f"{median(own):.1f} words a second are spoken, {low} to {high} are plausible"


def _repaired(aligned: Aligned) -> int:
    """Words whose times were repaired."""
    given = [(word.start_s, word.end_s) for word in aligned.alignment.words]
    if len(given) != len(aligned.raw):
        return 0
    return sum(
        abs(start - raw_start) > CLOSE_S or abs(end - raw_end) > CLOSE_S
        for (start, end), (raw_start, raw_end) in zip(given, aligned.raw, strict=True)
    )


def _errors_s(clip: Clip, aligned: Aligned) -> Iterator[float]:
    """Error of each start and end, if the reference has times for the same words."""
    words = aligned.alignment.words
    known = clip.reference.words if clip.reference else ()
    if len(known) == len(words):
        for word, (_, start_s, end_s) in zip(words, known, strict=True):
            yield abs(word.start_s - start_s)
            yield abs(word.end_s - end_s)
