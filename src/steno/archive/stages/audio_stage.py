"""The recording's sound, as FLAC of 16 kHz: decoded once, whatever is recomputed later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np

from steno.archive.manifest import RecordingManifest, StageName
from steno.archive.stages.probe_stage import raw_input, raw_path
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools
from steno.errors import EmptyAudioError
from steno.pipelines.recording_reader import DecoderRun
from steno.stage_times import StageTimes
from steno.types import SAMPLE_RATE
from steno.whole_file import new_file

if TYPE_CHECKING:
    from steno.types import Audio

VERSION = 1


class AudioStage:
    name: StageName = "audio"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan:
        options = {"track": tools.options.track, "sample_rate": SAMPLE_RATE}
        return StagePlan(self.name, VERSION, raw_input(manifest), {**options})

    async def run(self, job: StageJob) -> StageOutcome:
        opener, track = job.tools.opener, job.tools.options.track
        run = DecoderRun(opener.resources)
        warnings: list[str] = []
        chunks = opener.resources.decoders.decode(
            raw_path(job), max_seconds=opener.settings.max_audio_s, track=track, cancelled=run.cancelled,
            on_warning=warnings.append,
        )  # fmt: skip
        total_s = job.manifest.media.duration_s if job.manifest.media is not None else None

        def report(seconds: float) -> None:
            job.report(min(seconds / total_s, 1.0) if total_s else 0.0)

        def encode() -> int:
            with new_file(path, lasting=True) as file:
                return write_flac(file, _timed(chunks, job.times), report)

        path = job.new_path(".flac")
        try:
            samples = await run.call(encode)
        finally:
            await run.aclose(chunks.close)
        return StageOutcome([path], {"duration_s": samples / SAMPLE_RATE}, warnings)

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        with av.open(str(files[0])) as container:
            audio = container.streams.audio[0]
            assert audio.duration is not None
            assert audio.time_base is not None
            return {"duration_s": float(audio.duration * audio.time_base)}


def _timed(chunks: Iterator[Audio], times: StageTimes) -> Iterator[Audio]:
    """The chunks: waiting for one is decoding, what is done with it is writing."""
    while True:
        with times.measure("decode"):
            chunk = next(chunks, None)
        if chunk is None:
            return
        with times.measure("write"):
            yield chunk


def write_flac(file: BinaryIO, chunks: Iterator[Audio], report: Callable[[float], None]) -> int:
    """Encode mono audio of `SAMPLE_RATE` as 16-bit FLAC. Returns the number of samples.

    Raises:
        EmptyAudioError: there are none.
    """
    samples = 0
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE)
        stream.layout = "mono"
        stream.format = "s16"
        for chunk in chunks:
            quantized = np.clip(np.rint(chunk * 32768), -32768, 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(quantized[np.newaxis], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, samples
            container.mux(stream.encode(frame))
            samples += len(chunk)
            report(samples / SAMPLE_RATE)
        if not samples:
            raise EmptyAudioError("the recording has no audio")
        container.mux(stream.encode(None))
    return samples
