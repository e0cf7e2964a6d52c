"""Checks of a real recogniser, each a `Check`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.verification import memory, rates
from benchmarks.verification.material import Clip
from benchmarks.verification.memory import MB
from benchmarks.verification.ours import Recogniser
from benchmarks.verification.outcome import Check, judged, skipped
from benchmarks.verification.theirs import generate, scores_at
from steno.backends.base import Recognize
from steno.captions.script import joined
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

CONTEXT = "Recorded on a Tuesday; the speakers are Agatha and Bartholomew."
"""A context that is not spoken in any recording."""

TIES = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""Max difference of equal scores, because rounding depends on the batch's shape: some steps of each format at the size
of scores, about 30."""

SEEN_MB = 1000
"""Min size of weights; smaller ones are lost in what a process keeps for libraries, threads and caches."""

RETURNED = 0.9

NOISE = {"silence": 0.0, "hiss at -60 dB": 1e-3, "hiss at -40 dB": 1e-2, "hiss at -26 dB": 5e-2}
"""RMS."""


@dataclass(frozen=True, slots=True)
class File:
    """The recognised text of a recording, for the report."""

    name: str
    seconds: float
    said: str | None
    heard: str
    language: str | None
    rate: float | None
    unit: str | None
    tokens: int


def load(ours: Recogniser, before: int) -> Check:
    """`before`: bytes in use on the model's device before it was loaded."""
    model, source = ours.loaded, ours.loaded.source
    dtype = str(model.dtype).removeprefix("torch.")
    held = memory.of_model(model.device) - before
    return judged(
        "load",
        True,
        f"{source.parameters / 1e6:.1f} M parameters, {source.layout} layout, {dtype} on {model.device}, "
        f"{ours.load_s:.1f} s, {held / MB:.0f} MB, {memory.peak() / MB:.0f} MB of memory at most",
        folder=str(source.folder),
        layout=source.layout,
        parameters=source.parameters,
        dtype=dtype,
        stored_as=", ".join(sorted(source.dtypes)),
        device=str(model.device),
        load_s=round(ours.load_s, 2),
        model_mb=round(held / MB, 1),
        peak_mb=round(memory.peak() / MB, 1),
        **memory.on_gpu(model.device),
    )


def parity(ours: Recogniser, pieces: Sequence[Audio]) -> Check:
    """Compares tokens with `generate`: alone and batched, plain, with a context, with a forced language."""
    torch.backends.cudnn.allow_tf32 = False  # convolutions in fp32 would have ten bits, rounded by the batch's shape
    wishes = [(None, ""), ("en", ""), (None, CONTEXT)]
    works = [Recognize(piece, *wishes[n % len(wishes)]) for n, piece in enumerate(pieces)]
    wanted = [generate(ours.loaded, ours.ends, [work])[0] for work in works]
    differing: dict[str, list[str]] = {}
    measured: dict[str, Any] = {"pieces": len(works), "tokens": sum(map(len, wanted))}
    for name, at_once in (("alone", 1), ("batched", ours.slots)):
        found = [heard.tokens for heard in ours.hear(works, at_once)]
        differences = [
            _difference(ours, f"piece {n} ({len(work.audio) / SAMPLE_RATE:.1f} s)", work, tokens, theirs)
            for n, (work, tokens, theirs) in enumerate(zip(works, found, wanted, strict=True))
            if tokens != theirs
        ]
        differing[name] = [one.says for one in differences if not one.is_tie]
        measured[f"equal_{name}"] = len(works) - len(differences)
        measured[f"ties_{name}"] = sum(one.is_tie for one in differences)
        measured[f"differing_{name}"] = differing[name]
    bad = [says for name in differing for says in differing[name]]
    dtype = str(ours.loaded.dtype).removeprefix("torch.")
    says = f"{measured['equal_alone']} of {len(works)} pieces alone and {measured['equal_batched']} batched have the "
    says += f"tokens of transformers' generate, in {dtype}" + (f"; {bad[0]}" if bad else "")
    if ties := measured["ties_alone"] + measured["ties_batched"]:
        says += f"; {ties} differ by a tie"
    return judged("parity", not bad, says, dtype=dtype, **measured)


@dataclass(frozen=True, slots=True)
class _Difference:
    says: str
    is_tie: bool


def _difference(
    ours: Recogniser, name: str, work: Recognize, tokens: tuple[int, ...], wanted: tuple[int, ...]
) -> _Difference:
    """The first token that differs, and the difference of both scores by `generate`."""
    at = next((n for n, (a, b) in enumerate(zip(tokens, wanted, strict=False)) if a != b), None)
    at = min(len(tokens), len(wanted)) if at is None else at
    one, other = ([row[at]] if at < len(row) else sorted(ours.ends) for row in (tokens, wanted))
    scores = scores_at(ours.loaded, work, at)
    gap = float("inf") if scores is None else abs(float(scores[other].max() - scores[one].max()))
    spell: Any = ours.loaded.processor
    said, theirs = (repr(spell.tokenizer.decode(ids[:1])) for ids in (one, other))
    says = f"{name}: token {at} is {said} ({one[0]}), by generate {theirs} ({other[0]}), scores {gap:.3g} apart"
    return _Difference(says, gap < TIES[ours.loaded.dtype])


def text(ours: Recogniser, clips: Sequence[Clip], limit: float) -> tuple[Check, list[File]]:
    """All recordings, with the language detected by the model."""
    heard = iter(ours.hear([Recognize(piece) for clip in clips for piece in clip.pieces]))
    files, counted, languages = [], [], []
    for clip in clips:
        own = [next(heard) for _ in clip.pieces]
        whole = joined([one.hypothesis.text for one in own if one.hypothesis.text])
        language = next((one.hypothesis.language for one in own if one.hypothesis.language), None)
        reference = clip.reference
        found = rates.errors(reference.text, whole) if reference else None
        if reference and found:
            counted.append(found)
            if reference.language:
                languages.append(reference.language == language)
        said, rate, unit = (reference.text, found.rate, found.unit) if reference and found else (None, None, None)
        tokens = sum(len(one.tokens) for one in own)
        files.append(File(clip.name, clip.seconds, said, whole, language, rate, unit, tokens))
    if not counted:
        return skipped("text", "no recording has a reference: put x.txt beside x.wav"), files
    totals = rates.summed(counted)
    measured: dict[str, Any] = {one.unit.lower(): round(one.rate, 4) for one in totals}
    measured |= {"files": len(counted), "limit": limit, "right_language": f"{sum(languages)} of {len(languages)}"}
    says = ", ".join(f"{one.unit} {one.rate:.1%} of {one.total}" for one in totals)
    worst = max((file for file in files if file.rate is not None), key=lambda file: file.rate or 0.0)
    says += f" in {len(counted)} files (at most {limit:.0%}); worst: {worst.name}, {worst.rate:.1%}"
    return judged("text", all(one.rate <= limit for one in totals), says, **measured), files


def nothing(ours: Recogniser) -> Check:
    """Three seconds without speech."""
    rng = np.random.default_rng(0)
    rooms = {
        name: np.asarray(level * rng.standard_normal(3 * SAMPLE_RATE), np.float32) for name, level in NOISE.items()
    }
    heard = ours.hear([Recognize(room) for room in rooms.values()])
    texts = {name: one.hypothesis.text for name, one in zip(rooms, heard, strict=True)}
    wrong = [f"{name} is heard as {text!r}" for name, text in texts.items() if text]
    return judged("nothing", not wrong, "; ".join(wrong) or f"no text for {', '.join(texts)}", **texts)


def speed(ours: Recogniser, pieces: Sequence[Audio]) -> Check:
    """Seconds per second of audio, one piece at a time and batched, ours and `generate`'s."""
    works = [Recognize(piece) for piece in pieces]
    seconds = sum(len(piece) for piece in pieces) / SAMPLE_RATE
    by_length = sorted(works, key=lambda work: len(work.audio))
    batches = [by_length[n : n + ours.slots] for n in range(0, len(by_length), ours.slots)]

    def ours_at_once(at_once: int) -> int:
        return sum(len(one.tokens) for one in ours.hear(works, at_once))

    def tokens_in(some: Iterable[Sequence[Recognize]]) -> int:
        return sum(len(tokens) for batch in some for tokens in generate(ours.loaded, ours.ends, batch))

    ways: dict[str, Callable[[], int]] = {
        "ours_alone": lambda: ours_at_once(1),
        "ours_batched": lambda: ours_at_once(ours.slots),
        "generate_alone": lambda: tokens_in([work] for work in works),
        "generate_batched": lambda: tokens_in(batches),
    }
    measured: dict[str, Any] = {"seconds": round(seconds, 1), "pieces": len(pieces), "slots": ours.slots}
    for name, way in ways.items():
        began = time.perf_counter()
        tokens = way()
        took = time.perf_counter() - began
        measured |= {f"{name}_rtf": round(took / seconds, 4), f"{name}_tokens_per_s": round(tokens / took, 1)}
    alone, batched = measured["ours_alone_rtf"], measured["ours_batched_rtf"]
    says = f"real-time factor {alone:.3f} alone and {batched:.3f} with {ours.slots} slots; transformers' generate "
    says += f"{measured['generate_alone_rtf']:.3f} and {measured['generate_batched_rtf']:.3f}"
    return judged("speed", alone < 1, says if alone < 1 else f"slower than speech: {says}", **measured)


def unload(ours: Recogniser, before: int) -> Check:
    """Share of the weights' memory that is returned. `before`: bytes in use before loading."""
    device, weights = ours.loaded.device, ours.loaded.source.parameters * ours.loaded.dtype.itemsize
    held = memory.of_model(device)
    ours.unload()
    after = memory.of_model(device)
    share = 1 - (after - before) / weights
    measured = {"weights_mb": weights / MB, "before_mb": before / MB, "held_mb": held / MB, "after_mb": after / MB}
    measured = {name: round(value, 1) for name, value in measured.items()} | memory.on_gpu(device)
    if device.type != "cuda" and weights < SEEN_MB * MB:
        why = f"weights of {weights / MB:.0f} MB are too small to be seen coming back"
        return Check("unload", "skipped", why, measured)
    where = "on the GPU" if device.type == "cuda" else "of memory"
    kept = f"{(after - before) / MB:+.0f} MB {where} against before loading"
    says = f"{share:.0%} of {weights / MB:.0f} MB of weights came back: {kept}"
    return judged("unload", share >= RETURNED, says, share=round(share, 3), **measured)


def spread(clips: Sequence[Clip], count: int | None = None, seconds: float | None = None) -> list[Audio]:
    """A sample of the pieces: at most `count`, at most about `seconds`."""
    pieces = [piece for clip in clips for piece in clip.pieces if piece.any()]
    wanted = min(count or len(pieces), len(pieces))
    chosen = [pieces[n * len(pieces) // wanted] for n in range(wanted)]
    return list(_within(chosen, seconds)) if seconds else chosen


def _within(pieces: Sequence[Audio], seconds: float) -> Iterator[Audio]:
    total = 0.0
    for piece in pieces:
        total += len(piece) / SAMPLE_RATE
        if total > seconds and total > len(piece) / SAMPLE_RATE:
            return
        yield piece
