"""Judges the pauses of one stream: once in each, by what is heard there, and then by how long it lasts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from steno.pipelines.live.step_tasks import StepTasks
from steno.pipelines.live.turn_stage import TurnStage
from steno.turn_detection.turn_probability import as_pause_lasts
from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.backends.base import Capabilities
    from steno.streaming.session import Session
    from steno.streaming.step_request import Pause
    from steno.types import Audio, Hypothesis

SOUND_SAMPLES = FRAME
"""Length of the pause at the end of the audio whose sound is judged. After more of the pause it is judged no better
(`LEARNING_LOG.md`), and later."""


def sound_of(pause: Pause) -> Audio:
    """The audio whose sound is judged."""
    return pause.audio_with(SOUND_SAMPLES)


class PauseJudge:
    """Judges the pause in which `session` stands still.

    Args:
        steps: recognise the final of the pause in advance.
        recogniser: if it tells where sentences end, the sound is judged only where it does not.
    """

    def __init__(self, stage: TurnStage, steps: StepTasks, session: Session, recogniser: Capabilities) -> None:
        self._stage = stage
        self._steps = steps
        self._session = session
        self._by_recogniser = recogniser.sentence_end
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
        if not self._by_recogniser:
            self._completeness(pause)

    async def judge(self, pause: Pause, threshold: float) -> float | None:
        """How probable it is that the utterance is complete; None = unknown, for all of this pause.

        Args:
            threshold: from which it counts as complete, in the metrics.
        """
        self.begin(pause)
        if self._judged_after_s is None:
            self._judged_after_s = pause.silence_s
            words = partial(self._recognised, pause.segment_id)
            self._probability = await self._stage.judge(partial(self._completeness, pause), threshold, words)
        if self._probability is None:
            return None
        return as_pause_lasts(self._probability, pause.silence_s - self._judged_after_s)

    def close(self) -> None:
        """Cancel the judgement of the sound that was begun last. No-op if it is done."""
        if self._sound is not None:
            self._sound.cancel()
            self._sound = None

    def _completeness(self, pause: Pause) -> asyncio.Task[float]:
        """The judgement of the sound of the pause that was begun: a task that is started once."""
        if self._sound is None:
            self._sound = asyncio.create_task(self._stage.completeness(sound_of(pause)), name="turn sound")
            self._sound.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._sound

    async def _recognised(self, segment_id: int) -> Hypothesis | None:
        """The text before the pause, once it is recognised; None if it is not being recognised, or cannot be."""
        await self._steps.speculated(segment_id)
        now = self._session.pause
        return now.hypothesis if now is not None else None
