"""The child process: `python -m steno.backends.sphinx.sphinx_child ROLE NICENESS`; ROLE is `recognise` or `align`.

It answers requests one by one and exits at the end of its standard input, which also happens when its parent is
killed. It ignores Ctrl-C; the parent handles it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import BinaryIO

from steno.backends.sphinx.child_protocol import Header, Message, pack, read


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = sys.stdin.buffer, _own_stdout()
    role, niceness = sys.argv[1:]
    if hasattr(os, "nice"):
        os.nice(int(niceness))
    serve = _service(role)
    _send(replies, {"ready": True})
    while (request := read(requests)) is not None:
        _send(replies, _answer(serve, request))


def _own_stdout() -> BinaryIO:
    """Reserve standard output for replies; from here on, libraries print to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _service(role: str) -> Callable[[Message], Header]:
    match role:
        case "recognise":
            return _recognising()
        case "align":
            return _aligning()
        case unknown:
            raise ValueError(f"unknown role {unknown!r}")


def _recognising() -> Callable[[Message], Header]:
    from steno.backends.sphinx.recogniser import Recogniser

    recogniser = Recogniser()
    operations = {
        "recognise": recogniser.recognise,
        "begin": recogniser.begin,
        "feed": recogniser.feed,
        "finish": recogniser.finish,
    }
    return lambda request: {"words": operations[request.header["op"]](request.payload)}


def _aligning() -> Callable[[Message], Header]:
    from steno.backends.sphinx.aligner import AlignmentDecoder

    aligner = AlignmentDecoder()
    return lambda request: {"spans": aligner.align(request.payload, request.header["tokens"])}


def _answer(serve: Callable[[Message], Header], request: Message) -> Header:
    try:
        reply = serve(request)
    except Exception as error:  # noqa: BLE001 - the outermost boundary: sent to the caller, and stderr has the traceback
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return {**reply, "rss_mb": _rss_mb()}


def _rss_mb() -> float:
    """Resident memory now. Not `ru_maxrss` on Linux, where a child inherits its parent's peak."""
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _send(replies: BinaryIO, header: Header) -> None:
    replies.write(pack(Message(header)))
    replies.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the parent exited before it read this reply
        os._exit(0)
