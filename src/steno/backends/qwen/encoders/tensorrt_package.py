"""NVIDIA's `tensorrt` package, and its log."""

from __future__ import annotations

import importlib
from typing import Any

from loguru import logger

from steno.errors import SettingsError


def tensorrt_package(what: str) -> Any:
    """The package. Raises SettingsError where it is missing or cannot be imported; `what` needs it."""
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError:
        raise SettingsError(f"{what} needs TensorRT: pip install 'steno[tensorrt]'", param=what) from None
    except (ImportError, OSError) as error:
        raise SettingsError(f"{what}: TensorRT is installed but cannot be imported: {error}", param=what) from None


def engine_logger(trt: Any) -> Any:
    """TensorRT's messages, warnings and above, in steno's log."""

    class EngineLogger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                logger.error("TensorRT: {}", message)
            elif severity == trt.ILogger.Severity.WARNING:
                logger.warning("TensorRT: {}", message)

    return EngineLogger()
