from __future__ import annotations

import json
import logging

import pytest
from loguru import logger

from steno import logs


def test_stdlib_loggers_come_out_in_the_one_format(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    logging.getLogger("some.library").warning("disk %s is full", "sda")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"], line["request_id"]) == ("WARNING", "disk sda is full", "-")


def test_a_library_s_own_handlers_are_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    chatty = logging.getLogger("chatty")
    chatty.addHandler(logging.StreamHandler())
    logs.setup("INFO", as_json=True)
    chatty.warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_every_line_of_a_request_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO")
    with logger.contextualize(request_id="r-1"):
        logger.info("inside {}", "{braces}")
    logger.info("outside")
    inside, outside = capsys.readouterr().err.splitlines()
    assert "r-1" in inside
    assert inside.endswith("inside {braces}")
    assert "r-1" not in outside


def test_the_level_holds_for_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("WARNING")
    logging.getLogger("some.library").info("chatter")
    logger.info("chatter")
    logging.getLogger("uvicorn.access").info("GET /")
    assert capsys.readouterr().err == ""


def test_exceptions_are_in_the_json_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    secret = "hunter2"
    try:
        raise ValueError("bad" + secret[:0])
    except ValueError:
        logger.exception("it failed")
    line = json.loads(capsys.readouterr().err)
    assert "ValueError: bad" in line["exception"]
    assert secret not in line["exception"]
