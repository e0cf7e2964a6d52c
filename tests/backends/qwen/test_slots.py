"""The cache that all rows share: it grows as a whole or not at all, and a new tenant finds nothing of the last."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.qwen.slots import GROWTH, SlotCache

CONFIG = SimpleNamespace(num_key_value_heads=2, head_dim=4, num_hidden_layers=3)


@pytest.fixture
def cache() -> SlotCache:
    return SlotCache(CONFIG, slots=3, limit=600, dtype=torch.float32, device=torch.device("cpu"))


def states(rows: int, width: int, value: float) -> torch.Tensor:
    return torch.full((rows, 2, width, 4), value)


def test_it_grows_as_it_must_and_no_further(cache: SlotCache) -> None:
    assert cache.length == 0
    cache.make_room(10)
    assert cache.length == GROWTH
    cache.make_room(GROWTH + 1)
    assert cache.length == 2 * GROWTH
    cache.make_room(600)
    assert cache.length == 600
    with pytest.raises(ValueError, match="601"):
        cache.make_room(601)


def test_where_memory_runs_out_it_stays_as_it_was(cache: SlotCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.make_room(10)
    made = iter(range(100))
    empty = cache._empty

    def scarce(length: int) -> torch.Tensor:
        if next(made) == 4:
            raise torch.OutOfMemoryError
        return empty(length)

    monkeypatch.setattr(cache, "_empty", scarce)
    with pytest.raises(torch.OutOfMemoryError):
        cache.make_room(300)
    assert {tensor.shape[2] for tensor in (*cache._keys, *cache._values)} == {GROWTH}


def test_rows_are_read_as_far_as_the_longest_and_nothing_of_an_earlier_tenant_is_left(cache: SlotCache) -> None:
    cache.make_room(10)
    cache.for_prefill(torch.tensor([0, 2])).update(states(2, 9, float("nan")), states(2, 9, float("nan")), 0)
    cache.for_prefill(torch.tensor([0])).update(states(1, 3, 1.0), states(1, 3, 1.0), 0)
    cache.for_prefill(torch.tensor([1])).update(states(1, 5, 2.0), states(1, 5, 2.0), 0)
    keys, values = cache.for_decode(torch.tensor([3, 5]), 6).update(states(2, 1, 7.0), states(2, 1, 8.0), 0)
    assert keys.shape == (2, 2, 6, 4)
    assert keys[0, 0, :, 0].tolist() == [1, 1, 1, 7, 0, 0]
    assert values[1, 0, :, 0].tolist() == [2, 2, 2, 2, 2, 8]
