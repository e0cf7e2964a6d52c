from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from steno.backends.sphinx.backend import SphinxBackend


@pytest.fixture
async def backend() -> AsyncIterator[SphinxBackend]:
    """Loaded, with two places."""
    backend = SphinxBackend(workers=1, live_workers=1)
    await backend.load(lambda part, doing: None)
    yield backend
    await backend.unload()
