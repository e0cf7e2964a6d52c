from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from loguru import logger

NO_SKIPS = "STENO_NO_SKIPS"
"""Set where everything is installed (`.ci/run`): a test that skips there is one that nobody runs."""

FIXTURES = Path(__file__).parent / "fixtures"

# As in `steno.cli.main`, for what tests run in their own process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each of several workers, and every server that it starts, keeps to one core: together they would only get in each
    # other's way. Before torch is imported, which reads it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis_settings.register_profile("default", deadline=None, derandomize=True)
hypothesis_settings.load_profile("default")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Turn garbage collection off meanwhile: modules and tests stay, and each pass would visit all of them.

    A third of the CPU time of collection; `gc.freeze` spares the passes during the tests as well.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(NO_SKIPS) and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line(f"\nskipped tests are failures where {NO_SKIPS} is set", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
