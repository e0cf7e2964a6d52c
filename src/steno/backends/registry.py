"""The registry of backends: which exist, which can run here, and how to create one. Backends are imported lazily."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from steno.backends.base import AsyncBackend, StepBackend
from steno.errors import BackendUnavailableError, SettingsError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """Options for all factories. Each uses those that apply to it."""

    model_id: str | None = None
    """A folder, or a model id of the Hugging Face hub; None = the backend's default."""
    workers: int | None = None
    """Concurrent processes or threads; None = by the number of cores."""
    revision: str | None = None
    """Revision of a hub model; None = its main branch."""
    allowlist: tuple[str, ...] = ("Qwen/*",)
    """Patterns of hub ids that may be loaded."""
    hf_home: Path | None = None
    """Folder for hub models; None = the default of Hugging Face's libraries."""
    device: str = "auto"
    """`auto`, `cpu`, `mps`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """`auto`, `float32`, `bfloat16` or `float16`."""
    quantize: str = "auto"
    """`auto`, `none`, `int8` or `fp8`."""
    slots: int | None = None
    """Max requests in the KV cache; None = the default for the device."""
    long_slots: int | None = None
    """How many of these slots are long; None = the default for the device."""
    aligner_id: str | None = None
    """A folder, or a model id of the Hugging Face hub; None = no forced aligner."""
    incremental: bool = True
    """Whether a live utterance's steps reuse cached state."""
    fast_model_id: str | None = None
    """The draft model of a cascade; None = the backend's default."""
    speculative: bool = False
    """Whether a draft model drafts for the target model."""
    dual: bool = False
    """Whether partials are the draft model's."""
    gpu_memory_mb: int | None = None
    """GPU memory for weights and KV cache together; None = most of what is free."""
    cuda_graphs: bool = False
    """Whether decoding iterations are captured as CUDA graphs."""
    onnx_encoder: Path | None = None
    """The encoder as a file for ONNX Runtime; None = torch."""
    trt_encoder: Path | None = None
    """The encoder as a file for TensorRT; None = torch."""
    vllm_args: str = ""
    """Further arguments of vLLM's engine, a JSON object."""
    vllm_sleep_level: int = 0
    """What unloading does to vLLM's engine: 0 = end its process, 1 = weights to host memory, 2 = drop the weights."""
    vllm_urls: tuple[str, ...] = ()
    """Running vLLM servers, without `/v1`."""
    vllm_api_key: str | None = field(default=None, repr=False)
    """The servers' key."""
    language: str = "en"
    """The language of a Moonshine folder's model."""


Factory: TypeAlias = Callable[[BackendOptions], AsyncBackend | StepBackend]


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend and how to create it.

    Args:
        module: its module, imported by `create`.
        requires: required packages, by import name.
        install: the command that installs them.
        summary: one line for lists.
        factory: the function in `module` that creates it from `BackendOptions`.
        check: `module:function`, light to import: for a `MODEL_ID` (or None), what else is missing, or None.
        not_for_auto: `module:function`, light to import: for a `MODEL_ID` (or None), why `auto` does not choose the
            backend although it could run, or None.
        models: valid `MODEL_ID`s; None = the factory checks them.
        serves: `module:function`, light to import: whether a `MODEL_ID` belongs to this backend only.
        auto: whether `auto` may choose it.
        public: whether lists and errors mention it.
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
        module="steno.backends.vllm.factory",
        requires=("vllm", "torch", "transformers"),
        install="pip install 'steno[vllm]'",
        summary="Qwen3-ASR on vLLM's engine, started here",
        check="steno.backends.vllm.installed:missing",
        auto=False,
    ),
    BackendSpec(
        name="vllm-remote",
        module="steno.backends.vllm.factory",
        requires=("torch", "transformers", "msgspec"),
        install="pip install 'steno[vllm-remote]'",
        summary="Qwen3-ASR on running vLLM servers, those of VLLM_BASE_URL",
        factory="create_remote",
        check="steno.backends.qwen.installed:missing",
        auto=False,
    ),
    BackendSpec(
        name="scripted",
        module="steno.backends.scripted",
        requires=(),
        install="",
        summary="fixed text at a fixed cost: for tests and benchmarks",
        auto=False,
        public=False,
    ),
)
"""`auto` chooses the first that can run and serve the model."""

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
    """A backend that can run here, why it was chosen, and how to get a more accurate one, if there is one."""

    name: str
    reason: str
    better: str | None = None


def public_names() -> list[str]:
    """The backends that users can choose, the best first."""
    return [spec.name for spec in SPECS if spec.public]


def spec_of(name: str) -> BackendSpec:
    """Raises SettingsError, which names the valid ones."""
    for spec in SPECS:
        if spec.name == name:
            return spec
    known = ", ".join([AUTO, *public_names()])
    raise SettingsError(f"invalid value {name!r} for ASR_BACKEND; expected one of {known}", param="ASR_BACKEND")


def availability(name: str, model_id: str | None = None) -> Availability:
    """Whether the backend `name` and all that it requires (for `model_id`) are installed. Imports none of it."""
    return _availability(spec_of(name), model_id)


def choose(requested: str, model_id: str | None = None) -> ChosenBackend:
    """The backend for `requested`: a name, or `auto` for the best one that can run here.

    Args:
        model_id: the value of `MODEL_ID`, which `auto` takes into account.

    Raises:
        SettingsError: an unknown name.
        BackendUnavailableError: it cannot run here; says what to install.
    """
    if requested == AUTO:
        return _best(SPECS, model_id)
    found = availability(requested, model_id)
    if not found.ok:
        raise BackendUnavailableError(f"backend {requested!r} cannot run here: {found.reason}")
    return ChosenBackend(requested, "it was requested", _better(requested))


def create(name: str, options: BackendOptions) -> AsyncBackend | StepBackend:
    """Import the backend's module and create one; no model is loaded yet.

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
    """Raises SettingsError if the backend `name` does not support `model_id`."""
    models = spec_of(name).models
    if model_id is None or models is None or model_id in models:
        return
    raise SettingsError(f"MODEL_ID={model_id!r} is not supported by the {name} backend; {_instead()}", param="MODEL_ID")


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
    if not _is_installed(spec.module):
        return Availability(False, "is not part of this version of steno")
    missing = [package for package in spec.requires if not _is_installed(package)]
    if missing:
        return Availability(False, f"needs {' and '.join(missing)}: {spec.install}")
    missing_part = _ask(spec.check, model_id)
    if missing_part:
        return Availability(False, missing_part)
    return Availability(True, spec.summary)


def _ask(function: str | None, *arguments: str | None) -> str | None:
    """Import and call `module:function`."""
    if function is None:
        return None
    module, _, name = function.partition(":")
    answer = cast("Callable[..., str | None]", getattr(importlib.import_module(module), name))
    return answer(*arguments)


def _is_installed(module: str) -> bool:
    """`find_spec` imports the parents of a dotted name, which are empty here; a missing parent raises. A folder of that
    name on the path without an `__init__.py`, such as a clone of the package's repository, has no origin."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None


def _instead() -> str:
    """What to do about a `MODEL_ID` that the backend does not support."""
    qwen = spec_of("qwen")
    how = "" if _availability(qwen, None).ok else f"{qwen.install} and "
    return f"unset it, or for a Qwen3-ASR model {how}set ASR_BACKEND=qwen"


def _better(name: str) -> str | None:
    """A more accurate backend than the embedded backend `name`, and how to get it."""
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
