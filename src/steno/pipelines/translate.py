"""Translates a transcript or its cues. Only text is sent to the LLM; times do not change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from steno.captions.cues import Cue, CueStyle, with_text
from steno.captions.script import joined
from steno.captions.speaker_cues import SpeakerLabels, narrowed
from steno.engine.ticket import Ticket
from steno.errors import TranslationNotConfiguredError
from steno.translation.translator import LanguagePair, TranslatedLine, Translator
from steno.types import Transcript

ANSWER_S = 1.0
"""Part of a request's time that is reserved for building the response."""


@dataclass(frozen=True, slots=True)
class TranslatedTranscript:
    transcript: Transcript
    untranslated: dict[int, str]
    """Reason by segment id, for segments that kept their source text."""


@dataclass(frozen=True, slots=True)
class TranslatedCues:
    cues: tuple[Cue, ...]
    untranslated: dict[int, str]
    """Reason by cue number, from 1, for cues that kept their source text."""


def needs_llm(target: str, source: str | None, spoken: frozenset[str] | None) -> bool:
    """Whether a translation into `target` may need an LLM. False if the speech can only be in `target`."""
    known = source or (next(iter(spoken)) if spoken is not None and len(spoken) == 1 else None)
    return known != target


def check_configured(translator: Translator | None, target: str) -> None:
    """Raise TranslationNotConfiguredError if there is no LLM to translate into `target`."""
    if translator is None:
        text = f"translating into {target!r} needs an LLM: set OPENAI_BASE_URL and TRANSLATE_MODEL (and OPENAI_API_KEY)"
        raise TranslationNotConfiguredError(text)


async def translate_transcript(
    transcript: Transcript, translator: Translator | None, languages: LanguagePair, ticket: Ticket | None = None
) -> TranslatedTranscript:
    """Translate each segment's text. Words are dropped, because their times belong to the source text."""
    lines = await _lines([segment.text for segment in transcript.segments], translator, languages, ticket)
    segments = tuple(
        replace(segment, text=line.text, language=_language(line, languages), words=())
        for segment, line in zip(transcript.segments, lines, strict=True)
    )
    problems = {
        segment.id: line.problem for segment, line in zip(segments, lines, strict=True) if line.problem is not None
    }
    text = joined([segment.text for segment in segments])
    return TranslatedTranscript(replace(transcript, text=text, language=languages.target, segments=segments), problems)


async def translate_cues(
    cues: Sequence[Cue],
    translator: Translator | None,
    languages: LanguagePair,
    style: CueStyle,
    *,
    bilingual: bool = False,
    ticket: Ticket | None = None,
    labels: SpeakerLabels = "none",
) -> TranslatedCues:
    """Translate each cue's text and break its lines again; `bilingual` keeps the source lines below. `labels`: room is
    left for them."""
    lines = await _lines([cue.text for cue in cues], translator, languages, ticket)
    translate = partial(_translate_cue, style=style, target=languages.target, bilingual=bilingual, labels=labels)
    # In a thread: a film's cues take tenths of a second.
    translated = await asyncio.to_thread(lambda: tuple(map(translate, cues, lines)))
    return TranslatedCues(translated, {n: line.problem for n, line in enumerate(lines, 1) if line.problem is not None})


async def _lines(
    texts: Sequence[str], translator: Translator | None, languages: LanguagePair, ticket: Ticket | None
) -> list[TranslatedLine]:
    if translator is None:
        if languages.source != languages.target:
            check_configured(translator, languages.target)
        return [TranslatedLine(text) for text in texts]
    if ticket is None:
        return await translator.translate(texts, languages)
    left_s = ticket.time_left_s()
    async with ticket.in_time("it was translated"):
        # Stop before the request times out, so that the transcript is returned with what has been translated.
        timeout_s = None if left_s is None else max(left_s - ANSWER_S, 0.0)
        return await translator.translate(texts, languages, timeout_s, known=ticket.known)


def _translate_cue(
    cue: Cue, line: TranslatedLine, *, style: CueStyle, target: str, bilingual: bool, labels: SpeakerLabels
) -> Cue:
    if line.problem is not None or line.text == cue.text:
        return cue
    if cue.speakers:
        style = narrowed(style, cue.speakers[0], labels)
    translated = with_text(cue, line.text, style, target)
    if not bilingual:
        return translated
    return replace(
        translated,
        lines=(*translated.lines, *cue.lines),
        text=f"{translated.text} / {cue.text}",
        speakers=(*translated.speakers, *cue.speakers) if translated.speakers else (),
    )


def _language(line: TranslatedLine, languages: LanguagePair) -> str | None:
    return languages.source if line.problem is not None else languages.target
