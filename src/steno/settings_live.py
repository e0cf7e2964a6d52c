"""Settings of live streams: a part of `Settings`."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings

from steno.settings_fields import setting


class LiveStreamSettings(BaseSettings):
    """See `Settings`."""

    vad_threshold: float = setting("Live", "Probability above which a frame is speech.", 0.5, gt=0, lt=1)
    vad_silence_ms: int = setting("Live", "Silence that ends an utterance, in milliseconds.", 500, ge=100, le=10_000)
    turn_detection: Literal["silence", "smart"] = setting(
        "Live",
        "What ends an utterance: `silence` of `VAD_SILENCE_MS`; or `smart`: models judge a pause by what "
        "was heard before it; the more probable an end is, the sooner, and after `MAX_SILENCE_MS` in any case.",
        "silence",
    )
    turn_threshold: float = setting(
        "Live", "Probability from which `TURN_DETECTION=smart` takes an utterance for complete.", 0.6, gt=0, lt=1
    )
    max_silence_ms: int = setting(
        "Live",
        "Silence that ends an utterance which is not complete, in milliseconds (`TURN_DETECTION=smart`).",
        3000,
        ge=100,
        le=60_000,
    )
    assume_silence: bool = setting(
        "Live",
        "Assume silence if a client sends no audio (a muted microphone): its utterance ends after "
        "`VAD_SILENCE_MS` on the clock. `false` = wait for the audio.",
        True,
    )
    speaker_timeout: float = setting(
        "Live", "Max seconds that a final waits for its speakers (`diarize=true`); then it has none.", 1.0, gt=0, le=60
    )
    step_ms: int = setting("Live", "Cadence of partial results, in milliseconds.", 480, ge=100, le=5000)
    stable_hold_s: float = setting(
        "Live", "Seconds of audio over which hypotheses must agree before text is stable.", 1.0, ge=0, le=10
    )
