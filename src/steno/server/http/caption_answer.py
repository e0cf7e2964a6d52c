"""Subtitle files as answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steno.captions.cues import Cue
from steno.captions.formats import FORMATS, FormatName, render
from steno.captions.speaker_cues import SpeakerLabels
from steno.pipelines.subtitle import Timing
from steno.server.http.answer import Answer


def caption_answer(
    cues: Sequence[Cue],
    form: FormatName,
    timing: Timing,
    headers: Mapping[str, str],
    *,
    language: str | None,
    labels: SpeakerLabels = "none",
) -> Answer:
    """The subtitle file. `X-Timing-Mode` reports the source of its times. Call it in a thread."""
    kind = FORMATS[form]
    headers = {**headers, "X-Timing-Mode": timing.mode}
    if timing.reason:
        headers["X-Timing-Reason"] = timing.reason
    return Answer(
        render(form, cues, language=language, labels=labels).encode(), kind.media_type, headers, kind.extension
    )
