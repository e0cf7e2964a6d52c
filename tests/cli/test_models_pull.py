"""`steno models` and `steno models pull` as processes, against a server that speaks the hub's API."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hollow import write_checkpoint, write_weights
from hub_server import HubServer, Repository
from running import PATIENCE_S, until

pytest.importorskip("huggingface_hub", reason="downloads need it: pip install 'steno[qwen]'")

NAME = "Qwen/Qwen3-ASR-tiny"
ALIGNER = {"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    folder = write_checkpoint(tmp_path / "on-the-hub")
    write_weights(folder / "model.safetensors", {"a": (1000, 1000)})
    with HubServer({NAME: Repository(folder)}) as server:
        yield server


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODEL_", "ASR_"))}
    return {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "steno", "models", *words]


def steno(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=PATIENCE_S, env=environment)


def test_a_model_is_pulled_and_where_it_lies_and_how_to_use_it_is_told(
    hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    ended = steno(environment, "pull", NAME)
    folder = tmp_path / "home/hub/models--Qwen--Qwen3-ASR-tiny/snapshots" / ("c" * 40)
    assert ended.stdout.splitlines() == [
        f"{NAME}: recogniser, 1 M parameters, 2.0 MB",
        f"folder: {folder}",
        f"use it: ASR_BACKEND=qwen MODEL_ID={NAME} steno serve",
    ]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (folder / "config.json").is_file()
    listed = steno(environment).stdout
    assert f"{NAME}  (downloaded)" in listed
    assert "Qwen/Qwen3-ASR-0.6B\n" in listed
    hub.requests.clear()
    assert steno(environment, "pull", NAME).returncode == 0
    assert hub.fetched() == []


def test_the_default_is_model_id(hub: HubServer, environment: dict[str, str]) -> None:
    assert steno({**environment, "MODEL_ID": NAME}, "pull").stdout.startswith(f"{NAME}: recogniser")
    ended = steno(environment, "pull")
    assert "there is no model Qwen/Qwen3-ASR-0.6B on http://127.0.0.1" in ended.stderr


def test_all_that_the_settings_ask_for_is_pulled(hub: HubServer, environment: dict[str, str]) -> None:
    folder = hub.models[NAME].folder
    hub.models["Qwen/small"] = Repository(folder)
    hub.models["Qwen/aligner"] = Repository(write_checkpoint(folder.parent / "aligner", ALIGNER))
    asked = {"MODEL_ID": NAME, "DUAL_MODEL": "true", "FAST_MODEL_ID": "Qwen/small", "FORCED_ALIGNER_ID": "Qwen/aligner"}
    ended = steno({**environment, **asked}, "pull")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split(",")[0] for line in ended.stdout.splitlines()[::3]] == [
        f"{NAME}: recogniser",
        "Qwen/small: recogniser",
        "Qwen/aligner: forced aligner",
    ]


def test_an_aligner_is_pulled_too(hub: HubServer, environment: dict[str, str]) -> None:
    hub.models["Qwen/aligner"] = Repository(write_checkpoint(hub.models[NAME].folder.parent / "aligner", ALIGNER))
    ended = steno(environment, "pull", "Qwen/aligner")
    assert ended.stdout.startswith("Qwen/aligner: forced aligner, ")
    assert ended.stdout.endswith("use it: FORCED_ALIGNER_ID=Qwen/aligner steno serve\n")


def test_a_folder_is_checked(environment: dict[str, str], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "my model")
    ended = steno(environment, "pull", str(folder))
    assert ended.stdout.endswith(f"use it: ASR_BACKEND=qwen MODEL_ID='{folder}' steno serve\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pull", "Qwen/none"], 2, "there is no model Qwen/none on "),
        (["pull", "openai/whisper-1"], 2, "MODEL_ID: openai/whisper-1 is not in MODEL_ALLOWLIST (Qwen/*); "),
        (["pull", "whisper"], 2, "MODEL_ID: there is no folder whisper, and it is not a hub id"),
        (["pull", NAME, "--revision", "v9"], 2, f"{NAME} has no revision 'v9'; correct MODEL_REVISION"),
    ],
)
def test_what_cannot_be_pulled_is_refused_in_one_line(
    environment: dict[str, str], words: list[str], code: int, said: str
) -> None:
    ended = steno(environment, *words)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith(f"steno: {said}")
    assert ended.stderr.count("\n") == 1


def test_a_gated_model_and_a_hub_that_is_away_fail(hub: HubServer, environment: dict[str, str]) -> None:
    hub.models[NAME].gated = True
    ended = steno(environment, "pull", NAME)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"steno: {NAME} is gated: accept its terms at {hub.url}/{NAME}")
    ended = steno({**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}, "pull", NAME)
    assert ended.returncode == 1
    assert "http://127.0.0.1:9 does not answer" in ended.stderr
    assert ended.stderr.count("\n") == 1
    ended = steno({**environment, "HF_HUB_OFFLINE": "1"}, "pull", NAME)
    assert ended.returncode == 1
    assert "HF_HUB_OFFLINE is set" in ended.stderr


def test_ctrl_c_keeps_what_has_arrived(hub: HubServer, environment: dict[str, str], tmp_path: Path) -> None:
    hub.stall_after = 900_000
    running = subprocess.Popen(
        command("pull", NAME), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    until(lambda: any(part.stat().st_size for part in tmp_path.glob("home/hub/models--*/blobs/*.incomplete")))
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, out) == (130, "")
    assert err == "steno: interrupted; the same command resumes the download\n"
    hub.stall_after = None
    hub.requests.clear()
    assert steno(environment, "pull", NAME).returncode == 0
    ((name, range_),) = hub.fetched()
    assert name == "model.safetensors"
    assert range_ is not None


def test_a_terminal_shows_a_bar(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command("pull", NAME), stdout=subprocess.PIPE, stderr=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        assert running.wait(PATIENCE_S) == 0
    os.close(ours)
    assert b"100%" in shown
    assert b"downloading" in shown
