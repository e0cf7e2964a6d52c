"""What travels between a server process and its worker arrives as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Accelerations, Drafts, Gpu, Recognize, ServerStatus, SlotUsage, SlotUse
from steno.engine.broken_device import broken_device
from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import EngineStatus, LaneStatus
from steno.engine.queue import Priority
from steno.engine.worker.utterance_audio import UnknownAudioError, UtteranceStore
from steno.engine.worker.worker_wire import (
    Done,
    Failure,
    Report,
    error_of,
    failure_message,
    from_worker,
    submit_message,
    to_worker,
    work_of,
)
from steno.errors import BackendCrashedError, RetryableError, StenoError, UnsupportedLanguageError
from steno.types import Hypothesis, Score, Word


def kinds_of(kind: type[StenoError]) -> Iterator[type[StenoError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from kinds_of(child)


def over(message: object, decoder: object) -> object:
    return decoder.decode(msgspec.msgpack.encode(message))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(set(kinds_of(StenoError)), key=lambda kind: kind.__name__))
def test_each_error_arrives_as_itself(kind: type[StenoError]) -> None:
    error = kind.__new__(kind)
    StenoError.__init__(error, "it failed", param="language")
    if isinstance(error, RetryableError):
        error.retry_after_s = 7.5
    arrived = error_of(over(failure_message(3, error), from_worker))
    assert type(arrived) is kind
    assert (arrived.message, arrived.param, str(arrived)) == ("it failed", "language", "it failed")
    assert getattr(arrived, "retry_after_s", 7.5) == 7.5


def test_an_error_that_only_the_worker_knows_arrives_as_the_nearest_kind() -> None:
    message = Failure(1, ("NeverHeardOfError", "BackendCrashedError", "StenoError"), "none is free", None, 2.0)
    arrived = error_of(message)
    assert type(arrived) is BackendCrashedError
    assert arrived.retry_after_s == 2.0


@given(st.text(max_size=50), st.booleans(), st.booleans(), st.integers(0, 100))
def test_work_arrives_with_the_new_part_of_its_audio(text: str, words: bool, final: bool, known: int) -> None:
    audio = np.linspace(-1, 1, 100, dtype=np.float32)
    work = Recognize(audio, "de", text, words, "talk/1", final, "talk", text)
    sent = over(submit_message(4, Priority.LIVE_PARTIAL, 2.5, work, known), to_worker)
    assert (sent.job, sent.priority, sent.timeout_s, sent.audio_from) == (4, Priority.LIVE_PARTIAL, 2.5, known)
    assert np.frombuffer(sent.audio, np.float32).tolist() == audio[known:].tolist()
    arrived = work_of(sent, audio, "7/")
    assert asdict(arrived) | {"audio": None} == asdict(work) | {
        "audio": None, "utterance": "7/talk/1", "stream": "7/talk",
    }  # fmt: skip


def test_an_alignment_s_work_and_result_arrive() -> None:
    work = Align(np.zeros(10, np.float32), "so it is", "en", is_live=True)
    arrived = work_of(over(submit_message(1, Priority.BULK, 1.0, work, 0), to_worker), work.audio, "0/")
    assert (arrived.text, arrived.language, arrived.is_live) == ("so it is", "en", True)
    done = Done(1, alignment=Alignment((Word("so", 0.0, 0.5), Word("it", 0.5, 0.75, 0.5))))
    assert over(done, from_worker) == done


def test_results_and_reports_arrive_whole() -> None:
    hypothesis = Hypothesis("a b", "en", (Word("a", 0, 1),), 0.5, (Score(1, 0.5), Score(3, 0.25)), False, True, True)
    assert over(Done(2, hypothesis), from_worker) == Done(2, hypothesis)
    status = EngineStatus(
        capacity=3, device="cuda:0", recogniser=LaneStatus(LifecycleState.LOADING, (0.5, "weights"), "no", 2, 3),
        aligner=LaneStatus(), queue_depth={Priority.LIVE_FINAL: 2, Priority.BULK: 1}, running=2, live_wait_s=0.25,
        path="dual", accelerations=Accelerations("onnxruntime", "int8", cuda_graphs=False),
        gpus=(Gpu("H200", 1.0, 2.0, 3.0, 4.0),), drafts=Drafts(5, 4), restarting="again",
        slots=SlotUsage((SlotUse("short", 5, 9, 20), SlotUse("long", 1, 0, 4)), 2),
        servers=(ServerStatus("http://a", True, None, 3, None),),
    )  # fmt: skip
    report = over(Report(status, 1.5, ()), from_worker)
    assert report.status == status
    assert report.status.recogniser.state is LifecycleState.LOADING


def test_an_utterance_s_audio_is_put_together_and_never_changed_under_a_job() -> None:
    store = UtteranceStore()
    first = store.audio("a", 0, np.full(100, 1, np.float32), is_last=False)
    second = store.audio("a", 100, np.full(200_000, 2, np.float32), is_last=False)
    shorter = store.audio("a", 50, np.full(10, 3, np.float32), is_last=False)
    assert (len(first), len(second), len(shorter)) == (100, 200_100, 60)
    assert (first == 1).all()
    assert second[[0, 99, 100, -1]].tolist() == [1, 1, 2, 2]
    assert shorter[[49, 50, 59]].tolist() == [1, 3, 3]
    last = store.audio("a", 60, np.full(5, 4, np.float32), is_last=True)
    assert (len(last), len(store)) == (65, 0)


@pytest.mark.parametrize(("key", "known"), [("new", 1), (None, 1)])
def test_audio_that_was_never_sent_is_refused(key: str | None, known: int) -> None:
    with pytest.raises(UnknownAudioError):
        UtteranceStore().audio(key, known, np.zeros(5, np.float32), is_last=False)


def test_an_unsupported_language_names_its_option() -> None:
    error = UnsupportedLanguageError("no", param="language")
    assert error_of(failure_message(1, error)).param == "language"


@pytest.mark.parametrize(
    ("error", "is_broken"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.AcceleratorError("CUDA error: invalid configuration argument"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError(), False),
    ],
)
def test_a_device_is_broken_by_what_no_later_call_survives(error: Exception, is_broken: bool) -> None:
    assert (broken_device(error) is not None) is is_broken
