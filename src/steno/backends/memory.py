"""Returns memory to the operating system and to the GPU's driver, which Python, malloc and torch would keep."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
LARGE_BLOCK_BYTES = 256 * 1024


def map_large_blocks() -> None:
    """Have malloc take each large block from the system, and give it back when it is freed. Call before loading.

    glibc raises its threshold for this to 32 MB by itself, as soon as a large block is freed. Weights and activations
    then lie between small objects that stay: of 170 MB that Moonshine takes, 40 MB were not given back.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no mallopt
            ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def release_memory() -> None:
    """Free what nothing refers to any more, now. Slow: only for unloading a model, never between two requests."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)
