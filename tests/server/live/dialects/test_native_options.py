"""What a native client asks for: values of the wrong type are refused with what is expected."""

from __future__ import annotations

import pytest

from steno.errors import InvalidRequestError
from steno.pipelines.live.live_options import LiveOptions
from steno.server.live.dialects.native_options import EXPECTED, OPTIONS, changed, check_turns


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


@pytest.mark.parametrize(
    ("asked", "options", "param"),
    [
        ({"turn_threshold": "0.7"}, LiveOptions(turn_detection="silence"), "turn_threshold"),
        ({"max_silence_ms": "2000"}, LiveOptions(turn_detection="smart", endpointing=False), "max_silence_ms"),
        ({"turn_detection": "smart"}, LiveOptions(turn_detection="smart", endpointing=False), "turn_detection"),
    ],
)
def test_options_of_turns_that_have_no_effect_are_refused(
    asked: dict[str, str], options: LiveOptions, param: str
) -> None:
    with pytest.raises(InvalidRequestError, match="needs") as refused:
        check_turns(asked, options)
    assert refused.value.param == param
    check_turns({}, options)
    check_turns(asked, LiveOptions(turn_detection="smart"))


def test_each_option_has_its_expectation() -> None:
    assert {read for _, read in OPTIONS.values()} == set(EXPECTED)
