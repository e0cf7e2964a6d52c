"""Sets up loguru and routes the standard library's loggers (of uvicorn, granian, libraries) into it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, cast

from loguru import logger

from steno.log_repeats import RepeatLimit
from steno.log_writer import LogWriter

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS_OF_LIBRARIES = {
    "uvicorn": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiosqlite": logging.INFO,
    "opentelemetry": logging.CRITICAL,
    "urllib3": logging.WARNING,
}
"""Min levels of libraries. steno logs start, stop and requests itself, with request id and duration, and once what
`otel_tracer` cannot export."""

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_AS_TEXT = {code: repr(chr(code))[1:-1] for code in _CONTROLS}
_AS_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS}
"""Replacements of control characters: client data in a message must not start a new line or control the terminal."""


class _JsonWriter(LogWriter):
    """Writes each record as one line of JSON."""

    def write(self, line: str) -> None:
        super().write(_json_line(cast("Message", line)))  # loguru passes sinks a str with a `record` attribute


class _Intercept(logging.Handler):
    """Passes a standard library record to loguru, with the name of the module that logged it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())


def setup(level: str = "INFO", as_json: bool = False) -> None:
    """Send all logs of this process to stderr, in a thread; to nowhere if stderr is closed. Call once per process."""
    logger.remove()
    logger.configure(extra={"request_id": "-"})
    if sys.stderr is None:
        _keep_descriptor_2()
    elif as_json:
        lines = _JsonWriter(sys.stderr)
        logger.add(lines, level=level, format=lambda _: "{exception}", diagnose=False, filter=RepeatLimit())
    else:
        colorize = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        text, limit = LogWriter(sys.stderr), RepeatLimit()
        logger.add(text, level=level, format=_text_format, colorize=colorize, diagnose=False, filter=limit)
    logging.basicConfig(handlers=[_Intercept()], level=0, force=True)
    for name in list(logging.root.manager.loggerDict):
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
    logging.root.setLevel(logging.INFO if level == "INFO" else level.replace("TRACE", "DEBUG"))
    for name, least in LEVELS_OF_LIBRARIES.items():
        logging.getLogger(name).setLevel(least)


def _keep_descriptor_2() -> None:
    """Open descriptor 2 if stderr is closed: otherwise the next socket gets it, and C libraries print to a client."""
    null = os.open(os.devnull, os.O_WRONLY)
    if null == 2:
        os.set_inheritable(null, True)
    else:
        os.close(null)


def _text_format(record: Record) -> str:
    record["extra"]["line"] = record["message"].translate(_AS_TEXT)
    request = "" if record["extra"].get("request_id", "-") == "-" else " <dim>{extra[request_id]}</dim>"
    request += " <dim>{extra[trace_id]}</dim>" if "trace_id" in record["extra"] else ""
    return (
        "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> <cyan>{name}</cyan>"
        f"{request} {{extra[line]}}\n{{exception}}"
    )


def _json_line(message: Message) -> str:
    record = message.record
    line: dict[str, object] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "logger": record["name"],
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["exception"] = str(message).rstrip()
    return json.dumps(line, default=str, ensure_ascii=False).translate(_AS_JSON) + "\n"
