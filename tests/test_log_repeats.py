"""Which lines of a storm of warnings are logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from steno.log_repeats import EVERY_S, MOST, RepeatLimit

Lines = list[str]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock: Clock) -> Iterator[Lines]:
    written: Lines = []
    sink = logger.add(
        lambda line: written.append(str(line).strip()), format="{message}", level="DEBUG", filter=RepeatLimit(clock)
    )
    yield written
    logger.remove(sink)


def storm(times: int) -> None:
    for n in range(times):
        logger.error("no memory for connection {}", n)


def test_of_a_storm_only_the_first_lines_are_logged_and_the_last_of_them_says_so(lines: Lines) -> None:
    storm(12_000)
    assert len(lines) == MOST
    assert lines[0] == "no memory for connection 0"
    assert lines[-1] == "no memory for connection 19 (further ones like this are left out for 10 s)"


def test_later_it_is_logged_again_with_the_number_of_those_that_were_not(lines: Lines, clock: Clock) -> None:
    storm(100)
    clock.now += EVERY_S
    storm(1)
    assert lines[MOST:] == ["no memory for connection 0 (80 like this were left out before)"]


def test_other_warnings_are_logged_meanwhile(lines: Lines) -> None:
    storm(100)
    logger.warning("something else")
    assert lines[MOST:] == ["something else"]


def test_what_is_no_warning_is_always_logged(lines: Lines) -> None:
    for n in range(100):
        logger.info("request {}", n)
    assert len(lines) == 100
