"""The query of `POST /v1/listen`: what is taken, what is refused, and by which name."""

from __future__ import annotations

import pytest

from pipelines.live.stream_harness import OfflineBackend
from steno.audio.wav_header import RawFormat
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.errors import InvalidRequestError, UnknownModelError
from steno.server.http.listen_options import LACKING, ListenOptions, listen_options


def check_model(model: str | None) -> str:
    if model not in (None, "nova-3"):
        raise UnknownModelError(f"model {model!r} is not served here", param="model")
    return "served"


def read(*query: tuple[str, str]) -> ListenOptions:
    return listen_options(query, local_engine(OfflineBackend(), AdmissionLimits()), check_model)


def refused(*query: tuple[str, str]) -> str | None:
    with pytest.raises(InvalidRequestError) as refusal:
        read(*query)
    assert refusal.value.param is not None
    assert refusal.value.param in refusal.value.message
    return refusal.value.param


def test_the_defaults_are_deepgrams() -> None:
    options = read()
    assert (options.model_id, options.raw, options.paragraphs, options.utt_split_s) == ("served", None, False, None)
    assert options.file.language is None


def test_utterances_are_split_at_pauses_of_a_length_that_can_be_set() -> None:
    assert read(("utterances", "true")).utt_split_s == 0.8
    assert read(("utterances", "true"), ("utt_split", "1.5")).utt_split_s == 1.5
    assert read(("utt_split", "1.5")).utt_split_s is None


def test_smart_format_makes_paragraphs_unless_they_are_switched_off() -> None:
    assert read(("smart_format", "true")).paragraphs
    assert not read(("smart_format", "true"), ("paragraphs", "false")).paragraphs


def test_key_terms_and_key_words_are_context() -> None:
    asked = (("keyterm", "Ada Lovelace"), ("keywords", "engine:2"), ("keywords", "loom"))
    assert read(*asked).file.context == "Ada Lovelace, engine, loom"


def test_a_variant_of_a_model_is_the_model() -> None:
    assert read(("model", "nova-3-general")).model_id == "served"
    assert refused(("model", "whale")) == "model"


def test_raw_samples_need_their_rate_and_containers_do_not() -> None:
    raw = (("encoding", "linear16"), ("sample_rate", "8000"))
    assert read(*raw).raw == RawFormat("pcm_s16le", 8000, 1)
    assert read(*raw, ("channels", "2")).raw == RawFormat("pcm_s16le", 8000, 2)
    assert read(("encoding", "opus")).raw is None
    assert read(("encoding", "flac")).raw is None
    assert refused(("encoding", "linear16")) == "sample_rate"
    assert refused(("encoding", "speex"), ("sample_rate", "8000")) == "encoding"


@pytest.mark.parametrize("name", LACKING)
def test_what_is_not_supported_is_refused_by_name_and_may_be_switched_off(name: str) -> None:
    assert refused((name, "true")) == name
    read((name, "false"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("eat", "1"), ("punctuate", "maybe"), ("version", "2"), ("utt_split", "long"), ("sample_rate", "x")],
)
def test_what_is_unknown_or_wrong_is_refused_by_name(name: str, value: str) -> None:
    assert refused(("utterances", "true"), (name, value)) == name
