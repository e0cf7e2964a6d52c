from __future__ import annotations

import math

import pytest

from steno.backends.moonshine.closing_punctuation import closing_punctuation
from steno.types import Score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains.", math.log(4)),
        ("It rains?", math.log(4)),
        ("He said: It rains.”", math.log(4)),
        ("It rains,", -math.log(4)),
        ("It rains...", -math.log(4)),
        ("it rains", None),
        ("I spoke to Dr.", None),
        ("", None),
    ],
)
def test_the_last_mark_tells_whether_the_sentence_ends(text: str, expected: float | None) -> None:
    bare = len(text.rstrip("”"))
    scores = [Score(2, 0.5), Score(bare, 0.8), Score(len(text), 0.3)]
    assert closing_punctuation(text, scores) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_no_mark_is_certain(probability: float) -> None:
    told = closing_punctuation("It rains.", [Score(9, probability)])
    assert told is not None
    assert math.isfinite(told)
