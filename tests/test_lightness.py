"""What importing costs: the server and the command line start light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "av",
    "soxr",
    "pocketsphinx",
    "vllm",
    "tensorrt",
    "rich",
    "httpx",
    "wcwidth",
)
WEB = ("fastapi", "uvicorn", "granian", "pydantic", "prometheus_client", "numpy")


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import steno.server.app, steno.server.run.serve",
        "import steno.pipelines.file, steno.audio.decode, steno.audio.resample, steno.vad.segmenter",
        "import steno.backends.sphinx, steno.backends.registry, steno.backends.scripted",
        "from steno.settings import load; from steno.server.app import create_app; create_app(load())",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str) -> None:
    assert modules_after(statement).isdisjoint(HEAVY)


def test_the_command_line_starts_without_the_web_framework() -> None:
    assert modules_after("import steno.cli.main").isdisjoint((*HEAVY, *WEB))


def test_the_recogniser_process_holds_neither_numpy_nor_the_server() -> None:
    assert modules_after("import steno.backends.sphinx.sphinx_child").isdisjoint((*WEB, "loguru", "av", "onnxruntime"))


LOAD = "from steno.settings import load"


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        # FastAPI imports the API of OpenTelemetry.
        (f"{LOAD}; from steno.server.app import create_app; create_app(load())", "opentelemetry.sdk"),
        (f"{LOAD}; from steno import compose, otel_tracer; compose.worker_of(load())", "opentelemetry"),
    ],
)
def test_without_traces_opentelemetry_is_not_imported(statement: str, unwanted: str) -> None:
    code = f"import sys\n{statement}\nprint({unwanted!r} in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=True)
    assert ended.stdout == "False\n"
