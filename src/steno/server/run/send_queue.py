"""Measures sent bytes that the peer has not acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys

if sys.platform != "win32":
    import fcntl
    import termios


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Bytes in the transport's buffer and, where available, in the kernel's send queue (tcp(7), SIOCOUTQ)."""
    here = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return here
    with contextlib.suppress(OSError):
        number = transport.get_extra_info("socket").fileno()
        here += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(struct.calcsize("i"))))[0]
    return here
