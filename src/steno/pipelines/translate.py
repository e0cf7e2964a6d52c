"""A transcript, or its cues, in another language. Times are ours and stay as they are; only text goes to the LLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from steno.captions.cues import Cue, CueStyle, with_text
from steno.captions.script import joined
from steno.engine.ticket import Ticket
from steno.errors import TranslationNotConfiguredError
from steno.translation.translator import LanguagePair, TranslatedLine, Translator
from steno.types import Transcript

ANSWER_S = 1.0
"""Kept of a request's time to word its answer."""


@dataclass(frozen=True, slots=True)
class TranslatedTranscript:
    transcript: Transcript
    untranslated: dict[int, str]
    """Ids of segments that kept their source text, and why."""


@dataclass(frozen=True, slots=True)
class TranslatedCues:
    cues: tuple[Cue, ...]
    untranslated: dict[int, str]
    """Numbers of cues, from 1, that kept their source text, and why."""


def needs_llm(target: str, source: str | None, spoken: frozenset[str] | None) -> bool:
    """Whether a translation into `target` can need an LLM: not where nothing but `target` can be spoken."""
    known = source or (next(iter(spoken)) if spoken is not None and len(spoken) == 1 else None)
    return known != target


def check_configured(translator: Translator | None, target: str) -> None:
    """Raise TranslationNotConfiguredError where there is no LLM to translate into `target`."""
    if translator is None:
        text = f"translating into {target!r} needs an LLM: set OPENAI_BASE_URL and TRANSLATE_MODEL (and OPENAI_API_KEY)"
        raise TranslationNotConfiguredError(text)


async def translate_transcript(
    transcript: Transcript, translator: Translator | None, wanted: LanguagePair, ticket: Ticket | None = None
) -> TranslatedTranscript:
    """Each segment's text in the language wanted; words fall away, for their times are of other words."""
    lines = await _lines([segment.text for segment in transcript.segments], translator, wanted, ticket)
    segments = tuple(
        replace(segment, text=line.text, language=_language(line, wanted), words=())
        for segment, line in zip(transcript.segments, lines, strict=True)
    )
    problems = {
        segment.id: line.problem for segment, line in zip(segments, lines, strict=True) if line.problem is not None
    }
    text = joined([segment.text for segment in segments])
    return TranslatedTranscript(replace(transcript, text=text, language=wanted.target, segments=segments), problems)


async def translate_cues(
    cues: Sequence[Cue],
    translator: Translator | None,
    wanted: LanguagePair,
    style: CueStyle,
    *,
    bilingual: bool = False,
    ticket: Ticket | None = None,
) -> TranslatedCues:
    """The same cues with other text, broken again to fit; `bilingual` keeps the source lines below."""
    lines = await _lines([cue.text for cue in cues], translator, wanted, ticket)
    translated = await asyncio.to_thread(_all_translated, cues, lines, style, wanted.target, bilingual)
    return TranslatedCues(translated, {n: line.problem for n, line in enumerate(lines, 1) if line.problem is not None})


def _all_translated(
    cues: Sequence[Cue], lines: Sequence[TranslatedLine], style: CueStyle, target: str, bilingual: bool
) -> tuple[Cue, ...]:
    """In a thread: a film's cues take tenths of a second."""
    return tuple(_translated(cue, line, style, target, bilingual) for cue, line in zip(cues, lines, strict=True))


async def _lines(
    texts: Sequence[str], translator: Translator | None, wanted: LanguagePair, ticket: Ticket | None
) -> list[TranslatedLine]:
    if translator is None:
        if wanted.source != wanted.target:
            check_configured(translator, wanted.target)
        return [TranslatedLine(text) for text in texts]
    if ticket is None:
        return await translator.translate(texts, wanted)
    left_s = ticket.time_left_s()
    async with ticket.in_time("it was translated"):
        # A little before the request's time is up: the transcript is there, and is answered with what is translated.
        return await translator.translate(texts, wanted, None if left_s is None else max(left_s - ANSWER_S, 0.0))


def _translated(cue: Cue, line: TranslatedLine, style: CueStyle, target: str, bilingual: bool) -> Cue:
    if line.problem is not None or line.text == cue.text:
        return cue
    translated = with_text(cue, line.text, style, target)
    if not bilingual:
        return translated
    return replace(translated, lines=(*translated.lines, *cue.lines), text=f"{translated.text} / {cue.text}")


def _language(line: TranslatedLine, wanted: LanguagePair) -> str | None:
    return wanted.source if line.problem is not None else wanted.target
