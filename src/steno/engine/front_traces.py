"""Spans of jobs and utterances, as the front sees them.

    utterance                    from its first job until it is forgotten
      recognize, align           a job, from its submission to its result
        step                     in the backend, in the process that has it (`job_trace`)

The jobs of uploads, and alignments, are children of their request or session.
"""

from __future__ import annotations

from collections.abc import Mapping

from steno import tracing
from steno.backends.aligners.base import Align
from steno.backends.base import Recognize
from steno.engine.job_trace import JobTrace
from steno.engine.queue import Job
from steno.errors import StenoError


class FrontTraces:
    """The spans of an engine's jobs and utterances."""

    def __init__(self, tracer: tracing.Tracer) -> None:
        self._tracer = tracer
        self._utterances: dict[str, tracing.Span] = {}

    def begin(self, job: Job) -> JobTrace:
        """`job` is submitted. Its span is a child of its utterance's, or of the span that this task is in."""
        work = job.work
        parent = tracing.current()
        if isinstance(work, Recognize) and work.utterance is not None:
            parent = self._utterance(work.utterance, parent).traceparent
        attributes: dict[str, tracing.Attribute] = {
            "steno.class": job.priority.name.lower(),
            "steno.audio_s": round(job.audio_s, 3),
        }
        span = self._tracer.start("align" if isinstance(work, Align) else "recognize", parent, "internal", attributes)
        return JobTrace(span.traceparent, span)

    def settled(self, job: Job, trace: JobTrace, error: BaseException | None) -> None:
        """The job has its result, or was cancelled."""
        if trace.span is None:
            return
        if job.started is not None:
            trace.span.set({"steno.wait_s": round(job.started - job.submitted, 4)})
        trace.span.end("cancelled" if job.future.cancelled() else _code_of(error))

    def forget(self, utterance: str) -> None:
        """The utterance has ended."""
        if (span := self._utterances.pop(utterance, None)) is not None:
            span.end()

    def close(self) -> None:
        """End what is open."""
        for utterance in list(self._utterances):
            self.forget(utterance)

    def _utterance(self, utterance: str, parent: str | None) -> tracing.Span:
        if utterance not in self._utterances:
            names: Mapping[str, tracing.Attribute] = {"steno.utterance": utterance}
            self._utterances[utterance] = self._tracer.start("utterance", parent, "internal", names)
        return self._utterances[utterance]


def _code_of(error: BaseException | None) -> str | None:
    return None if error is None else error.code if isinstance(error, StenoError) else type(error).__name__
