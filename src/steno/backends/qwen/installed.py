"""Whether torch and transformers are installed, and whether `auto` chooses this backend. Imports neither of them."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version

INSTALL = "pip install 'steno[qwen]'"

NEEDED = {"torch": (2, 11), "transformers": (5, 16, 1)}
"""The floors in `pyproject.toml`. `make test-lowest` runs the tests on them."""
BELOW = {"transformers": (6,)}
"""The first version that is not supported; transformers 6 is not released."""


def missing(model_id: str | None = None) -> str | None:
    """What the backend is missing and how to install it, as a phrase that follows its name; None = nothing."""
    for package, oldest in NEEDED.items():
        if importlib.util.find_spec(package) is None:
            return f"needs {package}: {INSTALL}"
        found = version_of(package)
        if found is None:
            return f"needs {package}, which is installed without its metadata: {INSTALL}"
        below = BELOW.get(package)
        if found < oldest or (below and found >= below):
            wanted = f"{package}>={dotted(oldest)}" + (f",<{dotted(below)}" if below else "")
            return f"needs {wanted}, but {dotted(found)} is installed: {INSTALL} --upgrade"
    return None


def not_for_auto(model_id: str | None) -> str | None:
    """Why `auto` does not choose this backend although it could run; None = `auto` may choose it.

    Without a GPU Qwen3-ASR is slow, and without `MODEL_ID` neither it nor its download was requested.
    """
    from steno.backends.qwen.model.device import has_gpu

    if model_id is not None or has_gpu():
        return None
    return "is slow without a GPU; to use it anyway, set ASR_BACKEND=qwen"


def version_of(package: str) -> tuple[int, ...] | None:
    """The leading numbers of a version: of `2.13.0+cpu` (2, 13, 0)."""
    try:
        found = version(package)
    except PackageNotFoundError:
        return None
    numbers = re.match(r"\d+(\.\d+)*", found)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else None


def dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
