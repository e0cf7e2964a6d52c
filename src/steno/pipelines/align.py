"""Word times for what was heard, where the recogniser has none and an aligner does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.alignment.confidence import scored
from steno.backends.aligners.base import Align
from steno.errors import DrainingError, ModelLoadError, StenoError, UnsupportedLanguageError

if TYPE_CHECKING:
    from steno.engine.queue import Priority
    from steno.engine.ticket import Ticket
    from steno.types import Audio, Hypothesis


async def with_words(
    ticket: Ticket,
    heard: Hypothesis,
    audio: Audio,
    priority: Priority | None = None,
    timeout_s: float | None = None,
) -> Hypothesis:
    """`heard`, in `audio`, with the times of its words as the aligner finds them.

    Without them where the aligner is not ready, fails on this piece or does not speak its language: the times are
    guessed later. A failure is logged.
    """
    if not heard.text:
        return heard
    is_live = priority is not None and priority.is_live
    try:
        alignment = await ticket.align(Align(audio, heard.text, heard.language, is_live=is_live), priority, timeout_s)
    except DrainingError:
        raise
    except (ModelLoadError, UnsupportedLanguageError) as error:
        logger.debug("word times are guessed: {}", error.message)
        return heard
    except StenoError as error:
        logger.warning("word times are guessed: {}", error.message)
        return heard
    return replace(heard, words=scored(alignment.words, heard.text, heard.scores))
