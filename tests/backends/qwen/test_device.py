from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from steno.backends.qwen import installed
from steno.backends.qwen.model import device, memory_plan
from steno.errors import SettingsError

MEMINFO = "MemTotal:  8000000 kB\nMemFree:  100 kB\nMemAvailable:  2000000 kB\n"


@pytest.fixture
def torch() -> object:
    return pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")


@pytest.fixture
def no_gpu(torch: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


def as_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    """This machine has none: what torch would say of one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "NVIDIA Test")


def names(placement: device.Placement) -> tuple[str, str]:
    return str(placement.device), str(placement.dtype)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_is_the_cpu_in_float32_and_the_log_says_so(logs: list[str]) -> None:
    assert names(device.place()) == ("cpu", "torch.float32")
    assert logs == [f"INFO Qwen3-ASR runs on cpu ({device.cores()} cores) in float32"]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_numbers_can_be_chosen(dtype: str) -> None:
    assert names(device.place("cpu", dtype)) == ("cpu", f"torch.{dtype}")


@pytest.mark.usefixtures("no_gpu")
def test_float16_on_a_cpu_is_warned_of(logs: list[str]) -> None:
    device.place("cpu", "float16")
    assert logs[0] == "WARNING DTYPE=float16 is slow on a CPU; use float32 or bfloat16"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("asked", "dtype", "complaint", "param"),
    [
        ("cuda", "auto", r"DEVICE=cuda: .*; unset DEVICE to run on the CPU", "DEVICE"),
        ("cuda:1", "auto", r"DEVICE=cuda: .*; unset DEVICE to run on the CPU", "DEVICE"),
        ("mps", "auto", "DEVICE=mps needs a Mac with Apple silicon; unset DEVICE", "DEVICE"),
        ("tpu", "auto", "invalid value 'tpu' for DEVICE; expected auto, cpu, mps, cuda or cuda:N", "DEVICE"),
        ("cpu:1", "auto", "invalid value 'cpu:1' for DEVICE; expected auto, cpu, mps, cuda or cuda:N", "DEVICE"),
        ("cpu", "int4", "invalid value 'int4' for DTYPE; expected auto, float32, bfloat16, float16", "DTYPE"),
    ],
)
def test_what_is_not_here_is_refused_by_name(asked: str, dtype: str, complaint: str, param: str) -> None:
    with pytest.raises(SettingsError, match=f"^{complaint}$") as refused:
        device.place(asked, dtype)
    assert refused.value.param == param


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    ("capability", "dtype"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float16")]
)
def test_a_gpu_is_taken_where_there_is_one_in_what_it_does_well(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    as_gpu(monkeypatch, capability)
    assert names(device.place()) == ("cuda:0", f"torch.{dtype}")
    assert names(device.place("cpu")) == ("cpu", "torch.float32")


@pytest.mark.usefixtures("torch")
def test_an_old_gpu_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    as_gpu(monkeypatch, (7, 5))
    with pytest.raises(SettingsError, match=r"DTYPE=bfloat16: cuda:0 \(NVIDIA Test\) does not support it; use float16"):
        device.place("cuda", "bfloat16")
    with pytest.raises(SettingsError, match="DEVICE=cuda:3: there are 1 GPUs"):
        device.place("cuda:3")


@pytest.mark.usefixtures("torch")
def test_apple_silicon_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert names(device.place()) == ("mps", "torch.float16")


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (16, 15)])
def test_a_core_is_left_free_where_there_is_one(
    torch: object, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    import torch as real

    monkeypatch.setattr(device, "cores", lambda: cores)
    before = real.get_num_threads()
    try:
        assert device.prepare(real.device("cpu")) == before
        assert real.get_num_threads() == threads
        device.prepare(real.device("meta"))
        assert real.get_num_threads() == threads
    finally:
        real.set_num_threads(before)


def test_cudnn_plans_no_attention_on_cuda(torch: object) -> None:
    import torch as real

    before = real.backends.cuda.cudnn_sdp_enabled()
    try:
        device.prepare(real.device("cpu"))
        assert real.backends.cuda.cudnn_sdp_enabled() is before
        device.prepare(real.device("cuda"))
        assert not real.backends.cuda.cudnn_sdp_enabled()
    finally:
        real.backends.cuda.enable_cudnn_sdp(before)


def test_the_cores_are_those_that_the_process_may_use() -> None:
    assert device.cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("visible", "there"), [(None, True), ("0", True), ("", False), ("-1", False)])
def test_a_gpu_is_assumed_by_its_device_file(monkeypatch: pytest.MonkeyPatch, visible: str | None, there: bool) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/nvidia0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.has_gpu() is there


# memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 2 GB free; its container's files are the test's."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(memory_plan, "PROC", tmp_path)
    monkeypatch.setattr(memory_plan, "CGROUP", tmp_path)
    return tmp_path


def test_free_is_what_the_kernel_says_is_available(machine: Path) -> None:
    assert memory_plan.host_free() == 2_048_000_000


@pytest.mark.parametrize(("limit", "free"), [("max", 2_048_000_000), ("1500000000", 800_000_000), ("10", 0)])
def test_a_container_s_limit_counts_and_its_cached_files_do_not(machine: Path, limit: str, free: int) -> None:
    (machine / "memory.max").write_text(f"{limit}\n")
    (machine / "memory.current").write_text("900000000\n")
    (machine / "memory.stat").write_text("anon 700000000\ninactive_file 200000000\n")
    assert memory_plan.host_free() == free


def test_where_nobody_knows_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: object) -> None:
    import torch as real

    monkeypatch.setattr(memory_plan, "PROC", tmp_path / "no")
    monkeypatch.setattr(memory_plan, "CGROUP", tmp_path / "no")
    assert memory_plan.host_free() is None
    memory_plan.check("m", 10**15, 4, real.device("cpu"))


def test_a_gpu_without_room_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch, torch: object) -> None:
    import torch as real

    from steno.errors import ModelLoadError

    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (1_000_000_000, 8_000_000_000))
    with pytest.raises(ModelLoadError) as refused:
        memory_plan.check("Qwen/Qwen3-ASR-0.6B", 782_000_000, 2, real.device("cuda:0"))
    assert refused.value.message == "Qwen/Qwen3-ASR-0.6B needs 1.7 GB of memory of cuda:0; 1.0 GB are free"


# packages


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, as the test has it; by default all of it."""
    there = {"torch": "2.13.0+cpu", "transformers": "5.23.0"}

    def version(package: str) -> str:
        if package not in there:
            raise importlib.metadata.PackageNotFoundError(package)
        return there[package]

    monkeypatch.setattr(installed, "version", version)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in there else None)
    return there


def test_new_enough_packages_are_enough(versions: dict[str, str]) -> None:
    assert installed.missing() is None


@pytest.mark.parametrize(
    ("package", "version", "lack"),
    [
        ("torch", None, "needs torch: pip install 'steno[qwen]'"),
        ("transformers", None, "needs transformers: pip install 'steno[qwen]'"),
        ("torch", "2.10.1", "needs torch>=2.11, but 2.10.1 is installed: pip install 'steno[qwen]' --upgrade"),
        ("transformers", "4.57.6",
         "needs transformers>=5.16.1,<6, but 4.57.6 is installed: pip install 'steno[qwen]' --upgrade"),
        ("transformers", "5.15.0",
         "needs transformers>=5.16.1,<6, but 5.15.0 is installed: pip install 'steno[qwen]' --upgrade"),
        ("transformers", "6.0.0.dev0",
         "needs transformers>=5.16.1,<6, but 6.0.0 is installed: pip install 'steno[qwen]' --upgrade"),
    ],
)  # fmt: skip
def test_packages_that_are_missing_or_old_are_named(
    versions: dict[str, str], package: str, version: str | None, lack: str
) -> None:
    if version is None:
        del versions[package]
    else:
        versions[package] = version
    assert installed.missing() == lack


@pytest.mark.parametrize(
    ("gpu", "model_id", "chosen"),
    [(True, None, True), (False, "Qwen/Qwen3-ASR-0.6B", True), (False, "/models/mine", True), (False, None, False)],
)
def test_auto_takes_qwen_on_a_gpu_or_where_a_model_is_named(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, model_id: str | None, chosen: bool
) -> None:
    monkeypatch.setattr(device, "has_gpu", lambda: gpu)
    objection = installed.not_for_auto(model_id)
    assert (objection is None) is chosen
    assert objection is None or "set ASR_BACKEND=qwen" in objection
