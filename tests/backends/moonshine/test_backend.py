"""Moonshine as a backend: what it takes, what it keeps of a live utterance, what it gives back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from bystander import Bystander
from steno.backends.base import AsyncBackend, Recognize, UsesDrafts
from steno.backends.moonshine.backend import PADDING, MoonshineBackend, create, is_text, remove_notes
from steno.backends.registry import BackendOptions
from steno.errors import (
    AudioTooLongError,
    BackendUnavailableError,
    SettingsError,
    StenoError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

STEP = SAMPLE_RATE * 48 // 100
"""Samples between two partials."""


async def grow(backend: MoonshineBackend, audio: Audio, key: str, stable: str = "") -> list[Hypothesis]:
    """The partials of an utterance as it grows, then its final."""
    partials = [
        await backend.recognize(Recognize(audio[:end], utterance=key, final=False))
        for end in range(STEP, len(audio), STEP)
    ]
    return [*partials, await backend.recognize(Recognize(audio, utterance=key, stable=stable))]


async def test_it_writes_what_is_said_with_capitals_and_punctuation(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    heard = await backend.recognize(Recognize(speech["beckett"], language="en"))
    assert heard.text == "Ever tried, ever failed, no matter, try again, fail again, fail better."
    assert (heard.language, heard.words, heard.repetition) == ("en", (), False)
    assert heard.confidence is not None
    assert 0.75 < heard.confidence <= 1
    assert heard.scores[-1].end == len(heard.text)


async def test_it_is_surer_of_an_end_behind_a_sentence_than_within_it(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    """`It was the best of times, it was the worst of | times.`"""
    cut, whole = [
        (await backend.recognize(Recognize(speech["two_cities"][: round(end_s * SAMPLE_RATE)], utterance="a")))
        for end_s in (4.0, 5.0)
    ]
    assert cut.sentence_end is not None
    assert whole.sentence_end is not None
    assert whole.sentence_end > cut.sentence_end + 1


async def test_a_live_final_is_recognised_with_silence_behind_it(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    """Right up to the end of `It was the winter of despair.`, whose last word is lost without it."""
    audio = speech["two_cities"][193_280 : round(20.08 * SAMPLE_RATE)]
    final = await backend.recognize(Recognize(audio, utterance="a"))
    with_silence, without = [
        await backend.recognize(Recognize(piece)) for piece in (np.pad(audio, (0, PADDING)), audio)
    ]
    assert final.text == with_silence.text
    assert without.text.endswith("the winter of.")
    assert len(final.text) > len(without.text)


async def test_a_live_utterance_ends_with_nearly_the_text_of_the_whole_piece(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    before = backend.drafts()
    *partials, final = await grow(backend, speech["beckett"], "a")
    assert partials[8].text.startswith("Ever tried")
    assert final.text.lower().count("fail") == 3
    drafts = backend.drafts()
    assert drafts.accepted - before.accepted > 0.7 * (drafts.proposed - before.proposed) > 0


async def test_the_final_begins_with_what_is_stable(backend: MoonshineBackend, speech: dict[str, Audio]) -> None:
    audio = speech["beckett"]
    partial = await backend.recognize(Recognize(audio[: 4 * SAMPLE_RATE], utterance="a", final=False))
    for stable in (partial.text[:10], partial.text):
        await backend.recognize(Recognize(audio[: 4 * SAMPLE_RATE], utterance="a", final=False))
        final = await backend.recognize(Recognize(audio, utterance="a", stable=stable))
        assert final.text.startswith(stable)
        assert len(final.text) > len(partial.text)


async def test_an_utterance_that_was_forgotten_starts_over(backend: MoonshineBackend, speech: dict[str, Audio]) -> None:
    audio = speech["beckett"][: 5 * SAMPLE_RATE]
    whole = await backend.recognize(Recognize(audio, utterance="b"))
    await backend.recognize(Recognize(speech["two_cities"][: 5 * SAMPLE_RATE], utterance="a", final=False))
    backend.forget("a")
    backend.forget("never seen")
    assert (await backend.recognize(Recognize(audio, utterance="a"))).text == whole.text


@pytest.mark.parametrize("samples", [0, 1, 400, 1599])
@pytest.mark.parametrize("final", [True, False])
async def test_too_little_to_be_a_word_is_no_text_and_no_error(
    backend: MoonshineBackend, speech: dict[str, Audio], samples: int, final: bool
) -> None:
    for audio in (np.zeros(samples, np.float32), speech["beckett"][:samples]):
        heard = await backend.recognize(Recognize(audio, utterance=None if final else "a", final=final))
        assert (heard.text, heard.words, heard.confidence) == ("", (), None)


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (Recognize(np.zeros(1600, np.float32), language="de"), UnsupportedLanguageError, "supports en only, not de"),
        (Recognize(np.zeros(1600, np.float32), context="Steno"), UnsupportedFeatureError, "does not support a prompt"),
        (
            Recognize(np.zeros(31 * SAMPLE_RATE, np.float32)),
            AudioTooLongError,
            "takes at most 30 s of audio; this is 31.0 s",
        ),
    ],
)
async def test_what_it_lacks_is_refused_by_name(
    backend: MoonshineBackend, work: Recognize, error: type[StenoError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await backend.recognize(work)


async def test_calls_at_once_say_what_they_say_alone(backend: MoonshineBackend, speech: dict[str, Audio]) -> None:
    works = [Recognize(speech[name][: 6 * SAMPLE_RATE]) for name in speech] * 2
    alone = [(await backend.recognize(work)).text for work in works]
    together = await asyncio.gather(*(backend.recognize(work) for work in works))
    assert [heard.text for heard in together] == alone


async def test_a_cancelled_call_frees_its_thread_and_the_next_one_works(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    long = Recognize(speech["two_cities"][: 30 * SAMPLE_RATE])
    for _ in range(3):
        call = asyncio.ensure_future(backend.recognize(long))
        await asyncio.sleep(0.05)
        before = sum(psutil.Process().cpu_times()[:2])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert sum(psutil.Process().cpu_times()[:2]) - before < 0.4, "decoding goes on for more than a second"
    assert (await backend.recognize(Recognize(speech["beckett"]))).text.startswith("Ever tried")


async def test_the_event_loop_stays_free_while_speech_is_decoded(
    backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    call = asyncio.ensure_future(backend.recognize(Recognize(speech["two_cities"][: 30 * SAMPLE_RATE])))
    late_s: list[float] = []
    with Bystander() as bystander:
        while not call.done():
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            late_s.append(time.perf_counter() - asked)
    assert len(late_s) > 100
    others_s = sorted(bystander.late_s)
    assert sorted(late_s)[len(late_s) * 99 // 100] < 0.05 + others_s[len(others_s) * 99 // 100]


async def test_constructing_it_loads_nothing_and_it_is_of_use_again_after_unloading(speech: dict[str, Audio]) -> None:
    backend: AsyncBackend = MoonshineBackend(workers=1)
    assert isinstance(backend, AsyncBackend)
    assert isinstance(backend, UsesDrafts)
    work = Recognize(speech["beckett"])
    seen: list[tuple[float, str]] = []
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match="not loaded"):
            await backend.recognize(work)
        await backend.load(lambda part, doing: seen.append((part, doing)))
        assert (await backend.recognize(work)).text
        await backend.unload()
    assert [part for part, _ in seen] == [0.0, 0.3, 0.8, 1.0] * 2
    await backend.unload()


def test_settings_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="invalid value 'Klingon' for MODEL_LANGUAGE"):
        create(BackendOptions(language="Klingon"))
    with pytest.raises(SettingsError, match="moonshine-tiny-en is English"):
        create(BackendOptions(language="de"))
    with pytest.raises(SettingsError, match="MODEL_ID='/nowhere' is neither"):
        create(BackendOptions(model_id="/nowhere"))


@pytest.mark.parametrize(
    ("text", "language", "is_speech"),
    [("♪♪♪", "en", False), ("...", "en", False), ("", "en", False), ("你你你你", "en", False), ("Yes.", "en", True),
     ("7", "en", True), ("你好", "zh", True), ("♪", "zh", False)],
)  # fmt: skip
def test_notes_punctuation_and_in_english_other_scripts_are_no_text(text: str, language: str, is_speech: bool) -> None:
    assert is_text(text, language) is is_speech


def test_notes_around_words_are_left_out_and_the_words_keep_their_places() -> None:
    assert remove_notes("♪ La la ♪ land", [1, 4, 7, 9, 14]) == ("La la land", [0, 2, 5, 5, 10])
