"""How much memory an object holds, so that tests of bounds need not know what it is built of."""

from __future__ import annotations

import asyncio
import gc
import sys
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

SHARED = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    CodeType,
    FrameType,
    asyncio.AbstractEventLoop,
    asyncio.Future,
)
"""What an object refers to without holding it alone."""


def held_bytes(root: object) -> int:
    """Bytes of `root` and of everything that it refers to."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += [one.base] if isinstance(one, np.ndarray) and one.base is not None else gc.get_referents(one)
    return total
