"""Settings of subtitles and of their translation: a part of `Settings`."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from steno.settings_fields import setting


class CaptionSettings(BaseSettings):
    """See `Settings`."""

    subtitle_max_cps: float = setting("Subtitles", "Max reading speed, in characters per second.", 17.0, gt=0, le=100)
    subtitle_min_duration_s: float = setting("Subtitles", "Min duration of a cue, in seconds.", 0.833, gt=0, le=10)
    subtitle_max_duration_s: float = setting("Subtitles", "Max duration of a cue, in seconds.", 7.0, gt=0, le=60)
    subtitle_gap_s: float = setting("Subtitles", "Min gap between cues, in seconds.", 0.083, ge=0, le=2)
    subtitle_pause_s: float = setting("Subtitles", "Pause that ends a cue, in seconds.", 0.5, gt=0, le=10)

    openai_base_url: str | None = setting("Translation", "Base URL of the OpenAI-compatible LLM for translation.", None)
    openai_api_key: SecretStr | None = setting("Translation", "The LLM's key.", None)
    translate_model: str | None = setting("Translation", "The LLM's model; needed with `OPENAI_BASE_URL`.", None)
    translate_temperature: float = setting("Translation", "Temperature for plain text.", 0.3, ge=0, le=2)
    translate_srt_temperature: float = setting("Translation", "Temperature for subtitles.", 0.0, ge=0, le=2)
    translate_timeout: float = setting("Translation", "Time limit of an LLM request, in seconds.", 60.0, gt=0, le=3600)
    translate_retries: int = setting(
        "Translation", "Max retries of an LLM request after a 429, 5xx, time-out or disconnect.", 3, ge=0, le=20
    )
