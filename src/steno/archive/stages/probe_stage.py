"""What a recording's header says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from steno.archive.manifest import MediaFacts, RecordingManifest, StageName
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools
from steno.audio.decode import MediaInfo
from steno.errors import StageNotReadyError
from steno.pipelines.recording_reader import DecoderRun
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from steno.types import Audio

VERSION = 1
DRAINED_CHUNKS = 120
"""Of a second each."""


class ProbeStage:
    name: StageName = "probe"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        """None: another machine, which had the raw file, has decoded it."""
        audio = manifest.result("audio")
        is_decoded = audio is not None and audio.inputs == raw_input(manifest)
        if manifest.result(self.name) is None and is_decoded and _is_elsewhere(manifest):
            return None
        return StagePlan(self.name, VERSION, raw_input(manifest), {"track": tools.options.track})

    async def run(self, job: StageJob) -> StageOutcome:
        opener, track = job.tools.opener, job.tools.options.track
        run = DecoderRun(opener.resources)
        found: list[MediaInfo] = []
        chunks = opener.resources.decoders.decode(
            raw_path(job), max_seconds=opener.settings.max_audio_s, track=track, cancelled=run.cancelled,
            on_open=found.append,
        )  # fmt: skip
        with closing(chunks):
            try:
                await run.call(lambda: _drain(chunks))
            finally:
                await run.aclose(chunks.close)
        info = {name: value for name, value in dataclasses.asdict(found[0]).items() if name != "is_exact"}
        facts = MediaFacts(**{**info, "duration_s": info["duration_s"] if found[0].is_exact else None})
        write_whole(path := job.new_path(".json"), facts.model_dump_json() + "\n", lasting=True)
        return StageOutcome([path])

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {"media": MediaFacts.model_validate_json(files[0].read_bytes())}


def _drain(chunks: Iterator[Audio]) -> None:
    """Read the header, and a short recording to its end: a decoder that is stopped earlier ends its process, and the
    next one takes longer to start than the rest takes to decode."""
    for _ in islice(chunks, DRAINED_CHUNKS):
        pass


def _is_elsewhere(manifest: RecordingManifest) -> bool:
    """A copy in the archive is not; its path is relative."""
    path = Path(manifest.raw.path) if manifest.raw is not None else None
    return path is not None and path.is_absolute() and not path.exists()


def raw_input(manifest: RecordingManifest) -> dict[str, str]:
    if manifest.raw is None:
        raise StageNotReadyError("the recording was not read yet")
    return {"raw": manifest.raw.sha256}


def raw_path(job: StageJob) -> Path:
    assert job.manifest.raw is not None
    return job.archive.path_of(job.manifest.id, job.manifest.raw)
