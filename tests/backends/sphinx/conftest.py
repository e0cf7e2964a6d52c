from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from steno.backends.sphinx.backend import SphinxBackend


@pytest.fixture
async def backend() -> AsyncIterator[SphinxBackend]:
    """Loaded, with two places for uploads and two for live work."""
    backend = SphinxBackend(workers=2, live_workers=2)
    await backend.load(lambda part, doing: None)
    yield backend
    await backend.unload()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_backend() -> AsyncIterator[SphinxBackend]:
    """Like `backend`, for tests that leave its processes alive, on the module's event loop."""
    backend = SphinxBackend(workers=2, live_workers=2)
    await backend.load(lambda part, doing: None)
    yield backend
    await backend.unload()
