"""Writes the dataset `chat-sft`: JSONL (and Parquet) by split, its prompt, its parameters and counts, and a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steno.archive.dataset.chat_example import ChatExample, ChatRecording, FilterCounts, examples_of
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.archive.dataset.dataset_statistics import DatasetStatistics
from steno.archive.dataset.message_filters import FILTERS
from steno.archive.prompt import NOTHING, SYSTEM, TEMPLATE, TEMPLATE_VERSION
from steno.whole_file import new_file, write_whole

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FORMAT_VERSION = 1

Loader = Callable[[], ChatRecording]


@dataclass(slots=True)
class DatasetSummary:
    """What was written."""

    options: DatasetOptions
    counts: FilterCounts = field(default_factory=FilterCounts)
    by_recording: dict[str, FilterCounts] = field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    statistics: DatasetStatistics = field(default_factory=DatasetStatistics)

    def as_json(self) -> dict[str, object]:
        return {
            "version": FORMAT_VERSION,
            "template_version": TEMPLATE_VERSION,
            "options": self.options.model_dump(),
            "counts": _counts(self.counts),
            "recordings": {
                name: {"split": split_of(name, self.options), "inputs": self.inputs[name], "counts": _counts(counts)}
                for name, counts in sorted(self.by_recording.items())
            },
            "statistics": self.statistics.summary(),
        }


def write_dataset(
    recordings: Mapping[str, Loader],
    output: Path,
    options: DatasetOptions,
    salt: bytes,
    on_recording: Callable[[str], None] = lambda _name: None,
) -> DatasetSummary:
    """Write `train.jsonl`, `validation.jsonl`, `test.jsonl`, `prompt.json` and `dataset.json`.

    The same recordings, options and salt give the same bytes, in whatever order the recordings come.

    Args:
        recordings: by id; each is loaded when it is its turn, and forgotten after that.
        salt: a secret; authors are hashed with it. It is not written.
        on_recording: is called before a recording is loaded.
    """
    summary = DatasetSummary(options)
    with ExitStack() as opened:
        files = {split: opened.enter_context(new_file(output / f"{split}.jsonl")) for split in SPLITS}
        for name in sorted(recordings):
            on_recording(name)
            split = split_of(name, options)
            for example in _examples(recordings[name](), split, salt, summary):
                files[split].write(json.dumps(example.as_json(), ensure_ascii=False).encode() + b"\n")
    prompt = {"version": TEMPLATE_VERSION, "system": SYSTEM, "template": TEMPLATE, "nothing": NOTHING}
    write_whole(output / "prompt.json", _pretty(prompt))
    write_whole(output / "dataset.json", _pretty(summary.as_json()))
    return summary


def split_of(recording: str, options: DatasetOptions) -> Split:
    """All of a recording is in one split, and stays there when others are added."""
    digest = hashlib.sha256(f"{options.seed}\0{recording}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < options.test_share:
        return "test"
    return "validation" if place < options.test_share + options.validation_share else "train"


def _examples(recording: ChatRecording, split: Split, salt: bytes, summary: DatasetSummary) -> Iterator[ChatExample]:
    counts = FilterCounts()
    examples = list(examples_of(recording, summary.options, salt, counts))
    summary.by_recording[recording.id] = counts
    summary.inputs[recording.id] = dict(sorted(recording.inputs.items()))
    summary.counts.add(counts)
    summary.statistics.add(split, recording, examples)
    yield from examples


def _counts(counts: FilterCounts) -> dict[str, object]:
    return {
        "messages": counts.messages,
        "removed": {name: counts.removed[name] for name in FILTERS},
        "weighted_down": counts.weighted_down,
        "cleaned": dict(sorted((+counts.cleaned).items())),
        "kept": counts.kept,
    }


def _pretty(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
