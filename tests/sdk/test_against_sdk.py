"""The same text, the same language, the same word times as Qwen's own SDK gives: `make test-sdk`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from sdk.asking import NAMES, TINY, Answers, Clip, ask, clips_of
from steno.alignment.repair import repair_times
from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.backends.qwen import forced_aligner as aligning
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.loader import load_aligner
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.forced_aligner import ForcedAligner
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.types import Hypothesis
from tiny.original_layout import write_original

pytestmark = pytest.mark.timeout(600)

SLOTS = 6
CHECKPOINTS = ("tiny-asr", "tiny-aligner")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the checkpoints lie in each layout."""
    root = tmp_path_factory.mktemp("original")
    for name in CHECKPOINTS:
        write_original(TINY / name, root / name)
    return {"native": TINY, "original": root}


@pytest.fixture(scope="module")
def sdk(layouts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    clips = clips_of(TINY / "clips")
    assert {clip.language for clip in clips} == set(NAMES)
    return ask(clips, layouts["original"], tmp_path_factory.mktemp("audio"))


@pytest.mark.parametrize("layout", ["native", "original"])
def test_text_and_language_are_those_of_the_sdk(layout: str, sdk: Answers, layouts: dict[str, Path]) -> None:
    backend = QwenBackend(options(layouts[layout], "tiny-asr"), EngineOptions(SLOTS))
    backend.load(lambda *_: None)
    works = {one: Recognize(one.clip.audio, one.language, one.context) for one, _ in sdk.transcripts}
    heard = run(backend, list(works.values()))
    expected = {str(one): (said["language"], said["text"]) for one, said in sdk.transcripts}
    assert len(set(expected.values())) >= len(sdk.alignments) / 2, "the checkpoint hears the same in everything"
    assert {str(one): as_the_sdk(heard[work]) for one, work in works.items()} == expected


@pytest.mark.parametrize("layout", ["native", "original"])
def test_word_times_are_those_of_the_sdk(layout: str, sdk: Answers, layouts: dict[str, Path]) -> None:
    aligner = ForcedAligner(load_aligner(options(layouts[layout], "tiny-aligner"), lambda *_: None))
    untouched = 0
    for clip, expected in sdk.alignments:
        raw, words = align(aligner, clip)
        assert len(raw) == len(expected) == len(clip.text.split()), clip.name
        spans = [(start, end) for _, start, end in expected]
        assert flat(raw) == pytest.approx(flat(spans), abs=1e-3), clip.name
        if repair_times(spans, len(clip.audio) / 16_000) == spans:
            untouched += 1
            assert flat(words) == pytest.approx(flat(spans), abs=1e-3), clip.name
    assert untouched > 0, "every alignment needed repair"


def options(folder: Path, name: str) -> LoadOptions:
    return LoadOptions(str(folder / name), device="cpu", dtype="float32")


def run(backend: Any, works: Sequence[Any]) -> dict[Any, Any]:
    """The outcome of each, `SLOTS` of them at once."""
    todo, outcomes, running = list(works), {}, 0
    while len(outcomes) < len(works):
        while todo and running < SLOTS:
            backend.admit(todo.pop(0))
            running += 1
        for finished in backend.step():
            outcomes[finished.work] = finished.outcome
            running -= 1
    return outcomes


def as_the_sdk(heard: Hypothesis) -> tuple[str, str]:
    return LANGUAGES[heard.language] if heard.language else "", heard.text


def align(aligner: ForcedAligner, clip: Clip) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Word times as the model sees them, and as they are given out."""
    with mock.patch.object(aligning, "repair_times", wraps=repair_times) as seen:
        (alignment,) = aligner.align([Align(clip.audio, clip.text, clip.language)])
    assert isinstance(alignment, Alignment)
    seen.assert_called_once()
    return list(seen.call_args.args[0]), [(word.start_s, word.end_s) for word in alignment.words]


def flat(spans: Sequence[tuple[float, float]]) -> list[float]:
    return [time for span in spans for time in span]
