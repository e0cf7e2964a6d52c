"""From tokens to text, in both formats of the vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steno.backends.moonshine.vocabulary import Vocabulary
from steno.errors import ModelLoadError

PIECES = ["<unk>", "<s>", "</s>", "▁It", "▁was", "▁caf", "<0xC3>", "<0xA9>", ".", "▁", "<<ST_7>>"]
IT, WAS, CAF, C3, A9, DOT, SPACE, CONTROL = 3, 4, 5, 6, 7, 8, 9, 10


@pytest.fixture(params=["bin", "json"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Vocabulary:
    file = tmp_path / f"tokenizer.{request.param}"
    if request.param == "json":
        model = {"vocab": {text: token for token, text in enumerate(PIECES)}}
        added = [{"id": token, "content": PIECES[token], "special": True} for token in (0, 1, 2, CONTROL)]
        file.write_text(json.dumps({"model": model, "added_tokens": added}), encoding="utf-8")
    else:
        spelled = [bytes([int(text[3:5], 16)]) if text.startswith("<0x") else text.encode() for text in PIECES]
        file.write_bytes(b"".join(bytes([len(piece)]) + piece for piece in spelled))
    return Vocabulary.load(file)


def test_tokens_are_spelt_and_each_knows_where_it_ends(small: Vocabulary) -> None:
    assert small.decode([IT, WAS, CAF, C3, A9, DOT]) == ("It was café.", [2, 6, 10, 10, 11, 12])
    assert small.decode([]) == ("", [])


def test_control_tokens_spell_nothing(small: Vocabulary) -> None:
    assert small.decode([1, IT, CONTROL, WAS, 2])[0] == "It was"


def test_half_a_character_is_left_out(small: Vocabulary) -> None:
    assert small.decode([IT, C3]) == ("It", [2, 2])


@pytest.mark.parametrize(
    ("stable", "count"),
    [("", 0), ("I", 0), ("It", 1), ("It wa", 1), ("It was", 2), ("It was café", 5), ("It was caf", 3), ("He was", 0)],
)
def test_what_is_stable_covers_whole_tokens(small: Vocabulary, stable: str, count: int) -> None:
    assert small.covered([IT, WAS, CAF, C3, A9, DOT], stable) == count


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.bin", b"\x05abc"), ("tokenizer.bin", b""), ("tokenizer.json", b"{}"), ("tokenizer.json", b"[1]"),
     ("tokenizer.json", b"no json")],
)  # fmt: skip
def test_what_is_no_vocabulary_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelLoadError, match=f"^{name} is not a Moonshine vocabulary"):
        Vocabulary.load(tmp_path / name)


def test_the_vocabulary_of_the_wheel_has_a_token_for_each_logit(vocabulary: Vocabulary) -> None:
    assert len(vocabulary) == 32_768
