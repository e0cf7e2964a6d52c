"""A vLLM plugin (`vllm.general_plugins`): takes the engine's process out of the server's process group.

vLLM's engine runs in a process of its own, which ends at SIGINT. A terminal sends Ctrl-C to the whole group: without
this, live sessions would lose their last finals, because the engine ends before the server has drained. The server
ends the engine itself, and vLLM ends it when the server has died.
"""

from __future__ import annotations

import os

OWNER = "STENO_VLLM_OWNER"
"""Environment variable: the process id of the server that starts the engine. Other users of vLLM do not set it."""


def leave() -> None:
    """Called by vLLM in each of its processes."""
    if os.environ.get(OWNER) == str(os.getppid()) and os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
