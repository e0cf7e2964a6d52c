"""Judges the pauses of one stream: once in each, by its sound and its words, and then by how long it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from steno.pipelines.live.step_tasks import StepTasks
from steno.pipelines.live.turn_stage import TurnStage
from steno.turn_detection.turn_probability import as_pause_lasts
from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.streaming.step_request import Pause
    from steno.types import Audio, Hypothesis

SOUND_SAMPLES = FRAME
"""Length of the pause at the end of the audio whose sound is judged. After more of the pause it is judged no better
(`LEARNING_LOG.md`), and later."""


def sound_of(pause: Pause) -> Audio:
    """The audio whose sound is judged."""
    return pause.audio[: len(pause.audio) - (pause.end - pause.voiced_until) + SOUND_SAMPLES]


class PauseJudge:
    """Judges `pause()`, the pause in which the stream stands still.

    Args:
        steps: recognise the final of the pause in advance.
    """

    def __init__(self, stage: TurnStage, steps: StepTasks, pause: Callable[[], Pause | None]) -> None:
        self._stage = stage
        self._steps = steps
        self._pause = pause
        self._begun: tuple[int, int] | None = None
        self._sound: asyncio.Task[float] | None = None
        """The sound of the pause that has begun."""
        self._judged_after_s: float | None = None
        """How much of this pause there was when it was judged; None = it was not."""
        self._probability: float | None = None
        """What was found then."""

    def begin(self, pause: Pause | None) -> None:
        """Start judging the sound of a pause, which may have to be judged. No-op for one that was begun."""
        if pause is None or pause.key == self._begun:
            return
        self.close()
        self._begun, self._judged_after_s, self._probability = pause.key, None, None
        self._sound = asyncio.create_task(self._stage.completeness(sound_of(pause)), name="turn sound")
        self._sound.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def judge(self, pause: Pause, threshold: float) -> float | None:
        """How probable it is that the utterance is complete; None = unknown, for all of this pause.

        Args:
            threshold: from which it counts as complete, in the metrics.
        """
        self.begin(pause)
        assert self._sound is not None
        if self._judged_after_s is None:
            self._judged_after_s = pause.silence_s
            words = partial(self._recognised, pause.segment_id)
            self._probability = await self._stage.judge(self._sound, threshold, words)
        if self._probability is None:
            return None
        return as_pause_lasts(self._probability, pause.silence_s - self._judged_after_s)

    def close(self) -> None:
        """Cancel the judgement of the sound that was begun last. No-op if it is done."""
        if self._sound is not None:
            self._sound.cancel()

    async def _recognised(self, segment_id: int) -> Hypothesis | None:
        """The text before the pause, once it is recognised; None if it is not being recognised, or cannot be."""
        await self._steps.speculated(segment_id)
        now = self._pause()
        return now.hypothesis if now is not None else None
