from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from bystander import Bystander
from speech import TRANSCRIPTS, word_error_rate
from steno.backends.base import AsyncBackend, Recognize
from steno.backends.cpu import UPLOAD_NICE
from steno.backends.sphinx.backend import SphinxBackend
from steno.errors import (
    AudioTooLongError,
    BackendCrashedError,
    BackendUnavailableError,
    StenoError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.types import Audio

Recording = Callable[[str], "Audio"]

SENTENCES = sorted(name for name in TRANSCRIPTS if name.endswith(".flac"))
STEP = SAMPLE_RATE * 48 // 100
"""Samples between two partials."""

ON_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
"""For tests of `shared_backend`."""


async def grow(backend: SphinxBackend, audio: Audio, key: str, step: int = STEP) -> list[Hypothesis]:
    """The partials of an utterance as it grows, then its final."""
    partials = [
        await backend.recognize(Recognize(audio[:end], utterance=key, final=False))
        for end in range(step, len(audio), step)
    ]
    return [*partials, await backend.recognize(Recognize(audio, utterance=key))]


def cpu_s(backend: SphinxBackend) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in backend.pids)


async def running(call: asyncio.Task[object] | asyncio.Future[object], backend: SphinxBackend) -> psutil.Process:
    """The child that is at work on `call`. What a child uses to start, before it is seen here, is no work."""
    before_s: dict[int, float] = {}
    while not call.done():
        for pid in backend.pids:
            used_s = sum(psutil.Process(pid).cpu_times()[:2])
            if used_s - before_s.setdefault(pid, used_s) > 0.1:
                return psutil.Process(pid)
        await asyncio.sleep(0.01)
    raise AssertionError("the call was done before its child could be seen at work")


# --- recognition ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@ON_ONE_LOOP
async def test_it_hears_what_is_said(shared_backend: SphinxBackend, recording: Recording) -> None:
    heard = {name: await shared_backend.recognize(Recognize(recording(name))) for name in SENTENCES}
    rates = {name: word_error_rate(name, heard[name].text) for name in SENTENCES}
    assert max(rates.values()) < 0.2, rates
    assert sum(rates.values()) / len(rates) < 0.1, rates


@ON_ONE_LOOP
async def test_words_come_in_order_with_times_inside_the_audio(
    shared_backend: SphinxBackend, recording: Recording
) -> None:
    audio = recording("market.flac")
    heard = await shared_backend.recognize(Recognize(audio, language="en"))
    times = [time_s for word in heard.words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0.2 <= times[0] < times[-1] <= len(audio) / SAMPLE_RATE
    assert heard.text == " ".join(word.text for word in heard.words)
    assert re.fullmatch("[a-z' ]+", heard.text)
    assert heard.language == "en"
    assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in heard.words)
    assert heard.confidence is not None
    assert 0.6 < heard.confidence < 1


@ON_ONE_LOOP
@pytest.mark.slow
async def test_what_was_decoded_before_changes_nothing(shared_backend: SphinxBackend, recording: Recording) -> None:
    first = await shared_backend.recognize(Recognize(recording("letter.flac")))
    for other in (
        recording("doctor.flac")[: 3 * SAMPLE_RATE],
        np.full(SAMPLE_RATE, 1e-5, np.float32),
        recording("train.flac")[:2000],
    ):
        await shared_backend.recognize(Recognize(other))
    await grow(shared_backend, recording("train.flac")[: 3 * SAMPLE_RATE], "a")
    assert await shared_backend.recognize(Recognize(recording("letter.flac"))) == first


@pytest.mark.parametrize("samples", [0, 1, 400, 1599, 1600])
@pytest.mark.parametrize("final", [True, False])
@ON_ONE_LOOP
async def test_too_little_to_be_a_word_is_no_text_and_no_error(
    shared_backend: SphinxBackend, recording: Recording, samples: int, final: bool
) -> None:
    for audio in (np.zeros(samples, np.float32), recording("train.flac")[:samples]):
        heard = await shared_backend.recognize(Recognize(audio, utterance=None if final else "a", final=final))
        assert (heard.text, heard.words, heard.confidence) == ("", (), None)


@ON_ONE_LOOP
async def test_a_single_word_of_half_a_second_is_heard(shared_backend: SphinxBackend, recording: Recording) -> None:
    whole = await shared_backend.recognize(Recognize(recording("market.flac")))
    today = next(word for word in whole.words if word.text == "today")
    cut = recording("market.flac")[int((today.start_s - 0.1) * SAMPLE_RATE) : int((today.end_s + 0.1) * SAMPLE_RATE)]
    assert len(cut) < SAMPLE_RATE
    assert (await shared_backend.recognize(Recognize(cut))).text.endswith("today")


@ON_ONE_LOOP
async def test_digital_silence_is_no_text(shared_backend: SphinxBackend) -> None:
    heard = await shared_backend.recognize(Recognize(np.zeros(3 * SAMPLE_RATE, np.float32)))
    assert (heard.text, heard.words) == ("", ())


@ON_ONE_LOOP
async def test_audio_past_full_scale_is_clipped_and_not_wrapped(
    shared_backend: SphinxBackend, recording: Recording
) -> None:
    heard = await shared_backend.recognize(Recognize(recording("letter.flac") * 3))
    assert word_error_rate("letter.flac", heard.text) < 0.2


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (Recognize(np.zeros(1600, np.float32), language="de"), UnsupportedLanguageError, "supports en only, not de"),
        (Recognize(np.zeros(1600, np.float32), context="Steno"), UnsupportedFeatureError, "does not support a prompt"),
        (
            Recognize(np.zeros(61 * SAMPLE_RATE, np.float32)),
            AudioTooLongError,
            "takes at most 60 s of audio; this is 61.0 s",
        ),
    ],
)
@ON_ONE_LOOP
async def test_what_it_lacks_is_refused_by_name(
    shared_backend: SphinxBackend, work: Recognize, error: type[StenoError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await shared_backend.recognize(work)


# --- live utterances --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name if name == "train.flac" else pytest.param(name, marks=pytest.mark.slow) for name in SENTENCES]
)
@ON_ONE_LOOP
async def test_a_live_utterance_ends_with_nearly_the_text_of_the_whole_piece(
    shared_backend: SphinxBackend, recording: Recording, name: str
) -> None:
    *partials, final = await grow(shared_backend, recording(name), "a")
    assert word_error_rate(name, final.text) < 0.2
    lengths = [len(partial.words) for partial in partials]
    assert lengths[-1] > 6
    assert all(later >= earlier - 2 for earlier, later in pairwise(lengths)), lengths
    assert all(word.confidence is None for partial in partials for word in partial.words)
    assert all(word.confidence is not None for word in final.words)


@pytest.mark.slow
async def test_a_partial_costs_what_is_new_and_not_what_went_before(
    backend: SphinxBackend, recording: Recording
) -> None:
    audio = np.concatenate([recording("market.flac"), recording("train.flac"), recording("doctor.flac")])
    await backend.recognize(Recognize(audio[: 12 * SAMPLE_RATE], utterance="a", final=False))
    before_s = cpu_s(backend)
    for end in range(12 * SAMPLE_RATE + STEP, 16 * SAMPLE_RATE, STEP):
        await backend.recognize(Recognize(audio[:end], utterance="a", final=False))
    growing_s = cpu_s(backend) - before_s
    backend.forget("a")
    before_s = cpu_s(backend)
    await backend.recognize(Recognize(audio[: 16 * SAMPLE_RATE], utterance="b", final=False))
    from_scratch_s = cpu_s(backend) - before_s
    assert growing_s < from_scratch_s * 0.6, "eight partials over 4 s cost less than one over all 16 s"


@pytest.mark.slow
async def test_more_utterances_than_places_all_end_with_their_text(
    backend: SphinxBackend, recording: Recording
) -> None:
    names = SENTENCES[:3]  # of which one at a time loses its place, and with it all that it was decoded to
    finals = await asyncio.gather(*(grow(backend, recording(name), name, 2 * STEP) for name in names))
    assert len(backend.pids) == 3, "one from loading, for uploads, and two for live work"
    for name, (*_, final) in zip(names, finals, strict=True):
        assert word_error_rate(name, final.text) < 0.2


@ON_ONE_LOOP
async def test_a_forgotten_utterance_starts_over(shared_backend: SphinxBackend, recording: Recording) -> None:
    await shared_backend.recognize(Recognize(recording("train.flac")[: 3 * SAMPLE_RATE], utterance="a", final=False))
    shared_backend.forget("a")
    shared_backend.forget("a")
    heard = await shared_backend.recognize(Recognize(recording("letter.flac"), utterance="a"))
    assert word_error_rate("letter.flac", heard.text) == 0


@ON_ONE_LOOP
async def test_an_utterance_that_got_shorter_starts_over(shared_backend: SphinxBackend, recording: Recording) -> None:
    await shared_backend.recognize(Recognize(recording("market.flac")[: 4 * SAMPLE_RATE], utterance="a", final=False))
    heard = await shared_backend.recognize(Recognize(recording("letter.flac"), utterance="a"))
    assert word_error_rate("letter.flac", heard.text) == 0


@pytest.mark.slow
@ON_ONE_LOOP
async def test_silence_before_the_first_word_does_no_harm(shared_backend: SphinxBackend, recording: Recording) -> None:
    audio = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), recording("market.flac")])
    *partials, final = await grow(shared_backend, audio, "a")
    assert partials[1].text == ""
    assert word_error_rate("market.flac", final.text) < 0.2
    assert final.words[0].start_s > 2


@ON_ONE_LOOP
@pytest.mark.slow
async def test_two_calls_of_one_utterance_at_once_both_give_its_text(
    shared_backend: SphinxBackend, recording: Recording
) -> None:
    audio = recording("market.flac")
    await shared_backend.recognize(Recognize(audio[: 3 * SAMPLE_RATE], utterance="a", final=False))
    partial, final = await asyncio.gather(
        shared_backend.recognize(Recognize(audio[: 5 * SAMPLE_RATE], utterance="a", final=False)),
        shared_backend.recognize(Recognize(audio, utterance="a")),
    )
    assert partial.text.startswith("the stock market was higher today")
    assert word_error_rate("market.flac", final.text) < 0.1


# --- when things go wrong ---------------------------------------------------------------------------------------------


async def test_a_call_whose_child_dies_is_tried_once_more(
    backend: SphinxBackend, recording: Recording, logs: list[str]
) -> None:
    call = asyncio.ensure_future(backend.recognize(Recognize(recording("letter.flac"))))
    (await running(call, backend)).kill()
    assert word_error_rate("letter.flac", (await call).text) == 0
    assert [line for line in logs if line.startswith("WARNING")] == [
        "WARNING a decoding process died (SIGKILL); retrying in a fresh one"
    ]


async def test_a_call_that_kills_every_child_fails_alone(backend: SphinxBackend, recording: Recording) -> None:
    call = asyncio.ensure_future(backend.recognize(Recognize(recording("letter.flac"))))
    for _ in range(2):
        os.kill((await running(call, backend)).pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
    with pytest.raises(BackendCrashedError, match="a decoding process died"):
        await call
    heard = await backend.recognize(Recognize(recording("letter.flac")))
    assert word_error_rate("letter.flac", heard.text) == 0


async def test_an_utterance_survives_the_death_of_its_child(backend: SphinxBackend, recording: Recording) -> None:
    audio = recording("letter.flac")
    await backend.recognize(Recognize(audio[: 2 * SAMPLE_RATE], utterance="a", final=False))
    for pid in backend.pids:
        os.kill(pid, signal.SIGKILL)
    heard = await backend.recognize(Recognize(audio, utterance="a"))
    assert word_error_rate("letter.flac", heard.text) == 0


async def test_a_cancelled_call_frees_its_cpu_and_the_next_one_works(
    backend: SphinxBackend, recording: Recording
) -> None:
    audio = recording("market.flac")
    for work in (Recognize(np.tile(audio, 8)), Recognize(np.tile(audio, 8), utterance="a", final=False)):
        call = asyncio.ensure_future(backend.recognize(work))
        child = await running(call, backend)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(60):
            while child.is_running():
                await asyncio.sleep(0.01)
    heard = await backend.recognize(Recognize(recording("letter.flac"), utterance="a"))
    assert word_error_rate("letter.flac", heard.text) == 0


@pytest.mark.slow
async def test_two_calls_run_side_by_side(backend: SphinxBackend, recording: Recording) -> None:
    audio = recording("market.flac")
    await asyncio.gather(*(backend.recognize(Recognize(recording("letter.flac"))) for _ in range(2)))
    children = [psutil.Process(pid) for pid in backend.pids]
    before_s = [sum(child.cpu_times()[:2]) for child in children]
    calls = [asyncio.ensure_future(backend.recognize(Recognize(audio))) for _ in range(2)]
    at_work: set[int] = set()
    while not any(call.done() for call in calls):
        used_s = [sum(child.cpu_times()[:2]) - before for child, before in zip(children, before_s, strict=True)]
        at_work.update(child.pid for child, used in zip(children, used_s, strict=True) if used > 0.05)
        await asyncio.sleep(0.01)
    assert at_work == {child.pid for child in children}, "both had decoded for a while before either was done"
    assert len({heard.text for heard in await asyncio.gather(*calls)}) == 1


async def test_the_event_loop_stays_free_while_speech_is_decoded(backend: SphinxBackend, recording: Recording) -> None:
    call = asyncio.ensure_future(backend.recognize(Recognize(recording("address.opus")[: 8 * SAMPLE_RATE])))
    late_s: list[float] = []
    with Bystander() as bystander:
        while not call.done():
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            late_s.append(time.perf_counter() - asked)
    assert len((await call).words) > 15
    assert len(late_s) > 100
    others_s = sorted(bystander.late_s)
    assert sorted(late_s)[len(late_s) * 99 // 100] < 0.05 + others_s[len(others_s) * 99 // 100]
    assert max(late_s) < 0.5 + others_s[-1], "holding the GIL, a piece of this length would stop it for seconds"


# --- life cycle -------------------------------------------------------------------------------------------------------


async def test_it_is_an_async_backend_and_constructing_it_starts_nothing() -> None:
    before = psutil.Process().children()
    backend: AsyncBackend = SphinxBackend()
    assert isinstance(backend, AsyncBackend)
    assert (backend.workers, backend.live_workers) == (len(os.sched_getaffinity(0)), 2)
    assert psutil.Process().children() == before
    backend.forget("anything")
    with pytest.raises(BackendUnavailableError, match="not loaded"):
        await backend.recognize(Recognize(np.ones(SAMPLE_RATE, np.float32)))


@pytest.mark.slow
async def test_unloading_ends_every_child_and_loading_again_works(recording: Recording) -> None:
    before = psutil.Process().children()
    backend = SphinxBackend(workers=2)
    told: list[tuple[float, str]] = []
    for _ in range(2):
        await backend.load(lambda part, doing: told.append((part, doing)))
        assert len(backend.pids) == 1
        await asyncio.gather(*(backend.recognize(Recognize(recording("letter.flac"))) for _ in range(2)))
        assert len(backend.pids) == 2
        await backend.recognize(Recognize(recording("letter.flac"), utterance="a", final=False))
        assert len(backend.pids) == 3
        await backend.unload()
        assert psutil.Process().children() == before
    assert told == [(0.0, "starting a decoder"), (1.0, "ready")] * 2
    await backend.unload()


async def test_children_for_uploads_yield_to_those_for_live_work(backend: SphinxBackend, recording: Recording) -> None:
    (upload,) = backend.pids
    await backend.recognize(Recognize(recording("letter.flac")[:SAMPLE_RATE]))
    await backend.recognize(Recognize(recording("letter.flac")[:SAMPLE_RATE], utterance="a"))
    assert backend.pids[0] == upload
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert [os.getpriority(os.PRIO_PROCESS, pid) - own for pid in backend.pids] == [UPLOAD_NICE, 0]


async def test_a_child_is_replaced_after_its_calls(recording: Recording) -> None:
    backend = SphinxBackend(workers=1, live_workers=0, recycle_after=2)
    await backend.load(lambda part, doing: None)
    first = backend.pids
    for _ in range(3):
        await backend.recognize(Recognize(recording("letter.flac")[:SAMPLE_RATE]))
    assert len(backend.pids) == 1
    assert backend.pids != first
    await backend.unload()


async def test_loading_without_the_model_says_so_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETSPHINX_PATH", str(tmp_path))
    before = psutil.Process().children()
    message = "backend 'sphinx' lacks its acoustic model: unset POCKETSPHINX_PATH or correct it"
    with pytest.raises(BackendUnavailableError, match=f"^{message}$"):
        await SphinxBackend().load(lambda part, doing: None)
    assert psutil.Process().children() == before


async def test_loading_with_a_damaged_model_fails_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("en-us/en-us/mdef", "en-us/en-us.lm.bin", "en-us/cmudict-en-us.dict"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_bytes(b"damaged")
    monkeypatch.setenv("POCKETSPHINX_PATH", str(tmp_path))
    before = psutil.Process().children()
    with pytest.raises(BackendUnavailableError, match=r"does not start: a decoding process died \(exit status 1\)"):
        await SphinxBackend().load(lambda part, doing: None)
    assert psutil.Process().children() == before
