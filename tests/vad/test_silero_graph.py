"""The shipped graph: what the script makes of upstream's export, and upstream's probabilities."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from steno.vad.silero import CONTEXT, FRAME, STATE, SileroVad
from vad.listen import RECORDINGS, recording
from vad.silero_graph import SHIPPED, UPSTREAM, batched


def test_the_shipped_model_is_made_from_upstreams_export() -> None:
    assert batched(onnx.load(UPSTREAM)) == onnx.load(SHIPPED)


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_shipped_model_gives_upstreams_probabilities(name: str) -> None:
    audio = recording(name)
    samples = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    windows = np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + FRAME)[::FRAME]
    upstream = onnxruntime.InferenceSession(UPSTREAM, providers=["CPUExecutionProvider"])
    start = np.zeros((1, 1, STATE), np.float32)
    expected = upstream.run(["speech_probs"], {"input": np.ascontiguousarray(windows), "h": start, "c": start})[0]
    assert np.abs(SileroVad().feed(audio) - expected).max() < 1e-4
