"""Renders a transcript in a requested format, translated if requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from steno.cli.options import CAPTIONS, OutputRequest, TranscribeOptions
from steno.stage_times import StageTimes

if TYPE_CHECKING:
    from pydantic import BaseModel

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
    is_local: bool = True
    """Whether this process does the work, not a server."""

    async def render(self, transcript: Transcript, result: OutputRequest, times: StageTimes) -> tuple[str, int]:
        """Return the text, and the number of its untranslated lines. `times`: of the work, which this adds to.

        Raises:
            TranslationNotConfiguredError: the result needs a translation, and no LLM is configured.
        """
        if result.form in CAPTIONS:
            return await self._captions(transcript, result, times)
        return await self._text(transcript, result, times)

    async def _captions(self, transcript: Transcript, result: OutputRequest, times: StageTimes) -> tuple[str, int]:
        from steno.captions.formats import labels_in_text, render
        from steno.pipelines.subtitle import subtitles_of
        from steno.pipelines.translate import translate_cues

        options, form = self.options, cast("FormatName", result.form)
        labels = labels_in_text(form, options.labels)
        with times.measure("write"):
            cues, kept = subtitles_of(transcript, options.style, options.mode, labels).cues, 0
        if result.target is not None:
            languages = self._language_pair(transcript, result.target, self.caption_temperature)
            with times.measure("translate"):
                done = await translate_cues(
                    cues, self.translator, languages, options.style, bilingual=options.bilingual, labels=labels
                )
            cues, kept = done.cues, len(done.untranslated)
        language = result.target or transcript.language
        with times.measure("write"):
            return render(form, cues, language=language, labels=options.labels), kept

    async def _text(self, transcript: Transcript, result: OutputRequest, times: StageTimes) -> tuple[str, int]:
        from steno.pipelines.translate import translate_transcript

        kept = 0
        if result.target is not None:
            languages = self._language_pair(transcript, result.target, self.text_temperature)
            with times.measure("translate"):
                done = await translate_transcript(transcript, self.translator, languages)
            transcript, kept = done.transcript, len(done.untranslated)
        if result.form == "text":
            return transcript.text, kept
        with times.measure("write"):
            return self._document(transcript, result, times).model_dump_json(exclude_none=True), kept

    def _document(self, transcript: Transcript, result: OutputRequest, times: StageTimes) -> BaseModel:
        from steno.server.http.timings_json import timings_json
        from steno.server.http.transcript_json import diarized_transcript, json_transcript, verbose_transcript

        if result.form == "verbose_json":
            body = verbose_transcript(transcript, {"segment", "word"}, times)
            body.timings = timings_json(times, transcript.duration_s, memory=self.is_local)
            return body
        if result.form == "diarized_json":
            return diarized_transcript(transcript)
        made = json_transcript(transcript, logprobs=False)
        if self.options.timings:
            made.timings = timings_json(times, transcript.duration_s, memory=self.is_local)
        return made

    def _language_pair(self, transcript: Transcript, target: str, temperature: float) -> LanguagePair:
        from steno.translation.translator import LanguagePair

        return LanguagePair(target, transcript.language, self.options.glossary, temperature)
