"""A live stream's wait for its model, and what the client is told of it: that is no lag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steno.engine.ticket import Ticket
from steno.errors import StenoError
from steno.pipelines.live.notices import Failed, LiveEvent, Loading

TELL_AFTER_S = 0.5


async def until_loaded(ticket: Ticket, tell: Callable[[LiveEvent], None]) -> bool:
    """Return when the model is there, or cannot be loaded, which is told. A wait that is felt is told as well, with its
    end; whether it was is returned."""
    is_told = False

    def tell_wait() -> None:
        nonlocal is_told
        is_told = True
        tell(Loading())

    timer = asyncio.get_running_loop().call_later(TELL_AFTER_S, tell_wait)
    try:
        await ticket.ready()
    except StenoError as error:
        tell(Failed(error))
    finally:
        timer.cancel()
    if is_told:
        tell(Loading(is_over=True))
    return is_told
