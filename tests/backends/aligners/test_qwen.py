"""The forced aligner: which word a stretch of text is, what it refuses, and where the trained one hears words."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.aligners.base import Align, Alignment
from steno.backends.aligners.qwen import QwenAligner
from steno.backends.qwen import forced_aligner as aligning
from steno.backends.qwen.checkpoint.loader import load_aligner
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.forced_aligner import ForcedAligner, align_units
from steno.errors import (
    AudioTooLongError,
    BackendError,
    BackendUnavailableError,
    StenoError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE
from tiny.clips import ALIGNER, Clip, clips

PIECE_S = 30
"""What the aligner is given at most."""

OPTIONS = LoadOptions(str(ALIGNER), device="cpu", dtype="float32")

SECOND = np.full(SAMPLE_RATE, 0.01, np.float32)


@pytest.fixture(scope="module")
def aligner() -> ForcedAligner:
    return ForcedAligner(load_aligner(OPTIONS, lambda *_: None))


def align(aligner: ForcedAligner, *works: Align) -> list[Alignment | StenoError]:
    return aligner.align(works)


def off_s(found: Alignment | StenoError, clip: Clip) -> np.ndarray:
    """How far each start and end is from the truth."""
    assert isinstance(found, Alignment)
    times = np.array([(word.start_s, word.end_s) for word in found.words])
    return np.abs(times - np.array([(start, end) for _, start, end in clip.words]))


@pytest.mark.parametrize(
    ("text", "said", "stretches"),
    [
        ("Hello, world!", ["Hello", "world"], ["Hello,", "world!"]),
        ('"Well-known" (they say)…', ["Wellknown", "they", "say"], ['"Well-known"', "(they", "say)…"]),
        ("— Yes — no", ["Yes", "no"], ["— Yes —", "no"]),
        ("你好，世界。", ["你", "好", "世", "界"], ["你", "好，", "世", "界。"]),
        ("it's 3.5 €", ["it's", "35"], ["it's", "3.5 €"]),
        ("２０２６年です。㈱", ["2026", "年", "です", "(株)"], ["２０２６", "年", "です。", "㈱"]),
        ("ends with 🎉", ["ends", "with"], ["ends", "with 🎉"]),
    ],
)
def test_each_word_has_its_stretch_of_the_text(text: str, said: list[str], stretches: list[str]) -> None:
    assert [unit.text for unit in align_units(text, said)] == stretches


def test_a_word_that_is_not_in_the_text_is_an_error() -> None:
    with pytest.raises(BackendError, match="missing"):
        align_units("some text", ["some", "missing"])


@pytest.mark.parametrize("name", list(clips()))
def test_words_are_found_where_they_are_spoken(aligner: ForcedAligner, name: str) -> None:
    clip = clips()[name]
    audio = clip.audio
    if len(audio) > PIECE_S * SAMPLE_RATE:
        end = max(end for _, _, end in clip.words if end < PIECE_S)
        words = tuple(word for word in clip.words if word[2] <= end)
        audio, clip = audio[: round(end * SAMPLE_RATE)], Clip(name, "", clip.language, words)
    text = " ".join(word for word, *_ in clip.words)
    (found,) = align(aligner, Align(audio, text, clip.language))
    assert isinstance(found, Alignment)
    assert [word.text for word in found.words] == [word for word, *_ in clip.words]
    assert off_s(found, clip).mean() <= 0.08


def test_case_and_punctuation_change_the_spelling_alone(aligner: ForcedAligner) -> None:
    clip = clips()["english-0"]
    loud = clip.text.upper().replace(" ", ", ")
    (found,) = align(aligner, Align(clip.audio, loud, "en"))
    assert isinstance(found, Alignment)
    assert " ".join(word.text for word in found.words) == loud
    assert off_s(found, clip).mean() <= 0.12


def test_a_batch_says_what_each_says_alone(aligner: ForcedAligner) -> None:
    works = [Align(clip.audio, clip.text, clip.language) for clip in clips().values() if "talk" not in clip.name]
    together = align(aligner, *works)
    for work, found in zip(works, together, strict=True):
        (alone,) = align(aligner, Align(work.audio, work.text, work.language))
        assert found == alone


def test_a_text_that_was_not_said_still_gets_times_in_order(aligner: ForcedAligner) -> None:
    (found,) = align(aligner, Align(SECOND, "a hundred words that nobody has ever said " * 5, None))
    assert isinstance(found, Alignment)
    times = [at for word in found.words for at in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= 1.0


@pytest.mark.parametrize("text", ["", "   ", "…", "🎉"])
def test_a_text_without_words_has_no_times(aligner: ForcedAligner, text: str) -> None:
    assert align(aligner, Align(SECOND, text)) == [Alignment(())]


def test_added_tokens_in_a_text_are_no_marks(aligner: ForcedAligner) -> None:
    (found,) = align(aligner, Align(SECOND, "one <timestamp><|audio_pad|> two"))
    assert isinstance(found, Alignment)
    assert [word.text.split()[0] for word in found.words] == ["one", "two"]


def test_what_it_cannot_align_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligning, "_is_installed", lambda _: False)
    for work, error, named in (
        (Align(SECOND, "tere", "et"), UnsupportedLanguageError, "'et'"),
        (Align(SECOND, "こんにちは", "ja"), UnsupportedFeatureError, "nagisa"),
        (Align(SECOND, "안녕", "ko"), UnsupportedFeatureError, "soynlp"),
        (Align(np.zeros(301 * SAMPLE_RATE, np.float32), "long"), AudioTooLongError, "301"),
        (Align(SECOND, "x" * 10_001), UnsupportedFeatureError, "10001"),
    ):
        with pytest.raises(error, match=named):
            asyncio.run(QwenAligner(OPTIONS).align(work))


async def test_alignments_asked_for_together_are_those_asked_for_alone(aligner: ForcedAligner) -> None:
    works = [Align(clip.audio, clip.text, clip.language) for clip in clips().values() if "talk" not in clip.name]
    threaded = QwenAligner(OPTIONS)
    await threaded.load(lambda *_: None)
    together = await asyncio.gather(*map(threaded.align, works))
    assert together == aligner.align(works)
    await threaded.unload()


async def test_a_cancelled_alignment_leaves_the_others_alone(aligner: ForcedAligner) -> None:
    threaded = QwenAligner(OPTIONS)
    await threaded.load(lambda *_: None)
    works = [Align(SECOND, text) for text in ("one", "two", "three")]
    calls = [asyncio.ensure_future(threaded.align(work)) for work in works]
    await asyncio.sleep(0)
    calls[1].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert [found[0], found[2]] == aligner.align([works[0], works[2]])
    await threaded.unload()


async def test_before_it_is_loaded_and_after_it_is_unloaded_it_takes_nothing() -> None:
    threaded = QwenAligner(OPTIONS)
    with pytest.raises(BackendUnavailableError, match="not loaded"):
        await threaded.align(Align(SECOND, "one"))
    await threaded.load(lambda *_: None)
    await threaded.unload()
    with pytest.raises(BackendUnavailableError, match="not loaded"):
        await threaded.align(Align(SECOND, "one"))
