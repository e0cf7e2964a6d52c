from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from steno.backends.base import Capabilities
from steno.errors import InvalidRequestError, StenoError, TranslationNotConfiguredError, UnsupportedSampleRateError
from steno.pipelines.live.live_context import LiveSettings, session_config_of, turns_of
from steno.pipelines.live.live_options import LiveOptions, check, ignored
from steno.pipelines.live.turn_options import CHECKS_MS, TurnSettings

PLAIN = Capabilities(
    languages=frozenset({"en"}), live=True, word_times=True, context=False,
    max_audio_s=60.0,
)  # fmt: skip
RICH = replace(PLAIN, languages=None, context=True)


@pytest.mark.parametrize(
    ("asked", "error", "param"),
    [
        ({"encoding": "mp3"}, InvalidRequestError, "encoding"),
        ({"sample_rate": 7999}, UnsupportedSampleRateError, "sample_rate"),
        ({"sample_rate": 48001}, UnsupportedSampleRateError, "sample_rate"),
        ({"language": "fr"}, InvalidRequestError, "language"),
        ({"prompt": "x" * 4001}, InvalidRequestError, "prompt"),
        ({"silence_ms": 99}, InvalidRequestError, "silence_ms"),
        ({"threshold": 1.0}, InvalidRequestError, "threshold"),
        ({"turn_detection": "clever"}, InvalidRequestError, "turn_detection"),
        ({"max_silence_ms": 99}, InvalidRequestError, "max_silence_ms"),
        ({"turn_threshold": 1.1}, InvalidRequestError, "turn_threshold"),
        ({"pre_roll_ms": -1}, InvalidRequestError, "pre_roll_ms"),
        ({"offset_s": -0.1}, InvalidRequestError, "offset_s"),
        ({"first_cue": 0}, InvalidRequestError, "first_cue"),
        ({"num_speakers": 2}, InvalidRequestError, "num_speakers"),
        ({"speaker_updates": True}, InvalidRequestError, "speaker_updates"),
        ({"diarize": True, "max_speakers": 0}, InvalidRequestError, "max_speakers"),
        ({"diarize": True, "num_speakers": 21}, InvalidRequestError, "num_speakers"),
        ({"diarize": True, "num_speakers": 2, "max_speakers": 2}, InvalidRequestError, "max_speakers"),
        ({"captions": "lrc"}, InvalidRequestError, "captions"),
        ({"translate_to": "fr"}, TranslationNotConfiguredError, "translate_to"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(asked: dict[str, Any], error: type[StenoError], param: str) -> None:
    with pytest.raises(error) as refused:
        check(replace(LiveOptions(), **asked), PLAIN, "plain", can_translate=False)
    assert refused.value.param == param


def test_options_come_back_as_they_will_be_used() -> None:
    asked = LiveOptions(language="French", prompt="a hint", hotwords=("Qwen", "ASR"), translate_to="German")
    used = check(asked, RICH, "rich", can_translate=True)
    assert (used.language, used.translate_to, used.context) == ("fr", "de", "a hint, Qwen, ASR")


def test_a_hint_that_the_backend_cannot_use_is_left_out() -> None:
    asked = LiveOptions(prompt="a hint", hotwords=("Qwen",))
    used = check(asked, PLAIN, "plain", can_translate=False)
    assert used.context == ""
    assert ignored(asked, used) == ["prompt", "hotwords"]
    assert ignored(asked, check(asked, RICH, "rich", can_translate=False)) == []


SMART = LiveSettings(turns=TurnSettings("smart", 0.6, 2500))


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        (LiveOptions(), TurnSettings("smart", 0.6, 2500)),
        (LiveOptions(turn_detection="silence"), TurnSettings("silence", 0.6, 2500)),
        (LiveOptions(turn_threshold=0.9, max_silence_ms=900), TurnSettings("smart", 0.9, 900)),
        (LiveOptions(endpointing=False), TurnSettings("silence", 0.6, 2500)),
    ],
)
def test_a_clients_turn_detection_goes_before_the_servers(options: LiveOptions, turns: TurnSettings) -> None:
    assert turns_of(options, SMART) == turns


def test_only_smart_turn_detection_judges_pauses_and_recognises_finals_in_advance() -> None:
    smart, silence = (session_config_of(LiveOptions(turn_detection=kind), SMART, 32) for kind in ("smart", "silence"))
    assert (smart.segmenter.turn_checks_ms, smart.segmenter.max_silence_ms) == (CHECKS_MS, 2500)
    assert smart.speculate_ms == 32
    assert (silence.segmenter.turn_checks_ms, silence.speculate_ms) == ((), None)
