"""A small world in two languages: what is said in it, and how that is written."""

from __future__ import annotations

import hashlib
import random

NAMES = ("Anna", "Tom", "Kate", "Marc")
OTHER_SPELLINGS = {"Kate": "Cate", "Marc": "Mark"}
"""They sound the same: which one is meant, only the context tells."""

VERBS = ("sees", "finds", "likes", "carries", "paints", "follows")
ORDERS = ("open", "close", "bring", "hold")
ADJECTIVES = ("red", "blue", "small", "old", "quiet", "golden")
NOUNS = ("boat", "garden", "apple", "window", "horse", "letter", "river", "table", "mountain", "camera")
PLURALS = ("boats", "apples", "horses", "letters")
NUMBERS = ("two", "three", "seven", "nine", "twelve")
PLACES = ("near", "under", "behind")
TIMES = ("today", "tomorrow", "again", "slowly")

GERMAN_NOUNS = ("Hund", "Garten", "Apfel", "Wagen", "Baum", "Vogel", "Stuhl", "Brief")
GERMAN_VERBS = ("sieht", "findet", "trägt", "malt", "sucht")
GERMAN_ADJECTIVES = ("alte", "kleine", "rote", "schnelle")
GERMAN_PLACES = ("neben", "hinter", "unter")
GERMAN_TIMES = ("heute", "morgen", "wieder", "langsam")

HELD_OUT_OF = 8
"""One sentence of so many is kept from training."""


def sentence(rng: random.Random, language: str) -> str:
    """One sentence in `en` or `de`, with a capital and a full stop."""
    said = _english(rng) if language == "en" else _german(rng)
    return said[0].upper() + said[1:] + "."


def is_held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % HELD_OUT_OF == 0


def vocabulary() -> list[str]:
    """Every word that can be said, as it is written within a sentence."""
    english = ("the", "please", "and", *NAMES, *OTHER_SPELLINGS.values(), *VERBS, *ORDERS, *ADJECTIVES, *NOUNS)
    more = (*PLURALS, *NUMBERS, *PLACES, *TIMES)
    german = ("der", "den", "dem", *GERMAN_NOUNS, *GERMAN_VERBS, *GERMAN_ADJECTIVES, *GERMAN_PLACES, *GERMAN_TIMES)
    return [*english, *more, *german, *(f"{word}n" for word in GERMAN_ADJECTIVES)]


def _english(rng: random.Random) -> str:
    pick = rng.choice
    thing = f"the {pick(ADJECTIVES)} {pick(NOUNS)}"
    forms = (
        f"{pick(NAMES)} {pick(VERBS)} {thing} {pick(PLACES)} the {pick(NOUNS)}",
        f"{thing} {pick(VERBS)} {pick(NUMBERS)} {pick(PLURALS)} {pick(TIMES)}",
        f"{pick(NAMES)} {pick(VERBS)} {pick(NUMBERS)} {pick(ADJECTIVES)} {pick(PLURALS)}",
        f"please {pick(ORDERS)} {thing} {pick(TIMES)}",
        f"{pick(NAMES)} and {pick(NAMES)} {pick(ORDERS)} the {pick(NOUNS)} {pick(PLACES)} the {pick(NOUNS)}",
        f"{pick(NAMES)} {pick(VERBS)} {pick(NAMES)} {pick(TIMES)}",
    )
    return pick(forms)


def _german(rng: random.Random) -> str:
    pick = rng.choice
    who = f"der {pick(GERMAN_ADJECTIVES)} {pick(GERMAN_NOUNS)}"
    forms = (
        f"{who} {pick(GERMAN_VERBS)} den {pick(GERMAN_ADJECTIVES)}n {pick(GERMAN_NOUNS)} {pick(GERMAN_TIMES)}",
        f"der {pick(GERMAN_NOUNS)} {pick(GERMAN_VERBS)} {pick(GERMAN_TIMES)} den {pick(GERMAN_NOUNS)}",
        f"{who} {pick(GERMAN_VERBS)} den {pick(GERMAN_NOUNS)} {pick(GERMAN_PLACES)} dem {pick(GERMAN_NOUNS)}",
    )
    return pick(forms)
