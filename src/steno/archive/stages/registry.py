"""The stages in their order."""

from __future__ import annotations

from steno.archive.stages.aligned_stage import AlignedStage
from steno.archive.stages.audio_stage import AudioStage
from steno.archive.stages.chat_stage import ChatStage
from steno.archive.stages.pieces_stage import PiecesStage
from steno.archive.stages.probe_stage import ProbeStage
from steno.archive.stages.speakers_stage import SpeakersStage
from steno.archive.stages.stage import Stage
from steno.archive.stages.transcript_stage import TranscriptStage
from steno.archive.stages.words_stage import WordsStage

ALL_STAGES: tuple[Stage, ...] = (
    ProbeStage(),
    AudioStage(),
    PiecesStage(),
    TranscriptStage(),
    WordsStage(),
    ChatStage(),
    AlignedStage(),
    SpeakersStage(),
)
