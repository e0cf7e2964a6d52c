"""Renders a transcript in a requested format, translated if requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from steno.cli.options import CAPTIONS, OutputRequest, TranscribeOptions

if TYPE_CHECKING:
    from steno.captions.formats import FormatName
    from steno.translation.translator import LanguagePair, Translator
    from steno.types import Transcript


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders results.

    `translator` None = no LLM is configured; then the only supported target is the spoken language.
    """

    options: TranscribeOptions
    translator: Translator | None
    text_temperature: float
    caption_temperature: float

    async def render(self, transcript: Transcript, result: OutputRequest) -> tuple[str, int]:
        """Return the text, and the number of its untranslated lines.

        Raises:
            TranslationNotConfiguredError: the result needs a translation, and no LLM is configured.
        """
        if result.form in CAPTIONS:
            return await self._captions(transcript, result)
        return await self._text(transcript, result)

    async def _captions(self, transcript: Transcript, result: OutputRequest) -> tuple[str, int]:
        from steno.captions.formats import render
        from steno.pipelines.subtitle import subtitles_of
        from steno.pipelines.translate import translate_cues

        options = self.options
        cues, kept = subtitles_of(transcript, options.style, options.mode).cues, 0
        if result.target is not None:
            languages = self._language_pair(transcript, result.target, self.caption_temperature)
            done = await translate_cues(cues, self.translator, languages, options.style, bilingual=options.bilingual)
            cues, kept = done.cues, len(done.untranslated)
        language = result.target or transcript.language
        return render(cast("FormatName", result.form), cues, language=language), kept

    async def _text(self, transcript: Transcript, result: OutputRequest) -> tuple[str, int]:
        from steno.pipelines.translate import translate_transcript

        kept = 0
        if result.target is not None:
            languages = self._language_pair(transcript, result.target, self.text_temperature)
            done = await translate_transcript(transcript, self.translator, languages)
            transcript, kept = done.transcript, len(done.untranslated)
        if result.form == "text":
            return transcript.text, kept
        from steno.server.http.transcript_json import json_transcript, verbose_transcript

        if result.form == "json":
            return json_transcript(transcript, logprobs=False).model_dump_json(exclude_none=True), kept
        return verbose_transcript(transcript, {"segment", "word"}).model_dump_json(exclude_none=True), kept

    def _language_pair(self, transcript: Transcript, target: str, temperature: float) -> LanguagePair:
        from steno.translation.translator import LanguagePair

        return LanguagePair(target, transcript.language, self.options.glossary, temperature)
