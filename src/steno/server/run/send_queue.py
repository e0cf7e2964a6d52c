"""What of the bytes that were sent the other side has not taken."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys

if sys.platform != "win32":
    import fcntl
    import termios


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Ours, and those that the system holds, as far as it tells (tcp(7), SIOCOUTQ)."""
    here = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return here
    with contextlib.suppress(OSError):
        number = transport.get_extra_info("socket").fileno()
        here += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(struct.calcsize("i"))))[0]
    return here
