"""What a native client asks for: values of the wrong type are refused with what is expected."""

from __future__ import annotations

import pytest

from steno.errors import InvalidRequestError
from steno.pipelines.live.live_options import LiveOptions
from steno.server.live.dialects.native_options import EXPECTED, OPTIONS, changed


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("diarize", "yes", "true or false"),
        ("sample_rate", "fast", "a whole number"),
        ("num_speakers", 2.5, "a whole number"),
        ("turn_threshold", "high", "a number"),
        ("encoding", 1, "a text"),
        ("captions", 1, "a text"),
        ("hotwords", 1, "a list of texts, or texts with commas between them"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_is_expected(name: str, value: object, expected: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        changed(LiveOptions(), {name: value})
    assert refused.value.param == name
    assert refused.value.message == f"invalid value '{value}' for {name}; expected {expected}"


def test_each_option_has_its_expectation() -> None:
    assert {read for _, read in OPTIONS.values()} == set(EXPECTED)
