"""How well speakers of recordings are told apart, and at what cost.

    python -m benchmarks.speakers [--quick] [--live] [--tune] [--voices FOLDER] [--rttm FOLDER] [--json FILE]

Conversations of 2 to 6 speakers are put together (`conversing`) from recordings in Moonshine's wheel and flite's voices
(`apt install libflite1`), and diarized as the server does it: VAD, embeddings, clusters, turns. Errors are counted by
pyannote.metrics with a collar of 0.25 s, overlapping speech included. Thresholds were chosen with `--tune`, which has
other voices; `new_voice` also with other seeds of these. In recordings, which have no word times, the reference is
where the VAD hears speech when they are played alone: what it misses there is not counted. flite says when its words
are spoken.

`--rttm` has real conversations: RTTM files, each beside the recordings that it names. pyannote.audio's sources on
PyPI (`tests/data`, `src/pyannote/audio/sample`) has a telephone call and far-field meetings (AMI), of 30 s each.

`live_…` and `der_live…`: the same conversations as live streams, through the real stages with a recogniser that takes
no time, faster than real time, as their finals tell it (`conversing.live_diarization`). A final waits for its speakers
for 60 s at most, not for a server's 1 s, which a busy machine exceeds at such a speed; `live_wait_ms` and
`live_wait_p95_ms` are the median and the 95th percentile in a conversation, `live_late` the share of finals without
their speakers. `live_over_offline` is `der_live` divided by `der`; with `--live`, nothing but live streams is measured.
`live_confusion` and `live_missed` are parts of `der_live`: what is missed is overlapping speech.
`live_labels_changed` counts segments whose label is not that of their only final, `live_updates` is the share of
segments that were told anew in a separate message, and `der_live_revised` the error with these.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyannote.database.util import load_rttm

from benchmarks.conversing.conversations import Conversation, conversation
from benchmarks.conversing.live_diarization import live_diarization
from benchmarks.conversing.remembering_embedder import RememberingEmbedder
from benchmarks.conversing.scoring import Score, compared, score
from benchmarks.conversing.voices import (
    TWO_IN_ONE,
    Utterance,
    assets_folder,
    detected,
    loaded,
    measured_voices,
    same_person,
    seconds_of,
    tuning_voices,
)
from benchmarks.harness import Report, parser
from steno.speakers.campplus import CampplusEmbedder
from steno.speakers.diarizer import Diarizer
from steno.speakers.voice_clusters import SpeakerCount
from steno.types import SAMPLE_RATE

TARGETS = {
    "der_2": 0.08,
    "der_4": 0.15,
    "rtf": 0.1,
    "wrong_count": 0.1,
    "live_over_offline": 1.5,
    "live_labels_changed": 0.0,
}
NUMBERS = (1, *[2] * 8, *[3] * 4, *[4] * 8, *[5] * 3, *[6] * 3)
QUICK_NUMBERS = (2, 2, 4)
LENGTHS_S = (60.0, 120.0, 240.0)


def main() -> None:
    options = _options()
    report = Report("speakers", options)
    voices = tuning_voices() if options.tune else measured_voices(options.voices)
    report.note(f"voices, with seconds of speech: {seconds_of(voices)}")
    embedder = CampplusEmbedder()
    first = conversation({name: voices[name] for name in list(voices)[:2]}, 10, random.Random(0))
    _heard(first.audio, embedder).finish(SpeakerCount())
    measured: defaultdict[str, list[float]] = defaultdict(list)
    numbers, lengths_s = (QUICK_NUMBERS, LENGTHS_S[:1]) if options.quick else (NUMBERS, LENGTHS_S)
    for made in _conversations(voices, numbers, lengths_s, options.seed):
        offline = {} if options.live else _measure(made, embedder)
        for name, value in {**offline, **_measure_live(made, embedder)}.items():
            measured[name].append(value)
    for name, values in sorted(measured.items()):
        report.add(name, statistics.mean(values))  # a median would hide the conversations that go wrong
    if not options.live and (error := statistics.mean(measured["der"])):
        report.add("live_over_offline", statistics.mean(measured["der_live"]) / error)
    if not options.tune and not options.live:
        _real_pair(embedder, report)
    if options.rttm is not None:
        _real_conversations(options.rttm, embedder, report)
    report.finish(TARGETS)


def _options() -> Namespace:
    made = parser(__doc__)
    made.add_argument("--live", action="store_true", help="live streams alone")
    made.add_argument("--tune", action="store_true", help="the voices that thresholds are chosen with")
    made.add_argument("--voices", type=Path, metavar="FOLDER", help="more voices: a recording of each speaker")
    made.add_argument("--rttm", type=Path, metavar="FOLDER", help="real conversations: RTTM files beside recordings")
    made.add_argument("--seed", type=int, default=1)
    return made.parse_args()


def _conversations(
    voices: Mapping[str, Sequence[Utterance]], numbers: Sequence[int], lengths_s: Sequence[float], seed: int
) -> Sequence[Conversation]:
    rng = random.Random(seed)
    made = []
    for number in numbers:
        names = rng.sample(sorted(voices), number)
        while same_person(names):
            names = rng.sample(sorted(voices), number)
        seconds = rng.choice(lengths_s) * max(1.0, number / 3)
        made.append(conversation({name: voices[name] for name in names}, seconds, rng))
    return made


def _measure(made: Conversation, embedder: CampplusEmbedder) -> dict[str, float]:
    began = time.process_time()
    diarizer = _heard(made.audio, embedder)
    found = diarizer.finish(SpeakerCount())
    took_s = time.process_time() - began
    reached = score(made, found)
    told = score(made, diarizer.finish(SpeakerCount(made.speakers, made.speakers)))
    _show(made, reached)
    return {
        "rtf": took_s / (len(made.audio) / SAMPLE_RATE),
        f"der_{made.speakers}": reached.error,
        "der": reached.error,
        "missed": reached.missed,
        "false_alarm": reached.false_alarm,
        "confusion": reached.confusion,
        "der_number_known": told.error,
        "right_words": reached.right_words,
        "wrong_count": float(reached.found != made.speakers),
    }


def _measure_live(made: Conversation, embedder: CampplusEmbedder) -> dict[str, float]:
    remembering = RememberingEmbedder(embedder)
    live = asyncio.run(live_diarization(made, remembering, None))
    told = asyncio.run(live_diarization(made, remembering, made.speakers))
    reached = score(made, live.told())
    print("live: ", end="")
    _show(made, reached)
    return {
        f"der_live_{made.speakers}": reached.error,
        "der_live": reached.error,
        "live_confusion": reached.confusion,
        "live_missed": reached.missed,
        "der_live_number_known": score(made, told.told()).error,
        "der_live_revised": score(made, live.revised()).error,
        "live_right_words": reached.right_words,
        "live_wrong_count": float(reached.found != made.speakers),
        "live_labels_changed": float(live.changed + told.changed),
        "live_updates": len(live.updates) / len(live.finals),
        "live_late": live.late / len(live.finals),
        "live_wait_ms": 1000 * statistics.median(live.waits_s),
        "live_wait_p95_ms": 1000 * float(np.quantile(live.waits_s, 0.95)),
    }


def _heard(audio: NDArray[np.float32], embedder: CampplusEmbedder) -> Diarizer:
    diarizer = Diarizer(embedder)
    diarizer.add(audio, 0.0, detected(audio))
    return diarizer


def _real_pair(embedder: CampplusEmbedder, report: Report) -> None:
    """A recording of two actors as it is; its turns are known by ear, to a few tenths of a second."""
    found = _heard(loaded(assets_folder() / "endgame_nagg_nell.wav"), embedder).finish(SpeakerCount(2, 2))
    shares = {
        name: np.bincount(
            [turn.speaker for turn in found.turns for start, end in spans
             for _ in range(round(10 * (min(turn.end_s, end) - max(turn.start_s, start))))],
            minlength=2,
        )
        for name, spans in TWO_IN_ONE.items()
    }  # fmt: skip
    nagg, nell = shares["nagg"], shares["nell"]
    report.add("endgame_right", max(nagg[0] + nell[1], nagg[1] + nell[0]) / (nagg.sum() + nell.sum()))


def _real_conversations(folder: Path, embedder: CampplusEmbedder, report: Report) -> None:
    scores: list[Score] = []
    counts: list[bool] = []
    for path in sorted(folder.rglob("*.rttm")):
        for name, expected in load_rttm(path).items():
            recording = path.parent / f"{name}.wav"
            if not recording.is_file():
                print(f"{path.name} names {name}, which is not beside it")
                continue
            found = _heard(loaded(recording), embedder).finish(SpeakerCount())
            scores.append(compared(expected, found)[0])
            counts.append(scores[-1].found == len(expected.labels()))
            _print(name, len(expected.labels()), scores[-1])
    report.add("real_conversations", len(scores))
    for part in ("error", "missed", "false_alarm", "confusion"):
        report.add(f"real_{part}", statistics.mean(getattr(each, part) for each in scores))
    report.add("real_right_count", statistics.mean(counts))


def _show(made: Conversation, reached: Score) -> None:
    _print(f"{len(made.audio) / SAMPLE_RATE:4.0f} s", made.speakers, reached)


def _print(name: str, speakers: int, reached: Score) -> None:
    print(
        f"{name}, {speakers} speakers: found {reached.found}, "
        f"DER {reached.error:.4f} (missed {reached.missed:.4f}, false {reached.false_alarm:.4f}, "
        f"confused {reached.confusion:.4f}), right words {reached.right_words:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
