"""The language model's layers compute what transformers' own forward does, and leave the same behind."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from transformers import Qwen3Config, Qwen3Model

from steno.backends.qwen.decoder import Decoder
from steno.backends.qwen.layers import Layers
from steno.backends.qwen.slots import SlotCache, Stretch

CPU = torch.device("cpu")


def small(**others: Any) -> Qwen3Model:
    config = Qwen3Config(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        **others,
    )
    torch.manual_seed(0)
    model = Qwen3Model(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, 1, 0.5)
    return model


def ours(model: Qwen3Model, inputs: torch.Tensor, widths: list[int], slots: list[int]) -> torch.Tensor:
    """`inputs`, [rows, positions, hidden], in portions of so many positions."""
    layers = Layers(model)
    cache = SlotCache(model.config, 5, 100, inputs.dtype, CPU)
    cache.make_room(100)
    found, at = [], 0
    for width in widths:
        positions = torch.arange(at, at + width).expand(len(slots), -1)
        everything = torch.ones_like(positions, dtype=torch.bool)
        writing = cache.writing([Stretch(slots, at + width if at else 0)], positions, everything)
        found.append(layers(inputs[:, at : at + width], positions, writing))
        at += width
    return torch.cat(found, dim=1)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 1e6},
        {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32},
    ],
)
@pytest.mark.parametrize("slots", [[0, 1, 2], [3, 1, 4]])
@torch.inference_mode()
def test_hidden_states_are_those_of_transformers(rope: dict[str, Any], slots: list[int]) -> None:
    model = small(rope_parameters=rope, attention_bias=True)
    inputs = torch.randn(3, 40, 48)
    wanted = model(inputs_embeds=inputs).last_hidden_state
    for widths in ([40], [30, 1, 1, 8], [1] * 40):
        assert torch.allclose(ours(model, inputs, widths, slots), wanted, atol=2e-5)


@torch.inference_mode()
def test_in_bf16_they_are_as_near_as_can_be() -> None:
    model = small()
    inputs = torch.randn(3, 40, 48)
    exact = model(inputs_embeds=inputs).last_hidden_state
    model, inputs = model.to(torch.bfloat16), inputs.to(torch.bfloat16)
    theirs = (model(inputs_embeds=inputs).last_hidden_state - exact).abs().mean()
    found = ours(model, inputs, [30, 1, 9], [0, 1, 2])
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().mean() < 1.2 * theirs


def test_attention_of_another_kind_is_refused() -> None:
    model = small(use_sliding_window=True, sliding_window=8, max_window_layers=1)
    with pytest.raises(ValueError, match="not sliding_attention"):
        Layers(model)


def test_on_a_gpu_all_rows_are_attended_to_together(trained: Any) -> None:
    decoder = Decoder(trained.model, 20, 2000)
    decoder._lengths[3], decoder._lengths[9] = 90, 450
    assert decoder._stretches([9, 3]) == [Stretch(range(3, 4), 91), Stretch(range(9, 10), 451)]
    decoder._in_one = True
    assert decoder._stretches([9, 3]) == [Stretch(range(10), 451)]
