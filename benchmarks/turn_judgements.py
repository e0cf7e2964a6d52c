"""Judgements of pauses, without a server: what share of ends and of other pauses is taken for an end, by threshold.

    python -m benchmarks.turn_judgements [--recordings FOLDER] [--cuts 5] [--quick] [--json out/judgements.json]

The same recordings, sentences and room noise as in `benchmarks.turns`. A session with the real VAD stops in each pause;
the embedded recogniser's text of the utterance so far is read. Pauses are of three kinds: `end`, behind a sentence;
`cut`, put between two words of a clause; `natural`, of the speaker, inside a sentence. For `sound` (Smart Turn alone,
as other recognisers than Moonshine have it in other languages than English), `words` (with the words) and `recogniser`
(Moonshine in place of Smart Turn, and the words):

- auc_cut, auc_natural: how often an end is judged likelier than such a pause; 0.5 is chance.
- end_N, cut_N, natural_N: share of the pauses that are taken for ends at once, at a threshold of N percent.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks import harness
from benchmarks.server import Server
from benchmarks.turn_speech import Speech, TurnRecording
from benchmarks.turns import AUDIO, paths_of, words_of
from steno.backends.base import Recognize
from steno.backends.moonshine.backend import FINAL_SILENCE_MS, MoonshineBackend
from steno.pipelines.live.pause_judge import sound_of
from steno.pipelines.live.turn_options import CHECKS_MS
from steno.streaming.session import Session
from steno.streaming.session_config import SessionConfig
from steno.turn_detection.turn_judge import TurnJudge, needs_sound
from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig
from steno.vad.levels import frame_levels
from steno.vad.silero import BatchedVad, VadState

if TYPE_CHECKING:
    from steno.streaming.step_request import Pause
    from steno.types import Audio

Kind = Literal["end", "cut", "natural"]
KINDS: tuple[Kind, ...] = ("end", "cut", "natural")
PAUSE_S = 0.6
"""Length of a pause that is put into a sentence."""
NEAR_S = 0.25
"""Max distance of a pause of the VAD from the end of speech or from a pause that was put in."""
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class JudgedPause:
    kind: Kind
    sound: float
    words: float
    recogniser: float


JUDGES = ("sound", "words", "recogniser")


def recordings_of(paths: Sequence[Path]) -> list[TurnRecording]:
    """With a server's transcripts of them."""
    with Server(ASR_BACKEND="moonshine", PRELOAD="true", IDLE_TIMEOUT="0") as server:
        return [TurnRecording(path, words_of(server, path)) for path in paths]


def speeches_of(recording: TurnRecording, cuts: int, chance: random.Random) -> list[Speech]:
    """Its sentences, and each up to `cuts` times with a pause put in."""
    return [*recording.sentences(), *recording.paused(cuts, chance, (PAUSE_S, PAUSE_S))]


def pauses_of(speech: Speech, vad: BatchedVad) -> Iterator[tuple[Kind, Pause]]:
    """The pauses of a sentence, which is the first of its stream."""
    checks = SegmenterConfig(turn_checks_ms=CHECKS_MS[:1])
    session, state = Session(SessionConfig(checks)), VadState()
    for frame in session.feed(speech.audio):
        session.observe(vad.step(frame[None], [state]), frame_levels(frame))
        if (pause := session.pause) is None:
            continue
        kind = _kind_of(speech, pause.voiced_until / SAMPLE_RATE)
        session.judge(0.0)
        if kind is not None:
            yield kind, pause
        if kind in ("end", "cut"):
            return


def final_of(pause: Pause) -> Audio:
    """What Moonshine recognises."""
    return pause.audio_with(round(FINAL_SILENCE_MS * SAMPLE_RATE / 1000))


async def judged(speeches: Sequence[Speech]) -> list[JudgedPause]:
    vad, judge, recogniser = BatchedVad(), TurnJudge(), MoonshineBackend()
    await recogniser.load(lambda *_: None)
    pauses: list[JudgedPause] = []
    for kind, pause in (found for speech in speeches for found in pauses_of(speech, vad)):
        heard = await recogniser.recognize(Recognize(final_of(pause), utterance="pause"))
        sound, words = judge.completeness(sound_of(pause)), replace(heard, sentence_end=None)
        by_recogniser = judge.probability(heard, sound if needs_sound(heard) else None)
        pauses.append(JudgedPause(kind, judge.probability(None, sound), judge.probability(words, sound), by_recogniser))
    await recogniser.unload()
    return pauses


def main() -> None:
    options = _options()
    report = harness.Report("turn_judgements", options)
    chance = random.Random(22)
    recordings = recordings_of(paths_of(options.recordings))
    speeches = [speech for recording in recordings for speech in speeches_of(recording, options.cuts, chance)]
    pauses = asyncio.run(judged(speeches[:: 20 if options.quick else 1]))
    for kind in KINDS:
        report.add(f"{kind}s", sum(pause.kind == kind for pause in pauses))
    for judge in JUDGES:
        found = {kind: np.array([getattr(p, judge) for p in pauses if p.kind == kind]) for kind in KINDS}
        for kind in KINDS[1:]:
            if len(found["end"]) and len(found[kind]):
                report.add(f"{judge}_auc_{kind}", _auc(found["end"], found[kind]))
        for threshold in THRESHOLDS:
            for kind in (kind for kind in KINDS if len(found[kind])):
                share = float(np.mean(found[kind] >= threshold))
                report.add(f"{judge}_{kind}_{100 * threshold:.0f}", share)
    report.finish()


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help=f"further English speech: {' '.join(AUDIO)}")
    parser.add_argument("--cuts", type=int, default=5, help="pauses put into each sentence, one at a time")
    return parser.parse_args()


def _kind_of(speech: Speech, at_s: float) -> Kind | None:
    """Of a pause behind speech that ends at `at_s`; None = another one in a sentence with a pause put in."""
    if at_s > speech.end_s - NEAR_S:
        return "end" if speech.pause_s is None else None
    if speech.pause_s is None:
        return "natural"
    return "cut" if abs(at_s - speech.pause_s[0]) < NEAR_S else None


def _auc(ends: np.ndarray, others: np.ndarray) -> float:
    """How often an end is judged likelier; ties count half."""
    return float(np.mean((ends[:, None] > others) + 0.5 * (ends[:, None] == others)))


if __name__ == "__main__":
    main()
