"""Whether pocketsphinx and the model in its wheel are installed. Imports neither."""

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
"""Parts of the US English model, and their paths in its folder."""


def missing(model_id: str | None = None) -> str | None:
    """What the backend is missing and how to install it, as a phrase that follows its name; None = nothing.

    Clients get this text, so the folder is only in the log.
    """
    package = importlib.util.find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        return "needs pocketsphinx: pip install pocketsphinx"
    chosen = os.environ.get("POCKETSPHINX_PATH")
    folder = Path(chosen or Path(package.submodule_search_locations[0]) / "model")
    for name, part in PARTS.items():
        if not (folder / part).is_file():
            logger.warning("backend 'sphinx' lacks its {}: {} does not exist", name, folder / part)
            what_to_do = (
                "unset POCKETSPHINX_PATH or correct it" if chosen else "pip install --force-reinstall pocketsphinx"
            )
            return f"lacks its {name}: {what_to_do}"
    return None
