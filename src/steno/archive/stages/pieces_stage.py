"""Where speech is, and where the audio is cut for recognition."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steno.archive.manifest import ModelIdentity, RecordingManifest, StageName, TimeRange
from steno.archive.stage_files import LEVEL_STEP_S, SILENCE_DB, AudioPiece, Pieces, dump, load
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.types import SAMPLE_RATE
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from steno.types import Audio

VERSION = 1
VAD = ModelIdentity(backend="silero", id="silero-vad", revision="6.2.3")


class PiecesStage:
    name: StageName = "pieces"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan:
        settings = tools.opener.settings
        return StagePlan(
            self.name,
            VERSION,
            {"audio": checksum_of(manifest, "audio")},
            {"max_piece_s": settings.max_piece_s, "vad_threshold": settings.vad_threshold},
            VAD,
        )

    async def run(self, job: StageJob) -> StageOutcome:
        levels = LevelMeter()
        pieces: list[AudioPiece] = []
        async with aclosing(job.tools.opener.open(job.result_of("audio"))) as reader:
            while (piece := await reader.read()) is not None:
                levels.add(piece.start_s, piece.audio)
                pieces.append(
                    AudioPiece(
                        start_s=piece.start_s, end_s=piece.end_s, speech=piece.speech, speech_s=round(piece.speech_s, 3)
                    )
                )
                if job.manifest.duration_s:
                    job.report(min(piece.end_s / job.manifest.duration_s, 1.0))
            duration_s = reader.duration_s
        job.times.add_all({"decode": reader.decode_s, "vad": reader.vad_s})
        with job.times.measure("write"):
            content = Pieces(duration_s=duration_s, pieces=tuple(pieces), levels_db=levels.decibels(duration_s))
            write_whole(path := job.new_path(".json"), dump(content), lasting=True)
        speech_s = sum(piece.speech_s for piece in pieces)
        return StageOutcome([path], {"pieces": len(pieces), "speech_s": round(speech_s, 3)})

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {"trims": trims_of(load(Pieces, files[0]))}


class LevelMeter:
    """RMS levels over ranges of `LEVEL_STEP_S`."""

    def __init__(self) -> None:
        self._energy: NDArray[np.float64] = np.zeros(0)

    def add(self, start_s: float, audio: Audio) -> None:
        """`start_s`: where the audio begins in the recording."""
        step = round(LEVEL_STEP_S * SAMPLE_RATE)
        index = (round(start_s * SAMPLE_RATE) + np.arange(len(audio))) // step
        added = np.bincount(index, weights=np.square(audio, dtype=np.float64))
        energy: NDArray[np.float64] = np.zeros(max(len(added), len(self._energy)))
        energy[: len(added)] = added
        energy[: len(self._energy)] += self._energy
        self._energy = energy

    def decibels(self, duration_s: float) -> tuple[int, ...]:
        """The levels up to `duration_s`, which is where the last range may end early."""
        count = int(np.ceil(duration_s / LEVEL_STEP_S))
        energy = np.zeros(count)
        energy[: len(self._energy)] = self._energy[:count]
        mean = energy / (LEVEL_STEP_S * SAMPLE_RATE)
        levels = 10 * np.log10(np.maximum(mean, 10.0 ** (SILENCE_DB / 10)))
        return tuple(round(level) for level in levels.tolist())


def trims_of(pieces: Pieces) -> tuple[TimeRange, ...]:
    """The parts that are not recognised: between pieces, and pieces without speech."""
    trims: list[TimeRange] = []
    end_s = 0.0
    spoken = [(piece.start_s, piece.end_s) for piece in pieces.pieces if piece.speech is not None]
    for start_s, next_end_s in [*spoken, (pieces.duration_s, pieces.duration_s)]:
        if start_s > end_s:
            trims.append(TimeRange(start_s=end_s, end_s=start_s))
        end_s = next_end_s
    return tuple(trims)
