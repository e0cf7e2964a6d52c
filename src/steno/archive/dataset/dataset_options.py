"""Parameters of the dataset `chat-sft`. All of them are written into it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from steno.archive.prompt import PromptWindow

BOTS = (
    "botrixoficial", "commanderroot", "fossabot", "kofistreambot", "moobot", "nightbot", "own3d", "phantombot",
    "pokemoncommunitygame", "pretzelrocks", "sery_bot", "soundalerts", "streamelements", "streamlabs", "streamstickers",
    "wizebot",
)  # fmt: skip
"""Accounts that write in many chats and are no people."""


class DatasetOptions(BaseModel):
    """What is kept of a chat, and how it is divided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    transcript_s: float = Field(60.0, gt=0)
    context_messages: int = Field(20, ge=0)
    context_messages_s: float = Field(120.0, ge=0)
    bots: tuple[str, ...] = BOTS
    command_marks: tuple[str, ...] = ("!", "/")
    """Messages that begin with one are commands."""
    word_list: tuple[str, ...] = ()
    """Messages with one of these words, or sequences of words and symbols, are left out."""
    max_chars: int = Field(500, ge=1)
    copy_window_s: float = Field(120.0, ge=0)
    copy_min_chars: int = Field(20, ge=1)
    """Shorter messages may be alike."""
    emote_only_weight: float = Field(0.2, ge=0, le=1)
    """Weight of messages of emotes alone; others have 1."""
    min_asr_confidence: float = Field(0.5, ge=0, le=1)
    """Mean of the words before the message. Words without a confidence are trusted."""
    min_transcript_words: int = Field(3, ge=0)
    max_per_author: int = Field(200, ge=1)
    """Of a recording."""
    max_per_recording: int = Field(20_000, ge=1)
    validation_share: float = Field(0.05, ge=0, le=1)
    test_share: float = Field(0.05, ge=0, le=1)

    @property
    def window(self) -> PromptWindow:
        return PromptWindow(self.transcript_s, self.context_messages, self.context_messages_s)
