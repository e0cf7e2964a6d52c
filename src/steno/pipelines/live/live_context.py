"""What all live streams share, and each stream's configuration from its options."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from steno.audio.intake import ContainerIntake, Intake, PcmIntake
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.captions.cues import CueStyle
from steno.engine.front import Engine
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.speaker_stage import SpeakerStage
from steno.pipelines.live.turn_options import CHECKS_MS, TurnSettings
from steno.pipelines.live.turn_stage import TurnStage
from steno.pipelines.live.vad_stage import VadStage
from steno.streaming.session_config import SessionConfig
from steno.translation.translator import Translator
from steno.vad.config import SegmenterConfig

NEVER_MS = 3_600_000.0
"""Endpointing silence that is never reached; disables endpointing."""


class LiveTelemetry(Protocol):
    def emitted(self, what: str, lag_s: float) -> None:
        """`what` ("partial" or "final") was emitted `lag_s` after it was due."""

    def diverged(self) -> None:
        """A final's text contradicted stable text already sent."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Defaults of live streams; a client's options override them."""

    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    step_s: float = 0.48
    hold_s: float = 1.0
    assume_silence: bool = True
    """Whether audio that does not come counts as silence: see `SilenceWatch`."""
    turns: TurnSettings = field(default_factory=TurnSettings)


@dataclass(frozen=True, slots=True)
class LiveContext:
    """Resources that all streams share."""

    engine: Engine
    vad_stage: VadStage
    settings: LiveSettings
    style: CueStyle
    translator: Translator | None = None
    telemetry: LiveTelemetry | None = None
    decoders: DecoderPool = field(default_factory=DecoderPool)
    """Decode containers; raw audio needs none."""
    turn_stage: TurnStage = field(default_factory=TurnStage)
    speaker_stage: SpeakerStage = field(default_factory=SpeakerStage)

    def session_config(self, options: LiveOptions) -> SessionConfig:
        """A stream's configuration."""
        return session_config_of(options, self.settings, self.engine.capabilities.final_silence_ms)


def intake_of(options: LiveOptions, decoders: DecoderPool) -> Intake:
    """Create the decoder for the options' encoding."""
    if options.encoding == "webm" or options.encoding == "ogg" or options.encoding == "mp4":
        return ContainerIntake(decoders)
    return PcmIntake(options.encoding, options.sample_rate)


def turns_of(options: LiveOptions, settings: LiveSettings) -> TurnSettings:
    """Merge the client's options into the settings. Without endpointing nothing is detected."""
    own = settings.turns
    return TurnSettings(
        (options.turn_detection or own.detection) if options.endpointing else "silence",
        own.threshold if options.turn_threshold is None else options.turn_threshold,
        own.max_silence_ms if options.max_silence_ms is None else options.max_silence_ms,
    )


def session_config_of(options: LiveOptions, settings: LiveSettings, final_silence_ms: float) -> SessionConfig:
    """Merge the client's options into the settings; `final_silence_ms` is the recogniser's."""
    own = settings.segmenter
    threshold = own.threshold if options.threshold is None else options.threshold
    silence_ms = own.silence_ms if options.silence_ms is None else options.silence_ms
    turns = turns_of(options, settings)
    is_smart = turns.detection == "smart"
    pre_roll_ms = own.pre_roll_ms if options.pre_roll_ms is None else options.pre_roll_ms
    segmenter = replace(
        own,
        threshold=threshold,
        release=min(own.release, 0.7 * threshold),
        silence_ms=silence_ms if options.endpointing else NEVER_MS,
        pre_roll_ms=pre_roll_ms,
        turn_checks_ms=CHECKS_MS if is_smart else (),
        max_silence_ms=turns.max_silence_ms,
        drop_after_s=max(own.drop_after_s, 2 * pre_roll_ms / 1000),  # used for files only; must pass validation
    )
    speculate_ms = final_silence_ms if is_smart else None
    return SessionConfig(segmenter, settings.step_s, settings.hold_s, options.offset_s, speculate_ms)
