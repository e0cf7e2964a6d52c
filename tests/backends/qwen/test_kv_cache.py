"""The cache that all rows share: it grows as a whole or not at all, and a new tenant finds nothing of the last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.qwen.model.kv_cache import KVCache, SlotRange, group_by_length
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.backends.qwen.model.slot_pool import GROWTH, SCRATCH

CONFIG = SimpleNamespace(num_key_value_heads=2, head_dim=4, num_hidden_layers=3)


@pytest.fixture
def cache() -> KVCache:
    return KVCache(CONFIG, [SlotClass(3, 600)], dtype=torch.float32, device=torch.device("cpu"))


def states(rows: int, width: int, value: float) -> torch.Tensor:
    return torch.full((rows, width, 2, 4), value)


def test_it_grows_as_it_must_and_no_further(cache: KVCache) -> None:
    assert cache.pools[0].length == 0
    cache.reserve(0, 10)
    assert cache.pools[0].length == GROWTH
    cache.reserve(0, GROWTH + 1)
    assert cache.pools[0].length == 2 * GROWTH
    cache.reserve(0, 600)
    assert cache.pools[0].length == 600
    with pytest.raises(ValueError, match="601"):
        cache.reserve(0, 601)


def test_where_memory_runs_out_it_stays_as_it_was(cache: KVCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.reserve(0, 10)
    made = iter(range(100))
    zeros = torch.zeros

    def scarce(*shape: int, **options: Any) -> torch.Tensor:
        if next(made) == 4:
            raise torch.OutOfMemoryError
        return zeros(*shape, **options)

    monkeypatch.setattr(torch, "zeros", scarce)
    with pytest.raises(torch.OutOfMemoryError):
        cache.reserve(0, 300)
    assert cache.pools[0].length == GROWTH
    monkeypatch.undo()
    cache.reserve(0, 300)
    assert {tensor.shape[2] for tensor in (*cache.pools[0].keys, *cache.pools[0].values)} == {2 * GROWTH + SCRATCH}


def prepared(cache: KVCache, ranges: list[SlotRange], positions: torch.Tensor, is_token: torch.Tensor) -> KVCache:
    slots = torch.tensor([slot for slot_range in ranges for slot in slot_range.slots])
    return cache.prepare_write(ranges, slots, positions, is_token)


def write(cache: KVCache, rows: list[int], start: int, width: int, value: float, attended: int = 0) -> Any:
    positions = torch.arange(start, start + width).expand(len(rows), width)
    writing = prepared(cache, [SlotRange(rows, attended)], positions, torch.ones_like(positions, dtype=torch.bool))
    (read,) = writing.update(states(len(rows), width, value), states(len(rows), width, -value), 0)
    return read


@pytest.mark.parametrize("rows", [[0, 1], [2], [0, 2], [2, 0]])
def test_rows_are_read_as_they_were_written(cache: KVCache, rows: list[int]) -> None:
    cache.reserve(0, 10)
    for row in range(3):
        write(cache, [row], 0, 4, row + 1.0)
    keys, values = write(cache, rows, 3, 2, 9.0, attended=6)
    assert keys.shape == (len(rows), 2, 6, 4)
    assert keys[:, 0, :, 0].tolist() == [[row + 1, row + 1, row + 1, 9, 9, 0] for row in rows]
    assert torch.equal(values, -keys)


def test_stretches_are_read_one_by_one(cache: KVCache) -> None:
    cache.reserve(0, 10)
    stretches = [SlotRange(range(1), 3), SlotRange(range(1, 3), 8)]
    positions = torch.tensor([[2], [7], [5]])
    written = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 4) + 1
    read = prepared(cache, stretches, positions, torch.ones_like(positions, dtype=torch.bool)).update(
        written, written, 1
    )
    assert [keys.shape for keys, _ in read] == [(1, 2, 3, 4), (2, 2, 8, 4)]
    assert [keys[:, 1, :, 3].tolist() for keys, _ in read] == [
        [[0, 0, 1]],
        [[0, 0, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 3, 0, 0]],
    ]


def test_rows_of_like_lengths_are_a_stretch() -> None:
    needs = {1: 90, 2: 100, 3: 95, 5: 450, 6: 440, 7: 460, 8: 80, 9: 70, 10: 300, 15: 400}
    assert group_by_length(needs) == [
        SlotRange(range(1, 4), 100),
        SlotRange(range(5, 9), 460),
        SlotRange(range(9, 11), 300),
        SlotRange(range(15, 16), 400),
    ]
    assert group_by_length({7: 1}) == [SlotRange(range(7, 8), 1)]


def test_what_is_only_padding_is_written_where_nobody_looks(cache: KVCache) -> None:
    cache.reserve(0, 600)
    positions = torch.tensor([[0, 1, 2], [598, 599, 600]])
    wanted = torch.tensor([[True, False, False], [True, True, False]])
    writing = prepared(cache, [SlotRange([0, 1], 600)], positions, wanted)
    ((keys, _),) = writing.update(states(2, 3, 5.0), states(2, 3, 5.0), 0)
    assert keys[0, 0, :, 0].tolist() == [5.0] + [0.0] * 599
    assert keys[1, 0, 597:, 0].tolist() == [0.0, 5.0, 5.0]


def test_a_slot_that_is_wiped_has_nothing_of_its_last_tenant(cache: KVCache) -> None:
    cache.reserve(0, 10)
    write(cache, [1, 2], 0, 9, float("nan"))
    cache.zero_slot(1)
    keys, values = write(cache, [1], 0, 1, 2.0, attended=4)
    assert keys[0, 0, :, 0].tolist() == [2, 0, 0, 0]
    assert values[0, 0, :, 0].tolist() == [-2, 0, 0, 0]
