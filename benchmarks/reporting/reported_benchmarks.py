"""What a report runs: each benchmark's arguments, the time it takes, and the figures that count."""

from __future__ import annotations

import enum
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TINY = "tests/tiny/tiny-asr"


class Better(enum.Enum):
    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class ReportedFigure:
    """A number of a benchmark's summary. `better` says which direction is an improvement."""

    name: str
    about: str
    unit: str = ""
    better: Better = Better.LOWER


@dataclass(frozen=True, slots=True)
class ReportedBenchmark:
    """A benchmark as a report runs it.

    Attributes:
        quick, full: its arguments in each form. The quick form of some is a small model instead of few samples.
        quick_s: seconds of the quick form on two cores of an AMD EPYC, beside little other work.
        timeout_s, full_timeout_s: when it is killed.
        needs: packages without which it cannot run.
    """

    name: str
    quick: tuple[str, ...]
    full: tuple[str, ...]
    quick_s: float
    figures: tuple[ReportedFigure, ...]
    timeout_s: float = 180.0
    full_timeout_s: float = 3600.0
    needs: tuple[str, ...] = ()

    def arguments(self, *, is_quick: bool) -> tuple[str, ...]:
        return self.quick if is_quick else self.full

    def missing(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def command(name: str, arguments: Sequence[str]) -> str:
    """As one types it; this Python is `python`."""
    return " ".join(["python", "-m", f"benchmarks.{name}", *("python" if it == _PYTHON else it for it in arguments)])


_F = ReportedFigure
_HIGHER = Better.HIGHER
_QUICK = ("--quick",)
_FOOTPRINT = ("--parts", "server", "gateway", "files")
_PYTHON = sys.executable
_QWEN = ("torch", "transformers")


def _peers() -> tuple[str, ...]:
    """ggml's 8-bit blocks and bf16, where the development packages have it."""
    has_ggml = platform.machine() == "x86_64" and find_spec("gguf") is not None
    return ("--ways", "int8", *(("--ggml-python", _PYTHON) if has_ggml else ()))


REGISTRY = {
    benchmark.name: benchmark
    for benchmark in (
        ReportedBenchmark(
            "footprint", (*_QUICK, *_FOOTPRINT), _FOOTPRINT, 40,
            (
                _F("start_s", "from the start of the server to its first response", "s"),
                _F("idle_rss_mb", "memory of an idle server", "MB"),
                _F("first_request_s", "5 s of speech, without a loaded model", "s"),
                _F("warm_request_s", "the same again", "s"),
                _F("worker_rss_after_idle_mb", "memory of the worker process after `IDLE_TIMEOUT`", "MB"),
                _F("one_hour_peak_mb", "peak memory of the server for a file of one hour", "MB"),
                _F("hour_over_ten_minutes", "the same, divided by that for ten minutes"),
            ),
        ),
        ReportedBenchmark(
            "captions", _QUICK, (), 5,
            (
                _F("two_hours_s", "cues and SRT for two hours of words", "s"),
                _F("two_hours_chinese_s", "the same in Chinese", "s"),
                _F("two_hours_translated_s", "1,800 translated lines broken to fit their cues", "s"),
            ),
        ),
        ReportedBenchmark(
            "vad", _QUICK, (), 2,
            (
                _F("together_us", "VAD of one frame of a live stream, in a batch of 32", "µs"),
                _F("blocks_us", "VAD of one frame of a file", "µs"),
                _F("together_speedup", "a batch of 32 against one by one", "×", _HIGHER),
            ),
        ),
        ReportedBenchmark(
            "embedded", _QUICK, (), 55,
            (
                _F("moonshine_wer", "word error rate of Moonshine, 131 words"),
                _F("sphinx_wer", "word error rate of PocketSphinx, 131 words"),
                _F("moonshine_rtf", "CPU seconds of Moonshine for a second of audio", "s"),
                _F("sphinx_rtf", "CPU seconds of PocketSphinx for a second of audio", "s"),
                _F("live_wer", "word error rate of Moonshine live"),
                _F("loaded_rss_mb", "memory with Moonshine loaded", "MB"),
                _F("unloaded_rss_mb", "memory after `IDLE_TIMEOUT`", "MB"),
                _F("returned_share", "share of the recogniser's memory that is returned", "", _HIGHER),
            ),
            needs=("moonshine_voice", "jiwer"),
        ),
        ReportedBenchmark(
            "live", ("--quick", "--sessions", "50", "--sweep", "25", "100", "200"),
            ("--sessions", "200", "--sweep", "25", "50", "100", "400"), 120,
            (
                _F("partial_lag_p50_ms", "lag of partials, median", "ms"),
                _F("partial_lag_p95_ms", "lag of partials, 95th percentile", "ms"),
                _F("final_lag_p95_ms", "lag of finals, 95th percentile", "ms"),
                _F("cpu_ms_per_100ms_audio", "CPU time of the server for 100 ms of audio", "ms"),
                _F("rss_mb_per_stream", "memory of a stream", "MB"),
                _F("late_sends", "share of frames that the load sent late"),
                _F("sessions", "streams at once", "", _HIGHER),
            ),
            timeout_s=300,
        ),
        ReportedBenchmark(
            "streaming_cost", ("--model", TINY, "--rounds", "1"), (), 15,
            (
                _F("naive_over_steno_24s", "recomputing 24 s of an utterance, divided by a step", "×", _HIGHER),
                _F("refeed_over_steno_120s", "feeding 120 s of a session again, divided by a step", "×", _HIGHER),
                _F("steno_ms", "a live step at 24 s", "ms"),
                _F("batch4_gain", "four streams in one step against four steps", "×", _HIGHER),
            ),
            needs=_QWEN,
        ),
        ReportedBenchmark(
            "offline", _QUICK, (), 35,
            (
                _F("steno_real_time_factor", "seconds for a second of audio, one thread"),
                _F("speedup_over_batch1", "against `generate`, one clip at a time", "×", _HIGHER),
                _F("speedup_over_batched", "against `generate` in batches", "×", _HIGHER),
                _F("same_text", "share of clips with `generate`'s tokens", "", _HIGHER),
                _F("steno_wer", "word error rate on the checkpoint's own clips"),
            ),
            needs=_QWEN,
        ),
        ReportedBenchmark(
            "endurance", _QUICK, (), 10,
            (
                _F("rss_growth_mb", "growth of memory during one long stream", "MB"),
                _F("last_over_first_tenth", "time for the last tenth of it, divided by the first"),
                _F("times_real_time", "seconds of audio per second", "×", _HIGHER),
                _F("finals_lost", "utterances without a final"),
            ),
        ),
        ReportedBenchmark(
            "trace", _QUICK, (), 10,
            (
                _F("vad_us", "VAD for 100 ms of audio", "µs"),
                _F("session_us", "session for 100 ms of audio", "µs"),
                _F("decode_us", "decoding of 100 ms of audio", "µs"),
                _F("partial_ms", "from an audio frame to the JSON of its partial", "ms"),
            ),
        ),
        ReportedBenchmark(
            "peers", (*_QUICK, *_peers()), _peers(), 120,
            (
                _F("int8_clip_ms", "the clip through steno's engine, int8, one thread", "ms"),
                _F("clip_ggml_q8_over_steno", "the clip through ggml, 8-bit blocks, divided by steno's", "×", _HIGHER),
                _F("decode_ggml_q8_over_steno", "a token of ggml, 8-bit blocks, divided by steno's", "×", _HIGHER),
            ),
            timeout_s=300,
            needs=_QWEN,
        ),
    )
}  # fmt: skip


def environment() -> dict[str, str]:
    """What the benchmarks run in: this process's environment, importing from the repository's root."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
