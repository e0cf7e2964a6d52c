"""Where the time of a result went, as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from steno.stage_times import StageTimes, peak_memory_mb

SECONDS_DIGITS = 4


class ResultTimings(BaseModel):
    """Seconds on a monotonic clock. Pieces of a recording are worked on at once: each stage is summed work, which may
    exceed `total`, the wall time. A stage that was not needed is 0. Alignments have further stages."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": {"type": "number"}})

    decode: float = Field(0.0, description="Decoding the recording.")
    vad: float = Field(0.0, description="Detecting speech.")
    load: float = Field(0.0, description="Waiting for the model to load.")
    wait: float = Field(0.0, description="Waiting in the queue of the recogniser, summed over the pieces.")
    recognize: float = Field(0.0, description="Recognising, summed over the pieces.")
    align: float = Field(0.0, description="Aligning, its queue included, summed over the pieces.")
    speakers: float = Field(0.0, description="Telling the speakers apart, beside the recognition.")
    translate: float = Field(0.0, description="Translating.")
    write: float = Field(0.0, description="Rendering the result, without the encoding of this JSON.")
    total: float = Field(description="Wall time, from when the recording was received.")
    real_time_factor: float | None = Field(
        None, description="`total` for a second of audio: 0.1 is ten times as fast as real time."
    )
    peak_memory_mb: float | None = Field(
        None,
        description="The most memory, in MiB, that the process has had since it started: of all requests, and without "
        "the processes of workers, decoders and PocketSphinx.",
    )


def timings_json(times: StageTimes, audio_s: float, *, memory: bool = True) -> ResultTimings:
    """`memory`: include this process's; false if the work was done elsewhere."""
    total = times.total_s
    return ResultTimings(
        **{stage: round(seconds, SECONDS_DIGITS) for stage, seconds in times.seconds.items()},
        total=round(total, SECONDS_DIGITS),
        real_time_factor=round(total / audio_s, SECONDS_DIGITS) if audio_s > 0 else None,
        peak_memory_mb=round(peak_memory_mb(), 1) if memory else None,
    )
