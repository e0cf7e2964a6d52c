"""The nodes of this machine, and of folders that stand for those of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from command_line import run_command
from running import RunningServer, post
from steno import numa
from steno.errors import SettingsError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NUMA nodes are supported on Linux only")
TIMEOUT_S = 90.0

SHOW_BINDING = """
import json, os, subprocess, sys, threading
from steno import numa

numa.bind_to_node(int(sys.argv[1]))
show = "import json, os; print(json.dumps([sorted(os.sched_getaffinity(0)), open('/proc/self/numa_maps').read()]))"
child = json.loads(subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout)
of_thread = []
thread = threading.Thread(target=lambda: of_thread.extend(os.sched_getaffinity(0)))
thread.start()
thread.join()
print(json.dumps([sorted(of_thread), *child]))
"""


def write_nodes(folder: Path, cpu_lists: Mapping[str, str]) -> Path:
    for name, cpus in cpu_lists.items():
        (folder / name).mkdir()
        (folder / name / "cpulist").write_text(f"{cpus}\n", encoding="ascii")
    (folder / "online").write_text("0-1\n", encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11\n", {0, 1, 2, 3, 8, 10, 11}), ("5", {5}), ("\n", set()), ("", set())],
)
def test_a_list_of_cpus_has_ranges_and_single_ones(text: str, cpus: set[int]) -> None:
    assert numa.parse_cpu_list(text) == cpus


def test_nodes_are_read_in_order_and_other_files_are_left_alone(tmp_path: Path) -> None:
    nodes = write_nodes(tmp_path, {"node10": "64-65", "node2": "", "node0": "0-1,4", "nodex": "9"})
    assert numa.nodes_of_machine(nodes) == {0: {0, 1, 4}, 2: frozenset(), 10: {64, 65}}
    assert list(numa.nodes_of_machine(nodes)) == [0, 2, 10]


@LINUX
def test_a_node_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    nodes = write_nodes(tmp_path, {"node0": "0", "node1": "1"})
    with pytest.raises(SettingsError) as refused:
        numa.usable_cpus(7, nodes)
    assert refused.value.message == "NUMA_NODE=7: no such NUMA node; this machine has 0, 1"
    assert refused.value.param == "NUMA_NODE"


@LINUX
def test_a_node_whose_cpus_may_not_be_used_is_refused(tmp_path: Path) -> None:
    nodes = write_nodes(tmp_path, {"node0": "0", "node1": f"{max(os.sched_getaffinity(0)) + 1}"})
    with pytest.raises(SettingsError, match=r"^NUMA_NODE=1: this process may use none of the node's CPUs"):
        numa.usable_cpus(1, nodes)


@LINUX
def test_a_system_without_nodes_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^NUMA_NODE=0: this system reports no NUMA nodes; unset it$"):
        numa.usable_cpus(0, tmp_path)


def test_other_systems_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SettingsError, match=r"^NUMA_NODE=0: supported on Linux only, not on darwin; unset it$"):
        numa.usable_cpus(0)


@LINUX
def test_a_bound_process_its_threads_and_children_run_on_the_node_and_prefer_its_memory() -> None:
    node, cpus = next(iter(numa.nodes_of_machine().items()))
    command = [sys.executable, "-c", SHOW_BINDING, str(node)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    of_thread, of_child, memory_of_child = json.loads(ended.stdout)
    expected = sorted(cpus & os.sched_getaffinity(0))
    assert (of_thread, of_child) == (expected, expected)
    policies = {line.split()[1] for line in memory_of_child.splitlines()}
    assert f"prefer:{node}" in policies
    assert all(policy.startswith("prefer") for policy in policies)


@LINUX
def test_a_server_on_a_node_and_the_processes_that_it_starts_are_bound(fixtures: Path) -> None:
    node, cpus = next(iter(numa.nodes_of_machine().items()))
    with RunningServer(ASR_BACKEND="scripted", NUMA_NODE=str(node), GATEWAY_MODE="true") as server:
        assert post(server, fixtures / "letter.flac").status_code == 200
        processes = [psutil.Process(server.process.pid), *server.children()]
        assert len(processes) >= 3, "the server, its worker and a decoder"
        for process in processes:
            assert set(process.cpu_affinity()) == cpus & os.sched_getaffinity(0)
            lines = Path(f"/proc/{process.pid}/numa_maps").read_text(encoding="ascii").splitlines()
            assert {line.split()[1] for line in lines if " heap" in line} == {f"prefer:{node}"}


@LINUX
@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_serve_and_doctor_name_a_node_that_does_not_exist(command: str) -> None:
    ended = run_command(command, environment={**os.environ, "NUMA_NODE": "1000", "PORT": "0"})
    nodes = ", ".join(map(str, numa.nodes_of_machine()))
    said = f"NUMA_NODE=1000: no such NUMA node; this machine has {nodes}"
    if command == "serve":
        assert (ended.returncode, ended.stderr.strip()) == (2, f"steno: {said}")
    else:
        assert ended.returncode == 1
        assert f"problem: {said}" in ended.stdout
        assert f"NUMA nodes: {nodes}\n" in ended.stdout
