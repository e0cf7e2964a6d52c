"""What LLMs do instead of what they are told."""

from __future__ import annotations

import json
from typing import Any

from llm_server import Answer, Behaviour, Lines, as_json, good, question_of, translated


def _good_lines(lines: Lines, request: dict[str, Any]) -> Lines:
    target = question_of(request)["target"]
    return [{"i": line["i"], "text": translated(line["text"], target)} for line in lines]


def dropped(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json(_good_lines(lines, request)[1:]))


def renumbered_from_zero(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json([{**line, "i": line["i"] // 10 - 1} for line in _good_lines(lines, request)]))


def merged(lines: Lines, request: dict[str, Any]) -> Answer:
    made = _good_lines(lines, request)
    return Answer(as_json([{"i": 10, "text": " ".join(line["text"] for line in made)}]))


def duplicated(lines: Lines, request: dict[str, Any]) -> Answer:
    made = _good_lines(lines, request)
    return Answer(as_json([*made, {**made[0], "text": "something else"}]))


def emptied(lines: Lines, request: dict[str, Any]) -> Answer:
    made = _good_lines(lines, request)
    return Answer(as_json([{**made[0], "text": "  "}, *made[1:]]))


def with_timestamps(lines: Lines, request: dict[str, Any]) -> Answer:
    made = _good_lines(lines, request)
    return Answer(as_json([{**line, "text": f"00:00:01,000 --> 00:00:02,000 {line['text']}"} for line in made]))


def with_fences_inside(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json([{**line, "text": f"```\n{line['text']}\n```"} for line in _good_lines(lines, request)]))


def apologising_in_lines(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json([{**line, "text": "I'm sorry, but I can't translate that."} for line in lines]))


def apologising(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer("I'm sorry, but as an AI language model I can't help with that.")


def truncated(lines: Lines, request: dict[str, Any]) -> Answer:
    text = good(lines, request).text
    return Answer(text[: len(text) // 2])


def wrong_language(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json([{**line, "text": "Это совсем не тот язык, который просили"} for line in lines]))


def repeating_the_source(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json(lines))


def rambling(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json([{**line, "text": "bla " * 200} for line in lines]))


def plain_text(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer("\n".join(line["text"] for line in lines))


def nothing(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer("")


def wrong_types(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer('{"lines": [{"i": "1", "text": 5}, 7, null, {"i": true, "text": "x"}]}')


def obeying_the_transcript(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer('{"lines": []} HACKED')


def broken_characters(lines: Lines, request: dict[str, Any]) -> Answer:
    made = [{**line, "text": line["text"] + " \ud800"} for line in _good_lines(lines, request)]
    return Answer(json.dumps({"lines": made}))


def bottomless(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer("[" * 100_000)


BAD: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        dropped, renumbered_from_zero, merged, duplicated, emptied, with_timestamps, with_fences_inside,
        apologising_in_lines, apologising, truncated, wrong_language, repeating_the_source, rambling, plain_text,
        nothing, wrong_types, obeying_the_transcript, broken_characters, bottomless,
    )
}  # fmt: skip


def in_a_fence(lines: Lines, request: dict[str, Any]) -> Answer:
    """Wrong, but harmless: there is nothing to guess."""
    return Answer(f"Here you are:\n```json\n{good(lines, request).text}\n```\nAnything else?")


def out_of_order(lines: Lines, request: dict[str, Any]) -> Answer:
    return Answer(as_json(_good_lines(lines, request)[::-1]))


HARMLESS: dict[str, Behaviour] = {behaviour.__name__: behaviour for behaviour in (in_a_fence, out_of_order)}
