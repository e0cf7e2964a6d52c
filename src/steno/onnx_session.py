"""Opens an ONNX model: one thread, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def open_session(model: Path) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU. Its calls may run in several threads at once."""
    # ONNX Runtime sends telemetry, and keeps a database in ~/.cache, unless disabled before its import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
