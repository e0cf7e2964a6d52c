from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys

import pytest
from loguru import logger

from steno import logs


def written(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was logged: removing the sinks ends their threads."""
    logger.remove()
    return capsys.readouterr().err


def test_stdlib_loggers_come_out_in_the_one_format(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    logging.getLogger("some.library").warning("disk %s is full", "sda")
    line = json.loads(written(capsys))
    assert (line["level"], line["message"], line["request_id"]) == ("WARNING", "disk sda is full", "-")


def test_a_library_s_own_handlers_are_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    chatty = logging.getLogger("chatty")
    chatty.addHandler(logging.StreamHandler())
    logs.setup("INFO", as_json=True)
    chatty.warning("once")
    assert len(written(capsys).splitlines()) == 1


def test_every_line_of_a_request_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO")
    with logger.contextualize(request_id="r-1"):
        logger.info("inside {}", "{braces}")
    logger.info("outside")
    inside, outside = written(capsys).splitlines()
    assert "r-1" in inside
    assert inside.endswith("inside {braces}")
    assert "r-1" not in outside


def test_the_level_holds_for_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("WARNING")
    logging.getLogger("some.library").info("chatter")
    logger.info("chatter")
    logging.getLogger("uvicorn.access").info("GET /")
    assert written(capsys) == ""


def test_exceptions_are_in_the_json_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    secret = "hunter2"
    try:
        raise ValueError("bad" + secret[:0])
    except ValueError:
        logger.exception("it failed")
    line = json.loads(written(capsys))
    assert "ValueError: bad" in line["exception"]
    assert secret not in line["exception"]


def test_an_exception_is_whole_in_the_json_whatever_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("two\nlines")
    line = json.loads(written(capsys))
    assert line["message"] == "two\nlines"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: bad")


HOSTILE = "GET /\n2025-01-01 ERROR forged\r\x1b[2J\t\x00\x7f\x9b31m\x85\u2028你好 é"


def test_what_a_client_sends_neither_begins_a_line_nor_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO")
    logger.info("{} 404", HOSTILE)
    logging.getLogger("some.library").warning("%s", HOSTILE)
    ours, theirs = written(capsys).splitlines()
    shown = r"GET /\n2025-01-01 ERROR forged\r\x1b[2J\t\x00\x7f\x9b31m\x85\u2028你好 é"
    assert ours.endswith(f" {shown} 404")
    assert theirs.endswith(f" {shown}")


def test_json_lines_hold_the_message_as_it_was_without_a_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO", as_json=True)
    logger.info("{}", HOSTILE)
    (line,) = written(capsys).splitlines()
    assert line.isprintable()
    assert json.loads(line)["message"] == HOSTILE


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("INFO")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("two\nlines")
    first, *rest = written(capsys).splitlines()
    assert first.endswith(r"two\nlines")
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "ValueError: bad"


def test_a_terminal_gets_colours_and_no_others_than_ours() -> None:
    leader, follower = pty.openpty()
    script = "from steno import logs; logs.setup(); logs.logger.info('<red>a</red> {}', '\\x1b[31mb')"
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYCHARM_HOSTED")}
    subprocess.run([sys.executable, "-c", script], stderr=follower, env={**plain, "TERM": "xterm"}, timeout=90)
    os.close(follower)
    shown = os.read(leader, 4096).decode()
    os.close(leader)
    assert "\x1b[32m" in shown
    assert r"<red>a</red> \x1b[31mb" in shown
    assert "\x1b[31m" not in shown


@pytest.mark.parametrize("as_json", [False, True])
def test_a_closed_stderr_stops_nothing_and_no_socket_takes_its_place(as_json: bool) -> None:
    script = f"""
import socket, subprocess, sys
assert sys.stderr is None
from steno import logs
logs.setup(as_json={as_json})
logs.logger.error("nobody reads this")
with socket.socket() as first:
    assert first.fileno() > 2, first
subprocess.run(["sh", "-c", "echo nor this >&2"], check=True)
print("up")
"""
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=90
    )
    assert (ended.returncode, ended.stdout) == (0, "up\n")
