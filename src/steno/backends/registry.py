"""The backends there are, which of them can run here, and how to make one. A backend is imported when it is made."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from steno.backends.base import AsyncBackend, StepBackend
from steno.errors import BackendUnavailableError, SettingsError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What a factory is told. It takes what concerns it and ignores the rest."""

    model_id: str | None = None
    """A folder, or a name on Hugging Face; None = the backend's default."""
    workers: int | None = None
    """Processes that work at once; None = as many as fit the machine."""
    revision: str | None = None
    """Of a hub model; None = its main branch."""
    allowlist: tuple[str, ...] = ("Qwen/*",)
    """Patterns of hub ids that may be loaded."""
    hf_home: Path | None = None
    """Where hub models are kept; None = where Hugging Face's libraries keep them."""
    device: str = "auto"
    """`auto`, `cpu`, `mps`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """`auto`, `float32`, `bfloat16` or `float16`."""
    quantize: str = "none"
    """`none` or `int8`."""
    slots: int | None = None
    """Pieces decoded together; None = as many as fit."""
    aligner_id: str | None = None
    """A folder, or a name on Hugging Face; None = no forced aligner."""
    incremental: bool = True
    """Whether what was computed for a live utterance serves its next step."""
    fast_model_id: str | None = None
    """The small model, where there are two; None = the backend's default."""
    speculative: bool = False
    """The small model drafts for the large one."""
    dual: bool = False
    """Partials are the small model's."""
    gpu_memory_mb: int | None = None
    """What weights and slots may take of a GPU; None = most of what is free."""
    cuda_graphs: bool = False
    """Whether decoding iterations are captured as CUDA graphs."""
    language: str = "en"
    """Of a Moonshine folder: what it was trained on."""


Factory: TypeAlias = Callable[[BackendOptions], AsyncBackend | StepBackend]


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend that is known by name.

    Args:
        module: where it lives; imported by `create`.
        requires: packages without which it cannot run, by the name that is imported.
        install: the command that installs them.
        summary: for lists: what it is.
        factory: the function in `module` that makes one from `BackendOptions`.
        check: `module:function`, light to import, which tells of a `MODEL_ID` (or None) what else is missing, or None.
        not_for_auto: `module:function`, light to import, which tells of a `MODEL_ID` (or None) why `auto` should pass
            the backend over although it could run, or None.
        models: what `MODEL_ID` may be; None = the factory checks it.
        serves: `module:function`, light to import, which tells whether a `MODEL_ID` is one of this backend's alone.
        auto: whether `auto` may choose it.
        public: whether users are told of it.
    """

    name: str
    module: str
    requires: tuple[str, ...]
    install: str
    summary: str
    factory: str = "create"
    check: str | None = None
    not_for_auto: str | None = None
    models: tuple[str, ...] | None = None
    serves: str | None = None
    auto: bool = True
    public: bool = True


SPECS: tuple[BackendSpec, ...] = (
    BackendSpec(
        name="qwen",
        module="steno.backends.qwen.factory",
        requires=("torch", "transformers"),
        install="pip install 'steno[qwen]'",
        summary="Qwen3-ASR with steno's own incremental, batched engine",
        check="steno.backends.qwen.installed:missing",
        not_for_auto="steno.backends.qwen.installed:not_for_auto",
    ),
    BackendSpec(
        name="moonshine",
        module="steno.backends.moonshine.backend",
        requires=("onnxruntime",),
        install="pip install 'steno[moonshine]'",
        summary="embedded Moonshine tiny: English, any CPU, nothing to download",
        check="steno.backends.moonshine.installed:missing",
        not_for_auto="steno.backends.moonshine.installed:not_for_auto",
        serves="steno.backends.moonshine.installed:serves",
    ),
    BackendSpec(
        name="sphinx",
        module="steno.backends.sphinx.backend",
        requires=("pocketsphinx",),
        install="pip install pocketsphinx",
        summary="embedded PocketSphinx: English, where Moonshine has no wheel; many more errors",
        check="steno.backends.sphinx.installed:missing",
        models=("pocketsphinx-en-us",),
    ),
    BackendSpec(
        name="vllm",
        module="steno.backends.vllm",
        requires=("vllm",),
        install="pip install 'steno[vllm]'",
        summary="Qwen3-ASR on vLLM, which does its own batching",
        auto=False,
    ),
    BackendSpec(
        name="scripted",
        module="steno.backends.scripted",
        requires=(),
        install="",
        summary="known text at a known cost: for tests and benchmarks",
        auto=False,
        public=False,
    ),
)
"""`auto` takes the first that can run and serve the model."""

_BETTER_ON_A_GPU = (
    "for other languages and better accuracy {how} on a machine with a GPU and set MODEL_ID=Qwen/Qwen3-ASR-0.6B"
)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here, and if not, what is missing."""

    ok: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ChosenBackend:
    """A backend that can run here, why this one, and what would recognise better, if anything."""

    name: str
    reason: str
    better: str | None = None


def public_names() -> list[str]:
    """The backends that users choose from, the best first."""
    return [spec.name for spec in SPECS if spec.public]


def spec_of(name: str) -> BackendSpec:
    """Raises SettingsError naming the known ones."""
    for spec in SPECS:
        if spec.name == name:
            return spec
    known = ", ".join([AUTO, *public_names()])
    raise SettingsError(f"there is no backend {name!r}; known are {known}", param="ASR_BACKEND")


def availability(name: str, model_id: str | None = None) -> Availability:
    """Whether the backend `name` and all that it needs (for `model_id`) are installed; looked for, not imported."""
    return _availability(spec_of(name), model_id)


def choose(requested: str, model_id: str | None = None) -> ChosenBackend:
    """The backend for `requested`: a name, or `auto` for the best that can run here and is fit to.

    Args:
        model_id: what `MODEL_ID` is; `auto` heeds it.

    Raises:
        SettingsError: an unknown name.
        BackendUnavailableError: it cannot run here; says what to install.
    """
    if requested == AUTO:
        return _best(SPECS, model_id)
    found = availability(requested, model_id)
    if not found.ok:
        raise BackendUnavailableError(f"backend {requested!r} cannot run here: {found.reason}")
    return ChosenBackend(requested, "it was asked for", _better(requested))


def create(name: str, options: BackendOptions) -> AsyncBackend | StepBackend:
    """Import the backend's module and make one; nothing is loaded yet.

    Raises:
        SettingsError: an unknown name, or a `MODEL_ID` that is not for this backend.
        BackendUnavailableError: it cannot run here; says what to install.
    """
    spec = spec_of(name)
    check_model(name, options.model_id)
    found = _availability(spec, options.model_id)
    if not found.ok:
        raise BackendUnavailableError(f"backend {name!r} cannot run here: {found.reason}")
    factory = cast("Factory", getattr(importlib.import_module(spec.module), spec.factory))
    return factory(options)


def check_model(name: str, model_id: str | None) -> None:
    """Raises SettingsError where the backend `name` cannot serve `model_id`."""
    models = spec_of(name).models
    if model_id is None or models is None or model_id in models:
        return
    raise SettingsError(
        f"MODEL_ID={model_id!r} is not something the {name} backend can serve; {_instead()}", param="MODEL_ID"
    )


def _best(specs: tuple[BackendSpec, ...], model_id: str | None) -> ChosenBackend:
    named = next((spec for spec in specs if spec.auto and model_id is not None and _is_model_of(spec, model_id)), None)
    if named is not None:
        found = _availability(named, model_id)
        if not found.ok:
            raise BackendUnavailableError(f"MODEL_ID names a model of {named.name}, which {found.reason}")
        return ChosenBackend(named.name, "MODEL_ID names its model", _better(named.name))
    passed_over: list[str] = []
    for spec in specs:
        if not spec.auto:
            continue
        found = _availability(spec, model_id)
        objection = _ask(spec.not_for_auto, model_id) if found.ok else found.reason
        if objection is None:
            return ChosenBackend(spec.name, "; ".join(["the best that can run here", *passed_over]), _better(spec.name))
        passed_over.append(f"{spec.name} {objection}")
    raise BackendUnavailableError(f"no backend can run here: {'; '.join(passed_over)}")


def _is_model_of(spec: BackendSpec, model_id: str) -> bool:
    return model_id in (spec.models or ()) or bool(_ask(spec.serves, model_id))


def _availability(spec: BackendSpec, model_id: str | None) -> Availability:
    if not _is_there(spec.module):
        return Availability(False, "is not part of this version of steno yet")
    missing = [package for package in spec.requires if not _is_there(package)]
    if missing:
        return Availability(False, f"needs {' and '.join(missing)}: {spec.install}")
    lacking = _ask(spec.check, model_id)
    if lacking:
        return Availability(False, lacking)
    return Availability(True, spec.summary)


def _ask(function: str | None, *arguments: str | None) -> str | None:
    """Import and call `module:function`."""
    if function is None:
        return None
    module, _, name = function.partition(":")
    answer = cast("Callable[..., str | None]", getattr(importlib.import_module(module), name))
    return answer(*arguments)


def _is_there(module: str) -> bool:
    """`find_spec` imports the parents of a dotted name: ours are empty, and one that is missing means no."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _instead() -> str:
    """What to do about a `MODEL_ID` that the backend cannot serve."""
    qwen = spec_of("qwen")
    if not _is_there(qwen.module):
        return "unset it: Qwen3-ASR is not part of this version of steno yet"
    how = "" if _availability(qwen, None).ok else f"{qwen.install} and "
    return f"unset it, or for a Qwen3-ASR model {how}set ASR_BACKEND=qwen"


def _better(name: str) -> str | None:
    """What would recognise better than the embedded backend `name`, and how to get it."""
    if name not in ("moonshine", "sphinx"):
        return None
    qwen, moonshine = spec_of("qwen"), spec_of("moonshine")
    how = "use ASR_BACKEND=qwen" if _availability(qwen, None).ok else f"run {qwen.install}"
    better = _BETTER_ON_A_GPU.format(how=how)
    if name == "moonshine":
        return better
    embedded = _availability(moonshine, None)
    first = "use ASR_BACKEND=moonshine" if embedded.ok else f"moonshine {embedded.reason}"
    return f"sphinx makes many times the errors of moonshine: {first}; {better}"
