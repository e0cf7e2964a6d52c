"""What a step costs whatever the model's size: kernels, copies between host and device, Python calls.

On a GPU each kernel and each copy is issued by the step's thread, and a read waits for all that was issued before, so
their number bounds how short a step can be. They are counted on the tiny checkpoint, which has four layers.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.scripted_qwen import new_request
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.model import decoder as decoders
from steno.backends.qwen.model import encoder, torch_encoder
from steno.backends.qwen.model import model as models
from steno.backends.qwen.model.model import AsrModel, warm_up_audio
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.backends.qwen3_asr.frontend import MAX_SAMPLES
from steno.types import SAMPLE_RATE

STREAMS = 4
VIEWS = {
    "alias", "as_strided", "chunk", "detach", "detach_", "expand", "lift_fresh", "permute", "reshape", "resolve_conj",
    "resolve_neg", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze",
    "view",
}  # fmt: skip
READS = ("item", "cpu", "__float__", "__int__", "__bool__", "__index__")
"""Methods of a tensor that wait for the device."""


class Kernels(TorchDispatchMode):
    """Counts operators, without those that only make a view."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ not in VIEWS
        return func(*args, **(kwargs or {}))


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often integers, samples and results were copied, and how often anything else waited for the device."""
    counts: Counter[str] = Counter()

    def count(owner: Any, name: str, what: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            counts[what] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    for module in (decoders, torch_encoder):
        count(module, "integers_to_device", "integers")
    count(models, "copy_to_device", "samples")
    for module in (decoders, models):
        count(module, "copy_to_host", "results")
    count(torch, "tensor", "tensors from lists")
    for name in READS:
        count(torch.Tensor, name, "reads")
    return counts


def python_calls(do: Callable[[], object]) -> int:
    calls = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        do()
    finally:
        sys.setprofile(before)
    return calls


def live_steps(runner: ModelRunner, seconds: float, each: Callable[[Callable[[], object]], object]) -> list[object]:
    """The steps of one partial of each of four streams."""
    audio = warm_up_audio(seconds)
    for stream in range(STREAMS):
        runner.add_request(new_request(audio[: len(audio) - stream * SAMPLE_RATE // 5], str(stream), final=False))
    found = []
    while runner.requests:
        found.append(each(runner.step))
    return found


@torch.inference_mode()
def test_a_decoding_iteration(trained: Any, transfers: Counter[str]) -> None:
    model = AsrModel(trained, [SlotClass(STREAMS, 512)])
    tokens = dict.fromkeys(range(STREAMS), 5)
    model.decode(tokens)
    transfers.clear()
    with Kernels() as kernels:
        model.decode(tokens)
    assert transfers == {"integers": 1, "tensors from lists": 1, "results": 1}
    assert kernels.count <= 26 + 26 * 4, "26, and 26 for each layer"
    assert python_calls(lambda: model.decode(tokens)) <= 100 + 45 * 4


def test_a_live_step(trained: Any, transfers: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoder.MAX_CHUNKS, "cpu", encoder.MAX_CHUNKS["cuda"])
    monkeypatch.setattr(torch_encoder, "PACKING_DEVICES", frozenset())
    model = AsrModel(trained, [SlotClass(STREAMS, 512)])
    model.encoder.frontend.max_samples = MAX_SAMPLES  # as on a GPU
    runner = ModelRunner(model)
    live_steps(runner, 9.0, lambda step: step())

    def counted(step: Callable[[], object]) -> tuple[Counter[str], int]:
        transfers.clear()
        with Kernels() as kernels:
            step()
        return transfers.copy(), kernels.count

    (first, kernels), *later = live_steps(runner, 9.5, counted)
    # Text and positions, the windows' lengths; the new samples; their loudness, the tokens.
    assert first == {"integers": 2, "tensors from lists": 2, "samples": 1, "results": 2}
    assert kernels <= 330
    assert later
    assert all(one == {"integers": 1, "tensors from lists": 1, "results": 1} or one["reads"] == 0 for one, _ in later)
    calls, *_ = live_steps(runner, 10.0, python_calls)
    assert isinstance(calls, int)
    assert calls <= 1650
