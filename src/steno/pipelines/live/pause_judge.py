"""Judges the pauses of one stream: once in each, by its sound and its words, and then by how long it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from steno.pipelines.live.step_tasks import StepTasks
from steno.pipelines.live.turn_stage import TurnStage
from steno.turn_detection.turn_probability import as_pause_lasts

if TYPE_CHECKING:
    from steno.streaming.step_request import Pause
    from steno.types import Hypothesis


class PauseJudge:
    """Judges `pause()`, the pause in which the stream stands still.

    Args:
        steps: recognise the final of the pause in advance.
    """

    def __init__(self, stage: TurnStage, steps: StepTasks, pause: Callable[[], Pause | None]) -> None:
        self._stage = stage
        self._steps = steps
        self._pause = pause
        self._judged: tuple[int, int] | None = None
        """Segment and end of its speech, before the pause that was judged last."""
        self._probability: float | None = None
        self._silence_s = 0.0
        """What was found then, after this much of the pause."""

    async def judge(self, pause: Pause, threshold: float) -> float | None:
        """How probable it is that the utterance is complete; None = unknown, for all of this pause.

        Args:
            threshold: from which it counts as complete, in the metrics.
        """
        if self._judged != (pause.segment_id, pause.voiced_until):
            self._judged = (pause.segment_id, pause.voiced_until)
            self._silence_s = pause.silence_s
            self._probability = await self._stage.judge(pause.audio, threshold, self._recognised)
        if self._probability is None:
            return None
        return as_pause_lasts(self._probability, pause.silence_s - self._silence_s)

    async def _recognised(self) -> Hypothesis | None:
        """The text before the pause, once it is recognised; None if it is not being recognised, or cannot be."""
        if (pause := self._pause()) is None:
            return None
        await self._steps.speculated(pause.segment_id)
        now = self._pause()
        return now.hypothesis if now is not None else None
