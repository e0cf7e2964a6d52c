"""The chat on the recording's clock, from the results of the stages before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archive.simulated_chat import Step, chat_about, track
from steno.archive.chat.clock_estimate import estimate_clock
from steno.archive.manifest import ChatClock
from steno.archive.stage_files import LEVEL_STEP_S, AudioPiece, Pieces, TimedTranscript
from steno.archive.stages.aligned_stage import placed_messages, track_of
from steno.types import Segment


def results(seed: int) -> tuple[Pieces, TimedTranscript]:
    """Results of `pieces` and `words` for a simulated recording."""
    recording = track(seed)
    words = tuple(recording.words)
    text = " ".join(word.text for word in words)
    segment = Segment(0, words[0].start_s, words[-1].end_s, text, words=words)
    piece = AudioPiece(start_s=0, end_s=recording.duration_s, speech=(0.0, 900.0), speech_s=900.0)
    levels = tuple(int(level) for level in recording.loudness_db)
    pieces = Pieces(duration_s=recording.duration_s, pieces=(piece,), levels_db=levels)
    return pieces, TimedTranscript(text=text, language="en", duration_s=recording.duration_s, segments=(segment,))


def test_messages_are_placed_by_the_clock_that_the_results_give() -> None:
    steps = [Step(0, 20.0), Step(900, -15.0)]
    chat = chat_about(track(7), steps, 8, count=600)
    clock = estimate_clock(chat, track_of(*results(7))).clock
    placed = placed_messages(chat, clock)
    assert len(placed) == len(chat)
    assert [message.time_s for message in placed] == sorted(message.time_s for message in placed)
    numbered = [replace(message, author=str(number)) for number, message in enumerate(chat)]
    found = {message.author: message.time_s for message in placed_messages(numbered, clock)}
    shifts = [found[message.author] - message.time_s for message in numbered]
    early = [shift for shift, message in zip(shifts, chat, strict=True) if message.time_s < 800]
    late = [shift for shift, message in zip(shifts, chat, strict=True) if message.time_s > 1000]
    assert np.median(early) == pytest.approx(20.0, abs=1.0)
    assert np.median(late) == pytest.approx(-15.0, abs=1.0)
    assert placed_messages(chat, ChatClock(method="test")) == ()


def test_speech_is_where_words_are_or_else_where_pieces_have_it() -> None:
    pieces, transcript = results(7)
    activity = track_of(pieces, transcript).activity
    word = track(7).words[0]
    assert activity[int(word.start_s / LEVEL_STEP_S)] == 1.0
    assert activity[: int(word.start_s / LEVEL_STEP_S)].sum() == 0
    assert 0.2 < activity.mean() < 0.8
    without = transcript.model_copy(update={"segments": (replace(transcript.segments[0], words=()),)})
    activity = track_of(pieces, without).activity
    assert (activity[:3600].min(), activity[3600:].max()) == (1.0, 0.0)
