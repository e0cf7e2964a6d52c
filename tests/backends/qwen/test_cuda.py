"""What is for CUDA: refused elsewhere with a reason, and the part of it that a CPU can run is the same as without."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loguru import logger

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model import memory_plan
from steno.backends.qwen.model.cuda.cuda_stream import CudaStream
from steno.backends.qwen.model.cuda.flash_attention import varlen
from steno.backends.qwen.model.cuda.graphs import INPUTS, CapturedGraph, GraphedStep, Step
from steno.backends.qwen.model.cuda.transfers import copy_to_device
from steno.backends.qwen.model.kv_cache import SlotRange
from steno.backends.qwen.model.memory_plan import SlotSizes
from steno.backends.qwen.model.slot_classes import SlotClass, SlotCounts
from steno.backends.qwen.model.torch_encoder import TorchEncoder
from steno.errors import ModelLoadError
from stepping import Spied, outcomes_of, tokens_of
from tiny.clips import ASR, clips

CPU = torch.device("cpu")


@pytest.fixture
def warnings() -> Any:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


class Again:
    """A graph as a CPU can have it: the step itself, over the same memory."""

    def __init__(self, step: Step, graph_inputs: torch.Tensor, ranges: list[SlotRange], outputs: torch.Tensor) -> None:
        self._run = lambda: step(graph_inputs, ranges)
        self._outputs = outputs

    def replay(self) -> None:
        self._outputs.copy_(self._run())


def capturing_on_cpu(shapes: list[tuple[int, int]]) -> Any:
    def capture(step: Step, slot_range: SlotRange) -> CapturedGraph:
        shapes.append((len(slot_range.slots), slot_range.attended))
        graph_inputs = torch.zeros(INPUTS, len(slot_range.slots), dtype=torch.long)
        ranges = [slot_range]
        outputs = step(graph_inputs, ranges)
        return CapturedGraph(Again(step, graph_inputs, ranges, outputs), graph_inputs, outputs)

    return capture


@torch.inference_mode()
def test_shapes_that_are_rounded_up_say_the_same(trained: Any) -> None:
    works = [Recognize(clip.audio[: 30 * 16_000]) for clip in clips().values()]
    plain, graphed = Spied(trained, 6), Spied(trained, 6)
    decoder = graphed.model.decoder
    decoder.cache.reserve(0, 2000)
    decoder.single_range = True  # as on CUDA
    shapes: list[tuple[int, int]] = []
    decoder.decode_step = GraphedStep(decoder.eager_step, decoder.cache.classes, capturing_on_cpu(shapes))
    captured = list(shapes)
    assert tokens_of(graphed, works) == tokens_of(plain, works)
    assert shapes == captured, "no step is captured while requests wait"
    assert captured == [(rows, seen) for rows in (6, 4, 2, 1) for seen in (2000, 1024, 512, 256)], "largest first"


@torch.inference_mode()
def test_each_class_of_slots_has_graphs_of_its_own(trained: Any) -> None:
    works = [Recognize(clip.audio[: 30 * 16_000]) for clip in clips().values()]
    plain, graphed = Spied(trained, 6), Spied(trained, 6, short=SlotClass(4, 300))
    decoder = graphed.model.decoder
    for number, one in enumerate(decoder.cache.classes):
        decoder.cache.reserve(number, one.length)
    decoder.single_range = True
    shapes: list[tuple[int, int]] = []
    decoder.decode_step = GraphedStep(decoder.eager_step, decoder.cache.classes, capturing_on_cpu(shapes))
    assert tokens_of(graphed, works) == tokens_of(plain, works)
    long = [(rows, seen) for rows in (2, 1) for seen in (2000, 1024, 512, 256)]
    short = [(rows, seen) for rows in (4, 2, 1) for seen in (300, 256)]
    assert shapes == sorted(long + short, reverse=True)


def test_a_step_that_cannot_be_captured_goes_on_as_it_was(trained: Any, warnings: list[str]) -> None:
    """As on this machine, which has no CUDA."""
    works = [Recognize(clips()["english-0"].audio)]
    backend = Spied(trained, 2)
    decoder = backend.model.decoder
    decoder.decode_step = GraphedStep(
        decoder.eager_step, decoder.cache.classes, None if not torch.cuda.is_available() else _fails
    )
    assert tokens_of(backend, works) == tokens_of(Spied(trained, 2), works)
    assert len([line for line in warnings if "could not be captured" in line]) == 1


def _fails(*_: Any) -> CapturedGraph:
    raise RuntimeError("no")


def test_graphs_are_refused_on_a_cpu_and_the_server_works_without(warnings: list[str]) -> None:
    backend = QwenBackend(LoadOptions(str(ASR), device="cpu", dtype="float32"), EngineOptions(2, cuda_graphs=True))
    backend.load(lambda *_: None)
    assert warnings == [
        "USE_CUDA_GRAPHS: CUDA graphs need a CUDA device, and this is cpu; decoding without CUDA graphs\n"
    ]
    clip = clips()["english-0"]
    assert outcomes_of(backend, [Recognize(clip.audio)]).popitem()[1].text == clip.text
    backend.unload()


def test_on_a_cpu_streams_and_staging_are_nothing() -> None:
    with CudaStream(CPU)():
        audio = np.arange(5, dtype=np.float32)
        assert copy_to_device(audio, CPU).tolist() == audio.tolist()


def one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, *more: Any, softmax_scale: float
) -> torch.Tensor:
    """What flash-attn's varlen function promises."""
    assert ends.dtype == torch.int32
    assert torch.equal(ends, more[0])
    assert more[1] == more[2] == int(ends.diff().max())
    spans = list(pairwise(ends.tolist()))
    pieces = [[one[start:end].transpose(0, 1) for one in (query, key, value)] for start, end in spans]
    attended = [torch.nn.functional.scaled_dot_product_attention(*piece, scale=softmax_scale) for piece in pieces]
    return torch.cat([one.transpose(0, 1) for one in attended])


def test_windows_one_behind_the_other_are_what_they_are_as_a_batch(trained: Any) -> None:
    model = Spied(trained, 1).model
    encoded = []
    for attend in (None, one_by_one):
        model.encoder.audio_encoder = TorchEncoder(trained.model.model, attend)
        sounds = [model.encoder.new_audio_state() for _ in clips()]
        for sound, clip in zip(sounds, clips().values(), strict=True):
            model.extend_audio([(sound, clip.audio)])
        model.encode(sounds)
        encoded.append([torch.cat(sound.embeddings) for sound in sounds])
    for padded, packed in zip(*encoded, strict=True):
        assert torch.allclose(padded, packed, atol=1e-4)


def test_flash_attn_is_used_only_where_it_can_run(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    gpu = SimpleNamespace(type="cuda")
    assert varlen(CPU, torch.bfloat16) is None
    assert varlen(gpu, torch.float32) is None  # type: ignore[arg-type]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert varlen(gpu, torch.bfloat16) is None  # type: ignore[arg-type]
    assert warnings == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "flash_attn", None)  # as when it was built for another torch
    assert varlen(gpu, torch.bfloat16) is None  # type: ignore[arg-type]
    assert len(warnings) == 1
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_varlen_func=one_by_one))
    assert varlen(gpu, torch.float16) is one_by_one  # type: ignore[arg-type]


SIZES = SlotSizes(short=250, long=1000)
MB_SIZES = SlotSizes(short=25_000_000, long=100_000_000)


@pytest.mark.parametrize(
    ("requested", "sizes", "fitting"),
    [
        ((4, 4), SIZES, (4, 4)),
        ((8, 8), SIZES, (8, 6)),  # 8 * 250 + 6 * 750 of 7000
        ((8, 1), SIZES, (8, 1)),
        ((99, 99), SIZES, (22, 2)),  # 22 * 250 + 2 * 750
        ((8, 8), SlotSizes(1000, 1000), (7, 7)),
        ((8, 8), SlotSizes(3000, 7000), (1, 1)),
    ],
)
def test_slots_are_as_many_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, requested: tuple[int, int], sizes: SlotSizes, fitting: tuple[int, int]
) -> None:
    monkeypatch.setattr(memory_plan, "host_free", lambda: 10_000)
    assert memory_plan.fitting_slots(SlotCounts(*requested), sizes, 500, CPU, None) == fitting
    monkeypatch.setattr(memory_plan, "host_free", lambda: None)
    assert memory_plan.fitting_slots(SlotCounts(*requested), sizes, 500, CPU, None) == requested


def test_a_gpu_s_budget_holds_weights_and_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu: Any = SimpleNamespace(type="cuda")
    monkeypatch.setattr(memory_plan, "_cuda_free", lambda _: 20_000_000_000)
    fitting = partial(memory_plan.fitting_slots, SlotCounts(500, 62), MB_SIZES, 2_000_000_000, gpu)
    assert fitting(None) == (407, 51)
    assert fitting(5000) == (87, 11)
    with pytest.raises(ModelLoadError, match=r"2050 is too little: beside weights of 2.0 GB, one KV cache slot needs"):
        fitting(2050)


def test_two_models_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu: Any = SimpleNamespace(type="cuda")
    monkeypatch.setattr(memory_plan, "_cuda_free", lambda _: 20_000_000_000)
    fitting = partial(memory_plan.fitting_slots, SlotCounts(500, 62), MB_SIZES)
    main = fitting(4_000_000_000, gpu, 10_000, memory_plan.MemoryShare(2))
    beside = memory_plan.MemoryShare(weight_bytes=4_000_000_000, slot_bytes=3_000_000_000)
    assert main.total * MB_SIZES.short + main.long * (MB_SIZES.long - MB_SIZES.short) == beside.slot_bytes
    assert (main, fitting(1_000_000_000, gpu, 10_000, beside)) == ((87, 11), (59, 7))


def test_a_live_step_has_a_slot_at_once_though_recordings_wait_for_theirs(trained: Any) -> None:
    """Also where the model has fewer slots than the engine counts with."""
    backend = Spied(trained, 4, reserved=1)
    backend.slots = 12
    talk = clips()["talk"].audio
    for n in range(9):
        backend.admit(Recognize(talk[1000 * n : 1000 * n + 380_000]))
    for _ in range(40):
        backend.step()
    live = Recognize(clips()["english-0"].audio[:30_000], utterance="u", final=False)
    backend.admit(live)
    for _ in range(3):
        backend.step()
    assert backend.has_slot(live)


def test_with_less_room_than_work_the_rest_waits(trained: Any) -> None:
    """The engine admits as many pieces as were asked for; the model has room for fewer."""
    backend = Spied(trained, 2)
    backend.slots = 9
    sounds = [clip.audio[:480_000] for clip in clips().values()]
    works = [Recognize(audio, utterance=f"u{n}" if n % 2 else None) for n, audio in enumerate(sounds)]
    texts = {work: outcome.text for work, outcome in outcomes_of(backend, works).items()}
    alone = {work: outcome.text for work, outcome in outcomes_of(Spied(trained, 2), works, 1).items()}
    assert texts == alone
    assert backend.runner.slot_allocator.unused == 2
