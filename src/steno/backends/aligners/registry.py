"""The registry of aligners: which exist, which can run here, and which one `ALIGNER` selects."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from steno.backends import registry
from steno.errors import BackendUnavailableError, SettingsError

if TYPE_CHECKING:
    from steno.backends.aligners.base import Aligner
    from steno.backends.base import Capabilities
    from steno.backends.registry import BackendOptions

AUTO, NONE = "auto", "none"

Factory: TypeAlias = "Callable[[BackendOptions], Aligner]"


@dataclass(frozen=True, slots=True)
class AlignerSpec:
    """An aligner and how to create it.

    Args:
        module: its module, imported by `create`.
        backend: the backend whose packages it requires.
        summary: one line for lists.
    """

    name: str
    module: str
    backend: str
    summary: str


SPECS: tuple[AlignerSpec, ...] = (
    AlignerSpec("qwen", "steno.backends.aligners.qwen", "qwen", "Qwen3-ForcedAligner: 11 languages"),
    AlignerSpec("sphinx", "steno.backends.aligners.sphinx", "sphinx", "PocketSphinx's aligner: English, any CPU"),
)


@dataclass(frozen=True, slots=True)
class ChosenAligner:
    """The aligner that will be used, or None, and why."""

    name: str | None
    reason: str


def choose(requested: str, recogniser: Capabilities, forced_aligner_id: str | None) -> ChosenAligner:
    """The aligner for `requested`: a name, `none`, or `auto` for the best that suits the recogniser.

    `auto` chooses none if the recogniser returns word times; else Qwen3-ForcedAligner if `FORCED_ALIGNER_ID` is set,
    else PocketSphinx's if the recogniser supports English.

    Raises:
        SettingsError: an unknown name.
        BackendUnavailableError: it cannot run here; says what to install.
    """
    if requested == NONE:
        return ChosenAligner(None, "ALIGNER=none")
    if requested != AUTO:
        _check_available(spec_of(requested))
        return ChosenAligner(requested, "ALIGNER names it")
    if recogniser.word_times:
        return ChosenAligner(None, "the recogniser returns word times")
    if forced_aligner_id:
        _check_available(spec_of("qwen"))
        return ChosenAligner("qwen", "FORCED_ALIGNER_ID names it")
    if recogniser.languages is not None and "en" not in recogniser.languages:
        return ChosenAligner(None, "no aligner without a download supports the recogniser's languages")
    sphinx = registry.availability(spec_of("sphinx").backend)
    if not sphinx.ok:
        return ChosenAligner(None, f"sphinx {sphinx.reason}")
    return ChosenAligner("sphinx", "it needs no download")


def create(name: str, options: BackendOptions) -> Aligner:
    """Import the aligner's module and create one; no model is loaded yet. Raises SettingsError: an unknown name."""
    factory = cast("Factory", importlib.import_module(spec_of(name).module).create)
    return factory(options)


def spec_of(name: str) -> AlignerSpec:
    """Raises SettingsError, which names the valid ones."""
    for spec in SPECS:
        if spec.name == name:
            return spec
    known = ", ".join([AUTO, *(spec.name for spec in SPECS), NONE])
    raise SettingsError(f"invalid value {name!r} for ALIGNER; expected one of {known}", param="ALIGNER")


def _check_available(spec: AlignerSpec) -> None:
    found = registry.availability(spec.backend)
    if not found.ok:
        raise BackendUnavailableError(f"aligner {spec.name!r} cannot run here: {found.reason}")
