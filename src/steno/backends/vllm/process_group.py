"""A vLLM plugin (`vllm.general_plugins`): the engine's process leaves the server's process group, and ends with it.

vLLM's engine runs in a process of its own, which ends at SIGINT. A terminal sends Ctrl-C to the whole group: without
this, live sessions would lose their last finals, because the engine ends before the server has drained. The server
ends the engine itself. One that was killed cannot, and vLLM's processes would stay for minutes, with their memory: so
each watches its parent.
"""

from __future__ import annotations

import os
import signal
import threading
import time

OWNER = "STENO_VLLM_OWNER"
"""Environment variable: the process id of the server that starts the engine. Other users of vLLM do not set it."""

WATCH_EVERY_S = 1.0


def leave() -> None:
    """Called by vLLM once in each of its processes."""
    owner = int(os.environ.get(OWNER) or 0)
    if owner == 0 or owner == os.getpid():
        return
    parent = os.getppid()
    if parent == owner and os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    if parent != owner and not _is_running(owner):
        _end()
    threading.Thread(target=_end_with, args=(parent,), name="parent watch", daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process soon after its parent: the server, or a process of the engine. A thread, because Linux's signal
    for it (PR_SET_PDEATHSIG) is sent when the thread that started the process ends, and macOS has none."""
    while os.getppid() == parent:
        time.sleep(WATCH_EVERY_S)
    _end()


def _end() -> None:
    """Without cleaning up: the kernel frees the memory, of the GPU too."""
    os.kill(os.getpid(), signal.SIGKILL)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
