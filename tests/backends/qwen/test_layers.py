"""The language model's layers compute what transformers' own forward does, and leave the same behind."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from transformers import Qwen3Config, Qwen3Model

from steno.backends.qwen.model.decoder import Decoder, PrefillRequest
from steno.backends.qwen.model.kv_cache import KVCache, SlotRange
from steno.backends.qwen.model.layers import Layers
from steno.backends.qwen.model.slot_classes import SlotClass

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
    cache = KVCache(model.config, [SlotClass(5, 100)], inputs.dtype, CPU)
    cache.reserve(0, 100)
    found, at = [], 0
    for width in widths:
        positions = torch.arange(at, at + width).expand(len(slots), -1)
        everything = torch.ones_like(positions, dtype=torch.bool)
        writing = cache.prepare_write(
            [SlotRange(slots, at + width if at else 0)], torch.tensor(list(slots)), positions, everything
        )
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


def chosen_by(model: Any, tokens: list[int], count: int) -> tuple[list[int], torch.Tensor]:
    """What transformers' own forward chooses behind each of the last `count` tokens, and how sure it is."""
    hidden = model.model.language_model(input_ids=torch.tensor([tokens])).last_hidden_state[0, -count:]
    sure, likeliest = model.lm_head(hidden).log_softmax(-1).max(-1)
    return likeliest.tolist(), sure


@torch.inference_mode()
def test_rows_that_begin_and_go_on_are_padded_beside_each_other(trained: Any) -> None:
    decoder = Decoder(trained.model, [SlotClass(5, 100)])
    rng = random.Random(1)
    said = [[rng.randrange(200) for _ in range(100)] for _ in range(4)]
    decoder.prefill([PrefillRequest(0, (tuple(said[0][:90]),)), PrefillRequest(4, (tuple(said[1][:3]),))])
    going_on = PrefillRequest(4, (tuple(said[1][:3]), tuple(said[1][3:50])), tail=(said[1][50],))
    decoder.prefill([going_on, PrefillRequest(2, (tuple(said[2][:60]),), tail=(said[2][60],))])
    pool = decoder.cache.pools[0]
    pool.keys[0][1] = pool.values[0][3] = 1e3  # what was left in slots that nobody holds
    found = decoder.verify({0: tuple(said[0][90:92]), 2: tuple(said[2][61:100]), 4: (said[1][51],)})
    for slot, tokens, new in ((0, said[0][:92], 2), (2, said[2], 39), (4, said[1][:52], 1)):
        likeliest, sure = chosen_by(trained.model, tokens, new)
        assert [choice.token for choice in found[slot]] == likeliest
        assert torch.allclose(torch.tensor([choice.logprob for choice in found[slot]]), sure, atol=1e-4)
    following = {slot: found[slot][-1].token for slot in (0, 4)}
    for slot, choice in decoder.decode(following).items():
        likeliest, _ = chosen_by(trained.model, [*(said[0][:92] if slot == 0 else said[1][:52]), following[slot]], 1)
        assert [choice.token] == likeliest


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_positions_that_depend_on_the_neighbours_are_refused(kind: str) -> None:
    model = small()
    model.rotary_emb.rope_type = kind
    with pytest.raises(ValueError, match=kind):
        Layers(model)


def test_attention_of_another_kind_is_refused() -> None:
    model = small(use_sliding_window=True, sliding_window=8, max_window_layers=1)
    with pytest.raises(ValueError, match="not sliding_attention"):
        Layers(model)


def test_on_a_gpu_all_rows_are_attended_to_together(trained: Any) -> None:
    decoder = Decoder(trained.model, [SlotClass(20, 2000)])
    decoder.lengths[3], decoder.lengths[9] = 90, 450
    assert decoder.ranges_of([9, 3]) == [SlotRange(range(3, 4), 91), SlotRange(range(9, 10), 451)]
    decoder.single_range = True
    assert decoder.ranges_of([9, 3]) == [SlotRange(range(10), 451)]
