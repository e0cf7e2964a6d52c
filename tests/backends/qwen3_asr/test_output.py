"""From tokens to text: language, repetitions, how sure, and what has leaked from the context."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.drafts import rest_of
from steno.backends.qwen3_asr.output import OutputParser, confirms, may_repeat, repeats_context
from steno.types import Hypothesis


@pytest.fixture(scope="module")
def processor(checkpoints: Path) -> Any:
    from transformers import Qwen3ASRProcessor

    return Qwen3ASRProcessor.from_pretrained(checkpoints / "recogniser")


@pytest.fixture(scope="module")
def reader(processor: Any) -> OutputParser:
    return OutputParser(processor)


Read = Callable[..., Hypothesis]


@pytest.fixture(scope="module")
def read(reader: OutputParser, processor: Any) -> Read:
    """Parse `text` as if each of its tokens had been generated with `probability`."""

    def parse(text: str, language: str | None = None, probability: float = 0.5) -> Hypothesis:
        tokens = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return reader.read(tokens, [math.log(probability)] * len(tokens), language)

    return parse


@pytest.mark.parametrize(
    ("said", "forced", "text", "language"),
    [
        ("language English<asr_text>Hello world.", None, "Hello world.", "en"),
        ("language German<asr_text> Grüße aus Köln! ", None, "Grüße aus Köln!", "de"),
        ("Hello world.", "en", "Hello world.", "en"),
        ("language None<asr_text>", None, "", None),
        ("", "en", "", None),
        ("   ", "en", "", None),
        ("language Klingon<asr_text>nuqneH", None, "nuqneH", None),
        ("no header at all", None, "", None),
        ("language None", None, "", None),
        ("language Chinese<asr_text>你好，世界。", None, "你好，世界。", "zh"),
    ],
)
def test_text_and_language(read: Read, said: str, forced: str | None, text: str, language: str | None) -> None:
    heard = read(said, forced)
    assert (heard.text, heard.language) == (text, language)


@pytest.mark.parametrize("text", ["Hello world.", "Grüße aus Köln!", "你好，世界。", "🎉 party"])
def test_scores_cover_the_text_and_end_where_it_ends(read: Read, text: str) -> None:
    heard = read(f"language English<asr_text> {text}")
    ends = [score.end for score in heard.scores]
    assert ends == sorted(ends)
    assert ends[-1] == len(text)
    assert heard.confidence == pytest.approx(0.5)


def test_a_loop_is_cut_short_and_says_nothing_of_its_parts(read: Read) -> None:
    heard = read("language English<asr_text>so " + "yes and no " * 60)
    assert heard.text.count("yes") < 5
    assert heard.scores == ()


CONTEXT = "A talk on whales. Names: Cate Blanchett, Marc"


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("Names: Cate Blanchett, Marc", True),
        ("a talk on WHALES", True),
        ("Cate.", True),
        ("Cat", False),
        ("Whales talk.", False),
        ("", False),
        ("...", False),
    ],
)
def test_what_stands_in_the_context_word_for_word(text: str, repeats: bool) -> None:
    assert repeats_context(text, CONTEXT) is repeats


@pytest.mark.parametrize(
    ("again", "first", "confirmed"),
    [
        ("Kate and mark are here today.", "Cate and Marc are here today.", True),
        ("I do not know what you mean.", "Names: Cate Blanchett, Marc", False),
        ("", "Names: Cate Blanchett, Marc", False),
        ("", "Cate.", False),
        ("win", "Nguyen", True),
        ("晓鸣", "小明", True),
        ("and so we went down to the river", "Nguyen", False),
    ],
)
def test_what_is_heard_again_without_a_context_confirms_it_or_not(again: str, first: str, confirmed: bool) -> None:
    assert confirms(again, first) is confirmed


def test_marks_belong_to_their_letters() -> None:
    assert not repeats_context("की", "राम का घर")


@pytest.mark.parametrize(
    ("said", "forced", "stable", "covered"),
    [
        ("Hello world yes", "en", "Hello world", "Hello world"),
        ("Hello world yes", "en", "Hello wor", "Hello"),
        ("Hello world yes", "en", "Goodbye", ""),
        ("Hello world yes", "en", "Hello world yes and no", "Hello world yes"),
        ("language English<asr_text>Hello world", None, "Hello", "language English<asr_text>Hello"),
        ("language English<asr_text>Hello world", None, "Goodbye", ""),
        ("no header", None, "no", ""),
        ("你好，世界。", "zh", "你好", "你好"),
        ("Grüße aus Köln", "de", "Grüße aus K", "Grüße aus"),
    ],
)
def test_tokens_that_lie_within_what_is_stable(
    reader: OutputParser, processor: Any, said: str, forced: str | None, stable: str, covered: str
) -> None:
    """As many as do; whole words at least, for the tokenizer may join less."""
    tokens = processor.tokenizer(said, add_special_tokens=False)["input_ids"]
    count = reader.covered(tokens, forced, stable)
    text = processor.tokenizer.decode(tokens[:count])
    assert text.startswith(covered)
    assert not count or said.startswith(text)
    assert stable.startswith(text.removeprefix("language English<asr_text>"))


@pytest.mark.parametrize(
    ("wrote", "then", "rest"),
    [
        (9, 4, (5, 6, 7, 8)),  # in place of 3
        (9, 3, (4, 5, 6, 7, 8)),  # put in before 3
        (4, 5, (6, 7, 8)),  # 3 left out
        (6, 7, ()),  # 3, 4 and 5 left out: too little is left
        (9, 9, ()),
    ],
)
def test_what_of_a_draft_may_still_come(wrote: int, then: int, rest: tuple[int, ...]) -> None:
    assert rest_of((1, 2, 3, 4, 5, 6, 7, 8), 2, wrote, then) == rest


def test_nothing_of_a_draft_may_still_come_at_its_end() -> None:
    assert rest_of((1, 2, 3), 2, 9, 9) == ()
    assert rest_of((1, 2, 3), 3, 9, 9) == ()


HEADERS = ("language English<asr_text>", "", "language None<asr_text>", "x\nlanguage German<asr_text>", "<asr_text>")


@pytest.mark.parametrize("header", [*HEADERS, "language English<asr_text>assistant\n", " \n"])
def test_the_text_is_what_transformers_parses_with_and_without_repetitions(
    reader: OutputParser, processor: Any, header: str
) -> None:
    """transformers looks for repetitions at each character; the parser asks it only where there can be one."""
    rng = random.Random(header)
    shortened = 0
    for _ in range(200):
        pattern = "".join(rng.choices("ab 今é", k=rng.choice([1, 2, 3, 7, 19, 20, 21])))
        before, after = ("".join(rng.choices("abc d今é\n", k=rng.randrange(50))) for _ in range(2))
        raw = f"{header}{before}{pattern * rng.choice([1, 18, 19, 20, 21, 25])}{after}"
        parsed = processor.parse_output(raw)
        assert reader.parsed(raw) == (parsed["language"], parsed["transcription"])
        shortened += len(parsed["transcription"]) < len(raw) - len(header) - 20
    assert shortened > 20


def test_text_without_a_long_repetition_is_not_searched_for_one() -> None:
    assert not may_repeat("language English<asr_text>" + "Marc and Kate open the table under the small horse. " * 6)
    assert may_repeat("so " * 20)
    assert not may_repeat("so " * 19)
    assert may_repeat("n" + "o" * 21)
