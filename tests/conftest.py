from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from loguru import logger

FIXTURES = Path(__file__).parent / "fixtures"

hypothesis_settings.register_profile("default", deadline=None, derandomize=True)
hypothesis_settings.load_profile("default")


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Logs go nowhere unless a test asks for them (`logs`)."""
    logger.remove()
    yield
    logger.remove()


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """The log lines of this test, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).rstrip("\n")), format="{level} {message}", level="DEBUG")
    yield lines
    logger.remove(sink)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return FIXTURES
