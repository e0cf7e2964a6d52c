"""The embedded recognisers on real speech: errors, speed, memory, word times.

    python -m benchmarks.embedded [--recordings FOLDER] [--quick] [--json out/embedded.json]

The recordings are the two in moonshine-voice's wheel whose texts are known (54 s, two readers); `--recordings` adds
each audio file in a folder whose text is in a `.txt` with the same name, or in `transcripts.json`: `tests/fixtures` has
100 s of synthetic speech. A server does the work, with one thread (or process) for uploads and default settings
otherwise.

- moonshine_wer, sphinx_wer: word error rate over all recordings; case and punctuation do not count. Target: 0.08.
- errors_sphinx_over_moonshine: ratio of errors, counting zero as one. Target: at least 3.
- moonshine_rtf, sphinx_rtf: CPU seconds of the server and its children for a second of audio, decoding and voice
  activity detection included: what a second takes on one idle core. Target: 0.05.
- rtf_sphinx_over_moonshine: ratio of the two. Target: at least 8.
- live_wer, live_wer_over_offline_wer: the same audio through a live session in real time; zero errors count as one.
  Target: 1.5.
- word_start_ms, live_word_start_ms: median distance of the starts of words (of `verbose_json`, and of live finals) from
  those that PocketSphinx's aligner finds for the reference text, on `two_cities.wav`. Target: 60.
- idle_rss_mb, loaded_rss_mb, aligning_rss_mb: the server and its children: before a request, after one, and after one
  with word times. Targets: 85, 320 and none.
- base_rss_mb, unloaded_rss_mb: after the same request with a recogniser that takes no memory (what is left are the
  libraries that decode audio and find speech in it), and once `IDLE_TIMEOUT` has passed.
- returned_share: (loaded − unloaded) / (loaded − base): share of the recogniser's memory that is returned. Target: at
  least 0.8.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import jiwer
import numpy as np
import psutil
import websockets

from benchmarks import harness
from benchmarks.server import Server
from steno.audio.decode import decode
from steno.audio.pcm import to_s16le
from steno.backends.aligners.base import Align
from steno.backends.aligners.sphinx import SphinxAligner
from steno.backends.moonshine import installed
from steno.types import SAMPLE_RATE, Word

TARGETS = {
    "moonshine_wer": 0.08,
    "moonshine_rtf": 0.05,
    "live_wer_over_offline_wer": 1.5,
    "word_start_ms": 60.0,
    "live_word_start_ms": 60.0,
    "idle_rss_mb": 85.0,
    "loaded_rss_mb": 320.0,
}
AT_LEAST = {"errors_sphinx_over_moonshine": 3.0, "rtf_sphinx_over_moonshine": 8.0, "returned_share": 0.8}
"""Targets from below: printed, and written beside the others."""

TWO_CITIES = """It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season
of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before
us, we were all going direct to Heaven, we were all going direct the other way – in short, the period was so far like
the present period, that some of its noisiest authorities insisted on its being received, for good or for evil, in the
superlative degree of comparison only."""
"""Charles Dickens, A Tale of Two Cities (1859)."""
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
"""Samuel Beckett, Worstward Ho (1983)."""

FRAME_S = 0.1
IDLE_S = 2.0
AUDIO = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a")


@dataclass(frozen=True, slots=True)
class Recording:
    path: Path
    text: str

    @property
    def seconds(self) -> float:
        return len(audio_of(self.path)) / SAMPLE_RATE


def main() -> None:
    options = _options()
    report = harness.Report("embedded", options)
    recordings = [*_recordings(options.recordings)]
    errors: dict[str, int] = {}
    rtf: dict[str, float] = {}
    for backend in ("moonshine", "sphinx"):
        with Server(ASR_BACKEND=backend, SPHINX_WORKERS="1") as server:
            errors[backend], rtf[backend] = _offline(server, recordings)
        report.add(f"{backend}_wer", errors[backend] / _words(recordings))
        report.add(f"{backend}_rtf", rtf[backend])
    report.add("errors_sphinx_over_moonshine", max(errors["sphinx"], 1) / max(errors["moonshine"], 1))
    report.add("rtf_sphinx_over_moonshine", rtf["sphinx"] / rtf["moonshine"])
    _live(report, recordings[-1:] if options.quick else recordings, errors["moonshine"], quick=options.quick)
    if not options.quick:
        _word_starts(report, recordings[0])
    _memory(report, recordings[0].path)
    report.finish(TARGETS)
    for name, least in AT_LEAST.items():
        print(f"{name}: target at least {least:g}")


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="further recordings, each with its text")
    return parser.parse_args()


def _recordings(folder: Path | None) -> Iterator[Recording]:
    wheel = installed.wheel_folder()
    if wheel is None:
        raise SystemExit(f"moonshine {installed.missing()}")
    yield Recording(wheel.parent / "two_cities.wav", TWO_CITIES)
    yield Recording(wheel.parent / "beckett.wav", BECKETT)
    for path in sorted(folder.iterdir()) if folder else ():
        text = _text_of(path)
        if path.suffix in AUDIO and text is not None:
            yield Recording(path, text)


def _text_of(recording: Path) -> str | None:
    """From a `.txt` of the same name, or a `transcripts.json` of name → text."""
    own, shared = recording.with_suffix(".txt"), recording.with_name("transcripts.json")
    if own.is_file():
        return own.read_text(encoding="utf-8")
    return json.loads(shared.read_text(encoding="utf-8")).get(recording.name) if shared.is_file() else None


def _offline(server: Server, recordings: list[Recording]) -> tuple[int, float]:
    """Errors in all recordings, and CPU seconds per second of audio."""
    _post(server, recordings[-1].path)  # loads
    before_s, errors = server.cpu_s(), 0
    for recording in recordings:
        errors += errors_in(_post(server, recording.path)["text"], recording.text)
    return errors, (server.cpu_s() - before_s) / sum(recording.seconds for recording in recordings)


def _live(report: harness.Report, recordings: list[Recording], offline_errors: int, *, quick: bool) -> None:
    errors = 0
    with Server() as server:
        for recording in recordings:
            finals = asyncio.run(_say(server, recording.path))
            errors += errors_in(" ".join(final["text"] for final in finals), recording.text)
    report.add("live_wer", errors / _words(recordings))
    if not quick:
        report.add("live_wer_over_offline_wer", max(errors, 1) / max(offline_errors, 1))


def _word_starts(report: harness.Report, recording: Recording) -> None:
    audio = audio_of(recording.path)
    reference = asyncio.run(_aligned(audio, recording.text))
    with Server() as server:
        answer = _post(server, recording.path, response_format="verbose_json", **{"timestamp_granularities[]": "word"})
        uploaded = [(word["word"], word["start"]) for word in answer["words"]]
        finals = asyncio.run(_say(server, recording.path, words="true"))
    live = [(word["word"], word["start_s"]) for final in finals for word in final["words"]]
    report.add("live_finals_with_real_times", sum(final["timing"] == "accurate" for final in finals) / len(finals))
    report.add("word_start_ms", 1000 * median(_distances_s(reference, uploaded)))
    report.add("live_word_start_ms", 1000 * median(_distances_s(reference, live)))


def _memory(report: harness.Report, path: Path) -> None:
    with Server(ASR_BACKEND="scripted") as server:
        _post(server, path)
        base_mb = _tree_mb(server)
    with Server(IDLE_TIMEOUT=f"{IDLE_S:g}") as server:
        time.sleep(1)
        idle_mb = _tree_mb(server)
        _post(server, path)
        loaded_mb = _tree_mb(server)
        deadline = time.monotonic() + 60
        while httpx.get(f"{server.url}/health").json()["model_state"] != "unloaded":
            if time.monotonic() > deadline:
                raise SystemExit("the model was not unloaded")
            time.sleep(0.1)
        time.sleep(1)
        unloaded_mb = _tree_mb(server)
        _post(server, path, response_format="srt")
        report.add("aligning_rss_mb", _tree_mb(server))
    report.add("start_s", server.start_s)
    report.add("idle_rss_mb", idle_mb)
    report.add("base_rss_mb", base_mb)
    report.add("loaded_rss_mb", loaded_mb)
    report.add("unloaded_rss_mb", unloaded_mb)
    report.add("returned_share", (loaded_mb - unloaded_mb) / (loaded_mb - base_mb))


def _post(server: Server, path: Path, **form: str) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files={"file": file}, data=form, timeout=600)
    answer.raise_for_status()
    return dict(answer.json()) if "json" in answer.headers["content-type"] else {"text": answer.text}


async def _say(server: Server, path: Path, **query: str) -> list[dict[str, Any]]:
    """Send the recording in real time. Returns the finals."""
    pcm = to_s16le(audio_of(path))
    size = round(FRAME_S * SAMPLE_RATE) * 2
    address = httpx.URL(f"{server.url.replace('http', 'ws')}/ws/transcribe", params=query)
    async with websockets.connect(str(address), compression=None, ping_interval=None) as socket:
        began = time.perf_counter()
        for n, start in enumerate(range(0, len(pcm), size), 1):
            await asyncio.sleep(max(began + n * FRAME_S - time.perf_counter(), 0))
            await socket.send(pcm[start : start + size])
        await socket.send('{"action": "close"}')
        messages = [json.loads(message) async for message in socket]
    return [message for message in messages if message.get("is_final")]


async def _aligned(audio: np.ndarray, text: str) -> list[tuple[str, float]]:
    aligner = SphinxAligner(workers=1, live_workers=0)
    await aligner.load(lambda *_: None)
    try:
        words: tuple[Word, ...] = (await aligner.align(Align(audio, text, "en"))).words
    finally:
        await aligner.unload()
    return [(word.text, word.start_s) for word in words]


def _distances_s(reference: list[tuple[str, float]], found: list[tuple[str, float]]) -> list[float]:
    """Distances of the starts of words that both have."""
    one, other = ([plain(text) for text, _ in words] for words in (reference, found))
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return [abs(reference[a + n][1] - found[b + n][1]) for a, b, size in blocks for n in range(size)]


def _words(recordings: list[Recording]) -> int:
    return sum(len(plain(recording.text).split()) for recording in recordings)


def errors_in(heard: str, said: str) -> int:
    measured = jiwer.process_words(plain(said), plain(heard))
    return measured.substitutions + measured.deletions + measured.insertions


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9']+", " ", text.lower()).split())


def audio_of(path: Path) -> np.ndarray:
    return np.concatenate(list(decode(path, max_seconds=None)))


def _processes(server: Server) -> list[psutil.Process]:
    return [server.process, *server.process.children(recursive=True)]


def _tree_mb(server: Server) -> float:
    return sum(process.memory_info().rss for process in _processes(server)) / 1e6


if __name__ == "__main__":
    main()
