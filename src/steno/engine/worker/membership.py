"""Which workers serve a pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from steno.engine.worker.worker_client import Connect


@dataclass(frozen=True, slots=True)
class Membership:
    """The workers that serve now, by name. One that is missing drains: it keeps its open utterances, and gets no new
    ones."""

    workers: Mapping[str, Connect]
    is_complete: bool = True
    """Whether a worker that is missing may be taken for one that drains."""


class LookupFailedError(Exception):
    """The workers cannot be looked up now; those that are known stay."""


LookUp = Callable[[], Awaitable[Membership]]
