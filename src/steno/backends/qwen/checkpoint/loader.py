"""Loads a checkpoint: resolves its name, checks it, reads the weights onto the device, builds the processor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from loguru import logger
from transformers import (
    PreTrainedModel,
    Qwen3ASRConfig,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)
from transformers.utils import logging as transformers_logging

from steno.backends.base import Progress
from steno.backends.qwen.checkpoint import legacy_layout
from steno.backends.qwen.checkpoint.folder import Kind
from steno.backends.qwen.checkpoint.model_source import CheckpointSource, resolve
from steno.backends.qwen.checkpoint.weights import gigabytes
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model import device as devices
from steno.backends.qwen.model import memory_plan
from steno.errors import ModelLoadError, StenoError

CLASSES: dict[Kind, type[PreTrainedModel]] = {
    "recogniser": Qwen3ASRForConditionalGeneration,
    "aligner": Qwen3ASRForTokenClassification,
}
SAFETENSORS_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_LOAD_LOCK = threading.Lock()
"""One load at a time. transformers builds a model under process-wide switches (default dtype, skipped initialisation);
two concurrent loads leave weights unread. The recogniser and the aligner load in different threads."""

DOWNLOAD_SHARE = 0.8
"""Share of a load's progress that a download takes, where there is one."""


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A model in evaluation mode, without gradients, on its device."""

    model: PreTrainedModel
    processor: Qwen3ASRProcessor
    device: torch.device
    dtype: torch.dtype
    source: CheckpointSource
    precision: str
    """Of the language model's weights: the dtype's name, or the format that they were quantised to."""


def load_recogniser(options: LoadOptions, progress: Progress) -> LoadedCheckpoint:
    """Load a `Qwen3ASRForConditionalGeneration`.

    Raises:
        SettingsError: the model, device or dtype is not supported.
        ModelLoadError: the model could not be downloaded, is damaged or incomplete, or does not fit into memory.
    """
    return _load(options, "recogniser", progress)


def load_aligner(options: LoadOptions, progress: Progress) -> LoadedCheckpoint:
    """Load a `Qwen3ASRForTokenClassification`. Raises as `load_recogniser` does."""
    return _load(options, "aligner", progress)


def _load(options: LoadOptions, kind: Kind, progress: Progress) -> LoadedCheckpoint:
    placement = devices.place(options.device, options.dtype)
    source = resolve(options.model_ref(kind), lambda done, what: progress(DOWNLOAD_SHARE * done, what))
    memory_plan.check(source.model_id, source.parameters, placement.dtype.itemsize, placement.device)
    with _LOAD_LOCK, _torch_state_kept_on_failure():
        devices.prepare(placement.device)
        with _errors(source), _quiet(lambda done: progress(DOWNLOAD_SHARE + 0.18 * done, "reading weights")):
            model, processor = _read(source, placement)
        progress(0.99, f"moving to {placement.device}")
        try:
            model = model.to(placement.device).requires_grad_(False).eval()
            _detach_from_files(model, source, placement)
        except torch.OutOfMemoryError:
            raise ModelLoadError(f"{source.model_id} does not fit into the memory of {placement.device}") from None
    logger.info("read {}: {:.0f} M parameters, {} layout", source.model_id, source.parameters / 1e6, source.layout)
    name = str(placement.dtype).removeprefix("torch.")
    return LoadedCheckpoint(model, processor, placement.device, placement.dtype, source, name)


def _read(source: CheckpointSource, placement: devices.Placement) -> tuple[PreTrainedModel, Qwen3ASRProcessor]:
    settings: dict[str, Any] = {"config": _native_config(source)}
    if source.layout == "original":
        settings["key_mapping"] = legacy_layout.key_mapping(source.kind)
    model, report = CLASSES[source.kind].from_pretrained(
        source.folder,
        dtype=placement.dtype,
        attn_implementation=devices.ATTENTION,
        local_files_only=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **settings,
    )
    _check_report(source, report)
    return model, read_processor(source)


def _detach_from_files(model: PreTrainedModel, source: CheckpointSource, placement: devices.Placement) -> None:
    """Copy memory-mapped weights: overwriting the file would crash the process. Converted ones are copies already."""
    if placement.device.type == "cpu" and SAFETENSORS_NAMES[placement.dtype] in source.dtypes:
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()


def _native_config(source: CheckpointSource) -> Qwen3ASRConfig:
    if source.layout == "original":
        return legacy_layout.read_config(source.folder, source.model_id)
    return Qwen3ASRConfig.from_pretrained(source.folder, local_files_only=True)


def read_processor(source: CheckpointSource) -> Qwen3ASRProcessor:
    """The checkpoint's tokenizer, feature extractor and chat template."""
    if source.layout == "original":
        return legacy_layout.read_processor(source.folder, source.kind, source.model_id)
    return Qwen3ASRProcessor.from_pretrained(source.folder, local_files_only=True)


def _check_report(source: CheckpointSource, report: dict[str, Any]) -> None:
    """transformers initialises missing weights randomly; such a model must not be served."""
    complaints = {
        "lacks": sorted(report["missing_keys"]),
        "has unexpected": sorted(report["unexpected_keys"]),
        "has in an unexpected shape": sorted(str(key[0]) for key in report["mismatched_keys"]),
    }
    for complaint, names in complaints.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelLoadError(
                f"{source.model_id} does not match its config.json: it {complaint} {', '.join(names[:3])}{more}"
            )
    if report.get("error_msgs"):
        raise ModelLoadError(f"{source.model_id} cannot be read: {report['error_msgs'][0]}")


@contextmanager
def _errors(source: CheckpointSource) -> Iterator[None]:
    """Any exception of transformers, tokenizers or safetensors over a checkpoint becomes a ModelLoadError."""
    try:
        yield
    except StenoError:
        raise
    except (MemoryError, torch.OutOfMemoryError):
        size = gigabytes(source.size_bytes)
        raise ModelLoadError(f"{source.model_id} ({size} of weights) does not fit into memory") from None
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise ModelLoadError(f"{source.model_id} cannot be read: {type(error).__name__}: {first}") from error


@contextmanager
def _torch_state_kept_on_failure() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        yield
    except BaseException:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise


@contextmanager
def _quiet(on_progress: Callable[[float], None]) -> Iterator[None]:
    """Silence transformers' logs and progress bar; the bar's progress in [0, 1] goes to `on_progress`."""

    def watched(_: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        return _SilentBar(list(args[0]) if args else [], on_progress)

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    hook = transformers_logging.set_tqdm_hook(watched)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(hook)
        transformers_logging.set_verbosity(verbosity)


class _SilentBar:
    """Replaces transformers' progress bar: iterates without drawing."""

    def __init__(self, items: list[Any], on_progress: Callable[[float], None]) -> None:
        self._items = items
        self._told = on_progress

    def __iter__(self) -> Iterator[Any]:
        for done, item in enumerate(self._items, start=1):
            yield item
            self._told(done / len(self._items))

    def __enter__(self) -> _SilentBar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, *_: object) -> None: ...

    def close(self) -> None: ...
