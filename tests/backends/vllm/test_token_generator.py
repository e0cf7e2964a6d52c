from __future__ import annotations

import numpy as np

from steno.backends.base import Recognize
from steno.backends.vllm.token_generator import EngineCrashLoopError, VllmPriority, priority_of

AUDIO = np.zeros(16_000, np.float32)


def test_live_finals_come_before_partials_and_those_before_uploads() -> None:
    final = priority_of(Recognize(AUDIO, utterance="a", final=True))
    partial = priority_of(Recognize(AUDIO, utterance="a", final=False))
    upload = priority_of(Recognize(AUDIO))
    assert [final, partial, upload] == [VllmPriority.LIVE_FINAL, VllmPriority.LIVE_PARTIAL, VllmPriority.UPLOAD]
    assert final < partial < upload, "vLLM's scheduler runs smaller values first"


def test_a_crash_loop_is_not_worth_another_try() -> None:
    assert EngineCrashLoopError("again").may_pass is False
