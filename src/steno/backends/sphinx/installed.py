"""Whether pocketsphinx and the model in its wheel are there. Both are looked for, neither is imported."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from loguru import logger

PARTS = {
    "acoustic model": "en-us/en-us/mdef",
    "language model": "en-us/en-us.lm.bin",
    "dictionary": "en-us/cmudict-en-us.dict",
}
"""Of the US English model, by what they are: where, below its folder."""


def missing(model_id: str | None = None) -> str | None:
    """What the backend lacks and what to do about it, put so that its name goes before it; None = nothing.

    Clients are told this, so the folder is only in the log.
    """
    package = importlib.util.find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        return "needs pocketsphinx: pip install pocketsphinx"
    chosen = os.environ.get("POCKETSPHINX_PATH")
    folder = Path(chosen or Path(package.submodule_search_locations[0]) / "model")
    for name, part in PARTS.items():
        if not (folder / part).is_file():
            logger.warning("backend 'sphinx' lacks its {}: there is no {}", name, folder / part)
            what_to_do = (
                "unset POCKETSPHINX_PATH or correct it" if chosen else "pip install --force-reinstall pocketsphinx"
            )
            return f"lacks its {name}: {what_to_do}"
    return None
