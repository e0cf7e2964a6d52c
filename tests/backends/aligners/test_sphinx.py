"""PocketSphinx's aligner: the times of every token, what is refused, and its child processes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import pytest_asyncio

from speech import TRANSCRIPTS
from steno.backends.aligners.base import Align
from steno.backends.aligners.sphinx import SphinxAligner
from steno.backends.base import Recognize
from steno.backends.cpu import UPLOAD_NICE
from steno.backends.sphinx.backend import SphinxBackend
from steno.errors import (
    AudioTooLongError,
    BackendError,
    BackendUnavailableError,
    StenoError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Word

if TYPE_CHECKING:
    from steno.types import Audio

Recording = Callable[[str], "Audio"]

SENTENCES = sorted(name for name in TRANSCRIPTS if name.endswith(".flac"))


@pytest.fixture
async def aligner() -> AsyncIterator[SphinxAligner]:
    """Loaded, with one child process for uploads and one for live work at most."""
    aligner = SphinxAligner(workers=1, live_workers=1)
    await aligner.load(lambda part, doing: None)
    yield aligner
    await aligner.unload()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[tuple[SphinxAligner, SphinxBackend]]:
    """An aligner and a recogniser, on the module's event loop."""
    aligner, recogniser = SphinxAligner(workers=1, live_workers=0), SphinxBackend(workers=1, live_workers=0)
    for backend in (aligner, recogniser):
        await backend.load(lambda part, doing: None)
    yield aligner, recogniser
    for backend in (aligner, recogniser):
        await backend.unload()


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (Align(np.zeros(1600, np.float32), "x", language="de"), UnsupportedLanguageError, "supports en only, not de"),
        (
            Align(np.zeros(61 * SAMPLE_RATE, np.float32), "x"),
            AudioTooLongError,
            "takes at most 60 s of audio; this is 61.0 s",
        ),
        (Align(np.zeros(1600, np.float32), "x" * 6001), UnsupportedFeatureError, "at most 6000 characters"),
    ],
)
async def test_what_it_lacks_is_refused_by_name(
    aligner: SphinxAligner, work: Align, error: type[StenoError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await aligner.align(work)


async def test_its_child_holds_no_language_model_and_ends_with_it(recording: Recording) -> None:
    before = psutil.Process().children()
    aligner = SphinxAligner(workers=1, live_workers=0)
    with pytest.raises(BackendUnavailableError, match="not loaded"):
        await aligner.align(Align(recording("letter.flac"), "x"))
    await aligner.load(lambda part, doing: None)
    (pid,) = aligner.pids
    assert not any("lm.bin" in file.path for file in psutil.Process(pid).memory_maps())
    await aligner.align(Align(recording("letter.flac"), TRANSCRIPTS["letter.flac"]))
    assert psutil.Process(pid).memory_info().rss < 100e6
    await aligner.unload()
    assert psutil.Process().children() == before


async def test_alignments_of_uploads_yield_to_those_of_live_work(aligner: SphinxAligner, recording: Recording) -> None:
    for is_live in (False, True):
        await aligner.align(Align(recording("letter.flac"), TRANSCRIPTS["letter.flac"], is_live=is_live))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert [os.getpriority(os.PRIO_PROCESS, pid) - own for pid in aligner.pids] == [UPLOAD_NICE, 0]


async def test_a_cancelled_alignment_kills_its_child_and_the_next_one_works(
    aligner: SphinxAligner, recording: Recording
) -> None:
    (pid,) = aligner.pids
    audio, text = np.tile(recording("doctor.flac"), 5), " ".join([TRANSCRIPTS["doctor.flac"]] * 5)
    call = asyncio.ensure_future(aligner.align(Align(audio, text)))
    while sum(psutil.Process(pid).cpu_times()[:2]) < 0.5 and not call.done():
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    found = await aligner.align(Align(recording("letter.flac"), TRANSCRIPTS["letter.flac"]))
    assert len(found.words) == 13
    assert pid not in aligner.pids


def middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.asyncio(loop_scope="module")
async def test_alignment_agrees_with_recognition(
    both: tuple[SphinxAligner, SphinxBackend], recording: Recording, name: str
) -> None:
    aligner, recogniser = both
    aligned = await aligner.align(Align(recording(name), TRANSCRIPTS[name], language="en"))
    assert [word.text for word in aligned.words] == TRANSCRIPTS[name].split()
    heard = await recogniser.recognize(Recognize(recording(name)))
    given = [re.sub("[^a-z]", "", word.text.lower()) for word in aligned.words]
    blocks = SequenceMatcher(None, given, [word.text for word in heard.words], autojunk=False).get_matching_blocks()
    right = [(aligned.words[a + n], heard.words[b + n]) for a, b, size in blocks for n in range(size)]
    assert len(right) > len(given) * 0.7
    for mine, other in right:
        assert middle_s(mine) == pytest.approx(middle_s(other), abs=0.15), other


async def test_every_word_gets_its_time_whatever_it_is_made_of(aligner: SphinxAligner, recording: Recording) -> None:
    audio = recording("meeting.flac")
    plain = await aligner.align(Align(audio, TRANSCRIPTS["meeting.flac"]))
    text = "— Mr. Thómas “Braun” will meat … 你好 the PRESIDENT, on the 23rd of March! 😀"
    aligned = await aligner.align(Align(audio, text))
    assert [word.text for word in aligned.words] == text.split()
    times = [time_s for word in aligned.words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(audio) / SAMPLE_RATE
    by_text = {word.text: word for word in reversed(aligned.words)}
    said = {word.text: word for word in plain.words}
    for written, spoken in {"Mr.": "Mister", "“Braun”": "Brown", "PRESIDENT,": "president", "March!": "March."}.items():
        assert middle_s(by_text[written]) == pytest.approx(middle_s(said[spoken]), abs=0.15)
    assert by_text["23rd"].start_s == pytest.approx(said["twenty"].start_s, abs=0.1)
    assert by_text["23rd"].end_s == pytest.approx(said["third"].end_s, abs=0.1)
    assert by_text["…"].start_s == by_text["meat"].end_s
    assert by_text["你好"].end_s == by_text["the"].start_s
    assert by_text["😀"].start_s == by_text["😀"].end_s == by_text["March!"].end_s
    assert by_text["—"].end_s == by_text["Mr."].start_s


async def test_a_name_that_no_dictionary_has_keeps_its_neighbours_in_place(
    aligner: SphinxAligner, recording: Recording
) -> None:
    audio = recording("doctor.flac")
    plain = await aligner.align(Align(audio, TRANSCRIPTS["doctor.flac"]))
    swapped = await aligner.align(Align(audio, TRANSCRIPTS["doctor.flac"].replace("water,", "Wotterski's")))
    for word, other in zip(plain.words, swapped.words, strict=True):
        assert middle_s(other) == pytest.approx(middle_s(word), abs=0.15)


@pytest.mark.parametrize("text", ["", " \n"])
async def test_no_text_is_no_words(aligner: SphinxAligner, recording: Recording, text: str) -> None:
    assert (await aligner.align(Align(recording("letter.flac"), text))).words == ()


async def test_a_text_without_any_sound_shares_the_audio(aligner: SphinxAligner) -> None:
    aligned = await aligner.align(Align(np.full(2 * SAMPLE_RATE, 0.01, np.float32), "你好 世界"))
    assert aligned.words == (Word("你好", 0.0, 1.0), Word("世界", 1.0, 2.0))


async def test_a_text_that_the_audio_cannot_hold_is_an_error(aligner: SphinxAligner, recording: Recording) -> None:
    text = " ".join([TRANSCRIPTS["doctor.flac"]] * 3)
    with pytest.raises(BackendError, match=r"the text \(69 words\) could not be found in the audio \(3.7 s\)"):
        await aligner.align(Align(recording("letter.flac"), text))
    with pytest.raises(BackendError, match="could not be found"):
        await aligner.align(Align(np.zeros(100, np.float32), "hello"))
    assert len((await aligner.align(Align(recording("letter.flac"), TRANSCRIPTS["letter.flac"]))).words) == 13
