"""The short form of `benchmarks.hostile`: each attack costs its sender alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.attacks import ATTACKS
from benchmarks.hostile import QUICK_S, TARGETS, damage_of
from benchmarks.server import Server
from bystander import Bystander


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ASR_BACKEND="scripted") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_costs_its_sender_alone(server: Server, name: str) -> None:
    with Bystander() as bystander:
        damage = damage_of(server, name, QUICK_S)
    assert damage.health_ms <= TARGETS["health_ms"] + 1000 * bystander.worst_s
    assert damage.grown_mb <= TARGETS["grown_mb"]
    assert damage.kept_mb <= TARGETS["kept_mb"]
    assert damage.lost == TARGETS["lost"]
