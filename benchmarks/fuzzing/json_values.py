"""Odd JSON: values of unexpected types, and text damaged byte by byte."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, TypeAlias

from benchmarks.fuzzing import media

Json: TypeAlias = Any

NESTED = "<nested>"
"""Stands for lists within lists, which `json.dumps` cannot write that deep."""
DEPTHS = (50, 1000, 30_000)
DIGITS = "<digits>"
"""Stands for a number of many digits."""
DIGIT_COUNTS = (20, 400, 5000)

ODD: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 0.5, 1e9, 1e308, -1e308, 2**31, 2**63, float("nan"), float("inf"), 10**30),
    *("", "0", "nan", "true", "\x00", "\ud800", "\U0001f600", "语" * 300, "x" * 5000, "%s", "A===", "../x", "null"),
    *([], {}, [[]], [None], [1, "a", {}], {"": ""}, {"type": {}}, {"x" * 300: 1}, NESTED, DIGITS),
)


def mutated(message: Json, dice: random.Random) -> Json:
    """A copy with one to three of its values, at any depth, replaced, left out or added."""
    message = copy.deepcopy(message)
    for _ in range(dice.choice([1, 1, 2, 3])):
        places = list(_places(message))
        if not places:
            return dice.choice(ODD)
        holder, key = dice.choice(places)
        match dice.randrange(4):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice([*map(str, holder), "extra", ""])] = copy.deepcopy(dice.choice(ODD))
            case _:
                holder[key] = copy.deepcopy(dice.choice(ODD))
    return message


def written(message: Json, dice: random.Random) -> bytes:
    """As JSON; half of a surrogate pair is written as an escape, as JSON may."""
    text = json.dumps(message)
    depth, digits = dice.choice(DEPTHS), dice.choice(DIGIT_COUNTS)
    text = text.replace(f'"{NESTED}"', "[" * depth + "]" * depth).replace(f'"{DIGITS}"', "9" * digits)
    return text.encode("ascii")


def damaged(text: bytes, dice: random.Random) -> bytes:
    """The text with bytes changed, added and left out: neither JSON nor UTF-8, as a rule."""
    return media.damaged(text, text, dice)


def _places(value: Json) -> Iterator[tuple[Any, Any]]:
    """Every (object or list, key or index) in a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries):
        yield value, key
        yield from _places(entry)
