"""Counts that several processes share."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import time
from pathlib import Path

import pytest

from steno.engine.admission import AdmissionControl, AdmissionLimits
from steno.engine.counts import LocalCounts
from steno.engine.front_table import FIXED_SLOTS, PROBES, SLOTS, FrontTable, Head
from steno.engine.shared_counts import KEYS_OF_ADMISSION, SharedCounts
from steno.engine.telemetry import NullTelemetry

LIMIT, TRIES = 40, 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FrontTable.create(tmp_path / "table", 3).close()
    return tmp_path / "table"


def counts_of(path: Path, front: int) -> SharedCounts:
    return SharedCounts(FrontTable(path, 3), front)


def test_each_front_sees_the_sum(path: Path) -> None:
    first, second, third = (counts_of(path, front) for front in range(3))
    first.add("live", 2)
    second.add("live", 3)
    second.add("uploads", 1)
    assert [each.total("live") for each in (first, second, third)] == [5, 5, 5]
    second.add("live", -3)
    assert [each.total("live") for each in (first, second, third)] == [2, 2, 2]
    assert third.total("uploads") == 1


def test_the_row_of_a_dead_front_is_cleared_alone(path: Path) -> None:
    first, second = counts_of(path, 0), counts_of(path, 1)
    first.add("live", 2)
    second.add("live", 3)
    FrontTable(path, 3).clear(1)
    assert first.total("live") == 2
    assert counts_of(path, 1).total("live") == 2


def test_a_name_without_a_free_slot_is_counted_for_its_front_alone(path: Path) -> None:
    table = FrontTable(path, 3)
    for n in range(PROBES):
        assert table.set_count(0, 70 + SLOTS * (n + 1), 1)
    assert not table.set_count(0, 70, 5)
    assert table.count_in(0, 70) == 0
    table.set_count(0, 70 + SLOTS, 0)
    assert table.set_count(0, 70, 5)
    assert (table.count_in(0, 70), table.count_besides(1, 70)) == (5, 5)


def test_the_head_is_read_by_all(path: Path) -> None:
    written = FrontTable(path, 3)
    written.set_head(Head.RESTARTS, 4)
    written.add_to_head(Head.RESTARTS, 1)
    table = FrontTable(path, 3)
    assert (table.head(Head.EXPECTED), table.head(Head.RESTARTS)) == (3, 5)
    assert table.secret == written.secret


def test_clients_cannot_displace_what_admission_counts(path: Path, logs: list[str]) -> None:
    """Enough names fill the row of a front. The limits of the server hold for all fronts nevertheless."""
    first, second = counts_of(path, 0), counts_of(path, 1)
    names = [f"bodies of address 2001:db8::{n:x}" for n in range(2 * SLOTS)]
    for name in names:
        first.add(name, 1)
    shared = sum(second.total(name) for name in names)
    assert SLOTS / 2 < shared <= SLOTS
    assert all(first.total(name) == 1 for name in names)
    for name in ("uploads", "live", "jobs"):
        first.add(name, 3)
        assert second.total(name) == 3
    assert len([line for line in logs if "front 0 counts more names" in line]) == 1
    for name in names:
        first.add(name, -1)
    first.add(names[0], 1)
    assert second.total(names[0]) == 1


def test_all_that_admission_counts_has_a_slot_of_its_own() -> None:
    counted = set()

    class NotedCounts(LocalCounts):
        def total(self, name: str) -> int:
            counted.add(name)
            return super().total(name)

    admission = AdmissionControl(
        AdmissionLimits(), NullTelemetry(), capacity=lambda: 1, live_capacity=lambda: None, live_wait_s=lambda: 0.0,
        counts=NotedCounts(),
    )  # fmt: skip
    assert admission.total_admitted == 0
    assert counted == KEYS_OF_ADMISSION.keys()
    assert {0, *KEYS_OF_ADMISSION.values()} == set(range(len(counted) + 1)) < set(range(FIXED_SLOTS))


def test_the_slots_of_names_differ_from_server_to_server(tmp_path: Path) -> None:
    FrontTable.create(tmp_path / "one", 1)
    FrontTable.create(tmp_path / "other", 1)
    for table in ("one", "other"):
        SharedCounts(FrontTable(tmp_path / table, 1), 0).add("sessions of key a", 1)
    assert FrontTable(tmp_path / "one", 1).secret != FrontTable(tmp_path / "other", 1).secret
    assert (tmp_path / "one").read_bytes()[64:] != (tmp_path / "other").read_bytes()[64:]


def test_the_numbers_of_the_head_and_the_secret_do_not_overlap(path: Path) -> None:
    table = FrontTable(path, 3)
    secret = table.secret
    for field in Head:
        table.set_head(field, 2**64 - 1)
    table.set_count(0, 1, 2**64 - 1)
    assert len(secret) == 32
    assert table.secret == secret


def test_processes_that_enter_at_once_do_not_exceed_a_limit(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        entered = pool.starmap(enter_often, [(path, front) for front in range(3)])
    assert sum(entered) == LIMIT


def enter_often(path: Path, front: int) -> int:
    counts, entered = counts_of(path, front), 0
    for _ in range(TRIES):
        with counts.exclusive():
            if counts.total("live") < LIMIT:
                counts.add("live", 1)
                entered += 1
        time.sleep(0.0001)
    return entered


def test_a_lock_that_a_stopped_process_holds_is_not_waited_for(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holds, ends = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(path, holds, ends))
    holder.start()
    try:
        assert holds.wait(60)
        began = time.perf_counter()
        with counts_of(path, 1).exclusive():
            assert time.perf_counter() - began < 0.5
    finally:
        ends.set()
        holder.join(60)


def hold(path: Path, holds: multiprocessing.synchronize.Event, ends: multiprocessing.synchronize.Event) -> None:
    with counts_of(path, 0).exclusive():
        holds.set()
        ends.wait(60)
