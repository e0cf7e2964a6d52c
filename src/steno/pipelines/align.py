"""Word times from the aligner, for hypotheses whose recogniser gives none."""

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
    hypothesis: Hypothesis,
    audio: Audio,
    priority: Priority | None = None,
    timeout_s: float | None = None,
) -> Hypothesis:
    """Align `hypothesis` with `audio` and return it with word times.

    Returns it unchanged if the aligner is not loaded, fails, or does not support the language; word times are then
    estimated later. A failure is logged.
    """
    if not hypothesis.text:
        return hypothesis
    is_live = priority is not None and priority.is_live
    try:
        alignment = await ticket.align(
            Align(audio, hypothesis.text, hypothesis.language, is_live=is_live), priority, timeout_s
        )
    except DrainingError:
        raise
    except (ModelLoadError, UnsupportedLanguageError) as error:
        logger.debug("word times are estimated, not aligned: {}", error.message)
        return hypothesis
    except StenoError as error:
        logger.warning("word times are estimated, not aligned: {}", error.message)
        return hypothesis
    return replace(hypothesis, words=scored(alignment.words, hypothesis.text, hypothesis.scores))
