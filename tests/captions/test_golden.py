"""Subtitles of minutes of prose, as they were when somebody last looked at them as an editor would.

After a change on purpose: `python tests/captions/golden/make.py`, and read what changed.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from steno.captions.cues import CueStyle, cues_of

HERE = Path(__file__).parent / "golden"
NAMES = ["english", "chinese", "mixed"]


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("captions_golden_make", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_subtitles_are_as_they_were_when_last_looked_at(make: ModuleType, name: str) -> None:
    made = make.golden(name)
    assert sorted(made) == sorted(path.name for path in HERE.glob(f"{name}.*") if path.suffix not in (".json", ".txt"))
    for file, content in made.items():
        assert content == (HERE / file).read_text(encoding="utf-8"), file


@pytest.mark.parametrize("name", NAMES)
def test_real_prose_breaks_no_rule(make: ModuleType, name: str) -> None:
    segments = make.load(name)
    style = CueStyle()
    cues = cues_of(segments, style, audio_end_s=segments[-1].end_s + 1)
    assert cues[-1].end_s > 100
    for cue, following in pairwise(cues):
        assert following.start_s - cue.end_s > style.gap_s - 0.001
    for cue in cues:
        assert len(cue.lines) <= 2
        assert 0.7 < cue.end_s - cue.start_s <= style.max_duration_s
        assert not any(line.startswith(tuple("，。、？！；：”")) or line.endswith("“") for line in cue.lines)
    joined = "".join("".join(cue.text.split()) for cue in cues)
    assert joined == "".join("".join(segment.text.split()) for segment in segments)
