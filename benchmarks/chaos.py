"""Live sessions and uploads through a server whose worker process is killed all the time.

    python -m benchmarks.chaos [--quick] [--json out/chaos.json] [--seconds 60] [--every 5]

Eight live sessions in three dialects say known sentences in real time, and files are uploaded one after the other,
while the worker is ended by SIGKILL every five seconds, and once stopped by SIGSTOP, as if it hung. `GATEWAY_MODE`,
embedded recogniser.

- finals_lost: sentences of which most words are missing in their session's finals. Target: 0.
- finals_doubled: sentences that a session's finals have twice. Target: 0.
- word_error_rate: of all finals; `word_error_rate_undisturbed`: of one session without any kill before.
- uploads, uploads_failed: uploads answered, and those of them whose answer was an error. Target: 0.
- p95_recovery_s, median_recovery_s: from a SIGKILL to the first text of the next worker in any session. Target: 3.
- stop_recovery_s: the same from the SIGSTOP: a worker that reports nothing for 3 s is killed.
- rss_growth_mb: memory of the server process at the last kill, less that at half of the kills. Target: 5.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import jiwer
import numpy as np
import psutil

from benchmarks import harness
from benchmarks.live_speakers import Speaker, deepgram, native, openai
from benchmarks.server import Server
from steno.audio.decode import decode

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
CLIPS = ("weather.flac", "letter.flac", "doctor.flac", "train.flac", "market.flac")
PAUSE_S = 1.2
TARGETS = {"finals_lost": 0, "finals_doubled": 0, "uploads_failed": 0, "p95_recovery_s": 3.0, "rss_growth_mb": 5.0}
SETTINGS = {"GATEWAY_MODE": "true", "LIVE_BY_LOAD": "false", "LOG_LEVEL": "INFO"}
FIRST_KILL_S = 4.0
NORMAL = jiwer.Compose(
    [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip(),
     jiwer.SubstituteWords({"23rd": "twenty third"}), jiwer.ReduceToListOfListOfWords()]
)  # fmt: skip


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the worker is killed (60)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills (5)")
    parser.add_argument("--sessions", type=int, default=8, help="live sessions (8)")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.sessions = 15.0, 3
    report = harness.Report("chaos", options)
    with Server(**SETTINGS) as server:
        asyncio.run(_Chaos(server, options).run(report))
    report.finish(TARGETS)


class _Chaos:
    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server = server
        self._options = options
        self._texts = json.loads((FIXTURES / "transcripts.json").read_text())
        self._clips = {name: np.concatenate(list(decode(FIXTURES / name, max_seconds=None))) for name in CLIPS}
        self._over = False
        self._kills: list[tuple[float, signal.Signals]] = []
        self._starts: list[float] = []
        self._memory: list[float] = []

    async def run(self, report: harness.Report) -> None:
        alone = await self._session(native, len(CLIPS))
        report.add("word_error_rate_undisturbed", _errors(alone[0].finals, alone[1]).wer)
        sentences = round(self._options.seconds / 5) + 1
        dialects = [(native, deepgram, openai)[n % 3] for n in range(self._options.sessions)]
        uploading = asyncio.create_task(self._upload(report))
        killing = asyncio.create_task(self._kill())
        sessions = await asyncio.gather(*(self._session(dialect, sentences) for dialect in dialects))
        await killing
        self._over = True
        await uploading
        report.add("rss_growth_mb", self._memory[-1] - self._memory[len(self._memory) // 2])
        self._judge(report, sessions)

    async def _session(self, dialect: Callable[[str], Speaker], sentences: int) -> tuple[Speaker, list[str]]:
        """One session that says so many sentences; returns it with what it said."""
        names = [CLIPS[n % len(CLIPS)] for n in range(sentences)]
        pause = np.zeros(round(PAUSE_S * 16_000), np.float32)
        audio = np.concatenate([part for name in names for part in (self._clips[name], pause)])
        speaker = dialect(self._server.url.replace("http", "ws"))
        await speaker.speak(audio, lambda: False)
        return speaker, [self._texts[name] for name in names]

    async def _upload(self, report: harness.Report) -> None:
        failed = answered = 0
        async with httpx.AsyncClient(timeout=120) as client:
            while not self._over:
                name = CLIPS[answered % len(CLIPS)]
                files = {"file": (name, (FIXTURES / name).read_bytes())}
                answer = await client.post(f"{self._server.url}/v1/audio/transcriptions", files=files)
                answered += 1
                text = answer.json().get("text", "") if answer.status_code == 200 else ""
                if jiwer.wer(self._texts[name], text or "-", NORMAL, NORMAL) > 0.5:
                    failed += 1
                    print(f"upload: {answer.status_code} {answer.text[:200]}", flush=True)
        report.add("uploads", answered)
        report.add("uploads_failed", failed)

    async def _kill(self) -> None:
        await asyncio.sleep(FIRST_KILL_S)
        end = time.monotonic() + self._options.seconds
        stop_at = max(round(self._options.seconds / self._options.every) // 2, 1)
        while time.monotonic() < end:
            worker = _worker(self._server)
            if worker is not None:
                how = signal.SIGSTOP if len(self._kills) == stop_at else signal.SIGKILL
                if how is signal.SIGSTOP:
                    worker = await self._loaded_worker()  # one that starts has longer to report
                self._kills.append((time.monotonic(), how))
                worker.send_signal(how)
                self._memory.append(self._server.rss_mb())
                print(f"kill {len(self._kills)}: server process {self._memory[-1]:.1f} MB", flush=True)
                await self._see_next(worker.pid)
            await asyncio.sleep(max(self._kills[-1][0] + self._options.every - time.monotonic(), 0) if worker else 0.1)

    async def _loaded_worker(self) -> psutil.Process:
        async with httpx.AsyncClient() as client, asyncio.timeout(120):
            while not (await client.get(f"{self._server.url}/health")).json()["model_loaded"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        worker = _worker(self._server)
        assert worker is not None
        return worker

    async def _see_next(self, old: int) -> None:
        """Note when the next worker runs."""
        while (worker := _worker(self._server)) is None or worker.pid == old:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        self._starts.append(time.monotonic())

    def _judge(self, report: harness.Report, sessions: list[tuple[Speaker, list[str]]]) -> None:
        heard = sorted(at for speaker, _ in sessions for at in speaker.heard)
        recovered: dict[signal.Signals, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
        for (killed, how), started in zip(self._kills, self._starts, strict=True):
            text = next((at for at in heard if at > started), None)
            if text is not None:
                recovered[how].append(text - killed)
        report.add("kills", len(self._kills))
        report.add("p95_recovery_s", float(np.percentile(recovered[signal.SIGKILL], 95)))
        report.add("median_recovery_s", float(np.median(recovered[signal.SIGKILL])))
        report.add("stop_recovery_s", *recovered[signal.SIGSTOP])
        lost = doubled = 0
        wrong = words = 0
        for speaker, said in sessions:
            errors = _errors(speaker.finals, said)
            one_lost, one_doubled = _lost_and_doubled(errors, said)
            lost, doubled = lost + one_lost, doubled + one_doubled
            wrong += errors.substitutions + errors.deletions + errors.insertions
            words += errors.hits + errors.substitutions + errors.deletions
            for error in speaker.errors:
                print(f"session: {error[:200]}", flush=True)
        report.add("finals_lost", lost)
        report.add("finals_doubled", doubled)
        report.add("word_error_rate", wrong / words)


def _worker(server: Server) -> psutil.Process | None:
    for child in server.process.children():
        try:
            if "worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def _errors(finals: list[str], said: list[str]) -> jiwer.WordOutput:
    return jiwer.process_words(" ".join(said), " ".join(finals) or "-", NORMAL, NORMAL)


def _lost_and_doubled(errors: jiwer.WordOutput, said: list[str]) -> tuple[int, int]:
    """Sentences of which most words are missing, and runs of surplus words as long as most of a sentence."""
    sizes = [len(NORMAL(text)[0]) for text in said]
    ends = np.cumsum(sizes)
    missing = np.zeros(len(said))
    doubled = 0
    for chunk in errors.alignments[0]:
        if chunk.type == "delete":
            for word in range(chunk.ref_start_idx, chunk.ref_end_idx):
                missing[np.searchsorted(ends, word, side="right")] += 1
        if chunk.type == "insert":
            doubled += chunk.hyp_end_idx - chunk.hyp_start_idx > min(sizes) / 2
    return int(sum(missing[n] > size / 2 for n, size in enumerate(sizes))), doubled


if __name__ == "__main__":
    main()
