"""The transcript with speakers, if the archive's options ask for them. Runs where `archive run` does, also with
`--url`; with `--ray` in its actors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from steno.archive.manifest import ModelIdentity, RecordingManifest, StageName
from steno.archive.stage_files import AudioPiece, Pieces, TimedTranscript, dump, load
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.pipelines.audio_spans import AudioSpans
from steno.pipelines.recording_reader import RecordingPiece
from steno.pipelines.recording_speakers import MAX_SPEAKERS, RecordingSpeakers, SpeakerOptions
from steno.pipelines.subtitle import words_of
from steno.types import Word
from steno.whole_file import write_whole

VERSION = 1
SHIPPED_MODEL = "campplus"


class SpeakersStage:
    name: StageName = "speakers"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        options = tools.options
        if not options.diarize:
            return None
        inputs = {name: checksum_of(manifest, name) for name in ("audio", "pieces", "words")}
        model = speaker_model_identity(tools.opener.speaker_model.model_id)
        return StagePlan(self.name, VERSION, dict(inputs), {"num_speakers": options.num_speakers}, model)

    async def run(self, job: StageJob) -> StageOutcome:
        transcript = load(TimedTranscript, job.result_of("words"))
        pieces = load(Pieces, job.result_of("pieces")).pieces
        number = job.tools.options.num_speakers
        wanted = SpeakerOptions(number or 1, number or MAX_SPEAKERS)
        speakers = RecordingSpeakers(job.tools.opener.speaker_model, wanted)
        try:
            async with AudioSpans(job.tools.opener, job.result_of("audio")) as spans:
                for piece, voiced in _spoken(pieces, words_of(transcript.segments)):
                    audio = await spans.read(piece.start_s, piece.end_s)
                    speech = RecordingPiece(audio, piece.start_s, piece.end_s, piece.speech, voiced=tuple(voiced))
                    await speakers.add(speech)
                    job.report(piece.end_s / transcript.duration_s)
                job.times.add("decode", spans.decode_s)
            segments = await speakers.label(transcript.segments)
        finally:
            await speakers.aclose()
        job.times.add("speakers", speakers.took_s)
        labelled = transcript.model_copy(update={"segments": tuple(segments)})
        with job.times.measure("write"):
            write_whole(path := job.new_path(".json"), dump(labelled), lasting=True)
        names = {segment.speaker for segment in segments if segment.speaker is not None}
        return StageOutcome([path], {"segments": len(segments), "speakers": len(names)})

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {}


def speaker_model_identity(model_id: str | None) -> ModelIdentity:
    """A file is known by its content: another one of the same name gives another result."""
    if model_id is None or not (path := Path(model_id)).is_file():
        return ModelIdentity(backend="speakers", id=model_id or SHIPPED_MODEL)
    facts = path.stat()
    return ModelIdentity(backend="speakers", id=path.name, revision=_checksum(path, facts.st_mtime_ns, facts.st_size))


@cache
def _checksum(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spoken(
    pieces: Sequence[AudioPiece], words: Sequence[Word]
) -> Iterator[tuple[AudioPiece, list[tuple[float, float]]]]:
    """The pieces that have words, with the times of these."""
    first = 0
    for piece in pieces:
        last = first
        while last < len(words) and words[last].start_s < piece.end_s:
            last += 1
        if last > first:
            yield piece, [(word.start_s, min(word.end_s, piece.end_s)) for word in words[first:last]]
        first = last
