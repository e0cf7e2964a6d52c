"""Which lines of a sheet a recording says, how often, and how well: from matched tokens to occurrences of lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from steno.alignment.matching import Pair, SheetTokens, Visit, match
from steno.alignment.sheet import SheetLine
from steno.alignment.tokens import Token, tokens_of, weight_of
from steno.types import Word

MIN_CONFIDENCE = 0.4
"""A line below this is not found. Lines that are not said get up to 0.35, by common words and chance."""
MIN_UNCERTAIN = 0.15
"""Lines between two found ones are uncertain, not missing, if what was heard there is as similar as this."""
MIN_UNCERTAIN_REST = 0.25
"""As `MIN_UNCERTAIN`, for the rest of a section after which the recording goes on elsewhere in the sheet."""
MAX_UNCERTAIN = 4
"""Lines that may be uncertain together."""
WIDE = 1.5
"""A line that is spread over this many times its letters is less certain, in proportion."""
MIN_LETTER_S = 0.025
"""Min time per letter of a line; a faster one counts as not found. Speech is never so fast, but a recogniser in a
repetition loop emits such lines."""
STRAY_S = 0.6
"""A replaced word at a line's end belongs to the line if it is as near as this to the next word of it."""
CHANCE = 0.45
"""Similarity of the letters of two unrelated English lines."""


@dataclass(frozen=True, slots=True)
class HeardToken:
    """A token of the recogniser's text, with its share of its word's time."""

    norm: str
    start_s: float
    end_s: float
    is_timed: bool = True
    """False if its word's time is an estimate."""


@dataclass(frozen=True, slots=True)
class LineTokens:
    """The tokens of a line. `required`: those outside of brackets, or all if it has no others."""

    tokens: tuple[Token, ...]
    required: frozenset[int]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A line that the recording says."""

    line: int
    """Index of the line."""
    pairs: tuple[Pair, ...]
    """What was heard of it; `Pair.token` counts in the line."""
    confidence: float
    """How well the audio says the line, in [0, 1]."""
    heard: range = range(0)
    """The heard tokens from the first to the last that belong to it."""

    @property
    def is_certain(self) -> bool:
        """False if only the letters of what was heard between its neighbours are like the line's."""
        return bool(self.pairs)


@dataclass(frozen=True, slots=True)
class Matched:
    """The lines that were found, in order of time."""

    occurrences: tuple[Occurrence, ...]
    sheet_share: float
    """Share of the sheet that was found, by the weight of its tokens; copies that were not found do not count."""
    heard_share: float
    """Share of what was heard that the sheet has, by the weight of the tokens."""

    @property
    def ratio(self) -> float:
        """How well text and audio fit: a script may go on where the audio ends, or the other way round."""
        return max(self.sheet_share, self.heard_share)


def heard_tokens(words: Sequence[Word], language: str | None, *, are_timed: bool = True) -> list[HeardToken]:
    """The tokens of words; those of one word share its time equally. `are_timed`: whether the times are measured."""
    heard: list[HeardToken] = []
    for word in words:
        tokens = tokens_of(word.text, language)
        step_s = (word.end_s - word.start_s) / max(len(tokens), 1)
        heard += (
            HeardToken(token.norm, word.start_s + n * step_s, word.start_s + (n + 1) * step_s, are_timed)
            for n, token in enumerate(tokens)
        )
    return heard


def tokens_of_line(line: SheetLine, language: str | None) -> LineTokens:
    tokens = tuple(tokens_of(line.text, language))
    required = frozenset(n for n, token in enumerate(tokens) if not any(a <= token.begin < b for a, b in line.optional))
    return LineTokens(tokens, required or frozenset(range(len(tokens))))


def find_lines(
    lines: Sequence[SheetLine],
    tokens: Sequence[LineTokens],
    heard: Sequence[HeardToken],
    *,
    may_repeat: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> Matched:
    """Match what was heard with the lines. A line in brackets as a whole may be missing like any text in brackets.

    Raises:
        MatchingStoppedError: `should_stop` returned True.
    """
    sheet, owners = _sheet_tokens(lines, tokens)
    visits = match([token.norm for token in heard], sheet, may_repeat=may_repeat, should_stop=should_stop)
    found = [
        occurrence
        for visit in visits
        for occurrence in _occurrences(visit, sheet, owners, tokens, heard)
        if occurrence.confidence >= MIN_CONFIDENCE
    ]
    shares = _sheet_share(found, lines, tokens), _heard_share(found, tokens, heard)
    return Matched(tuple(_with_uncertain(found, lines, tokens, heard)), *shares)


def _sheet_tokens(lines: Sequence[SheetLine], tokens: Sequence[LineTokens]) -> tuple[SheetTokens, list[int]]:
    """The sheet's tokens, and the line of each. Lines without tokens have none."""
    norms: list[str] = []
    starts: list[int] = []
    owners: list[int] = []
    section_starts, optional = set[int](), set[int]()
    begins_section = False
    for n, (line, own) in enumerate(zip(lines, tokens, strict=True)):
        begins_section |= line.starts_section
        if not own.tokens:
            continue
        starts.append(len(norms))
        if begins_section:
            section_starts.add(len(norms))
            begins_section = False
        is_bracketed = bool(line.optional) and all(
            any(a <= token.begin < b for a, b in line.optional) for token in own.tokens
        )
        optional |= {len(norms) + k for k in range(len(own.tokens)) if is_bracketed or k not in own.required}
        owners += [n] * len(own.tokens)
        norms += [token.norm for token in own.tokens]
    return SheetTokens(norms, starts, frozenset(section_starts), frozenset(optional)), owners


def _occurrences(
    visit: Visit,
    sheet: SheetTokens,
    owners: Sequence[int],
    tokens: Sequence[LineTokens],
    heard: Sequence[HeardToken],
) -> Iterator[Occurrence]:
    first_of = {owners[start]: start for start in sheet.starts}
    for line, group in groupby(visit.pairs, key=lambda pair: owners[pair.token]):
        pairs = _without_strays([Pair(p.heard, p.token - first_of[line], p.score) for p in group], heard)
        extent = range(pairs[0].heard, pairs[-1].heard + 1) if pairs else range(0)
        yield Occurrence(line, pairs, _confidence(pairs, tokens[line], heard), extent)


def _without_strays(pairs: Sequence[Pair], heard: Sequence[HeardToken]) -> tuple[Pair, ...]:
    """Without replacements at the ends that are apart from the line."""
    matching = [n for n, pair in enumerate(pairs) if pair.score > 0]
    if not matching:
        return ()
    first, last = matching[0], matching[-1]
    while first and heard[pairs[first].heard].start_s - heard[pairs[first - 1].heard].end_s < STRAY_S:
        first -= 1
    while last + 1 < len(pairs) and heard[pairs[last + 1].heard].start_s - heard[pairs[last].heard].end_s < STRAY_S:
        last += 1
    return tuple(pairs[first : last + 1])


def _with_uncertain(
    found: Sequence[Occurrence],
    lines: Sequence[SheetLine],
    tokens: Sequence[LineTokens],
    heard: Sequence[HeardToken],
) -> Iterator[Occurrence]:
    """The occurrences, and lines of the sheet between two of them that resemble what was heard between them.

    Where the second is elsewhere in the sheet, as after a chorus that it has once, these are the rest of the first
    one's section, and what was heard first of all.
    """
    for before, after in pairwise([*found, None]):
        assert before is not None
        yield before
        extent = range(before.heard.stop, after.heard.start if after else len(heard))
        between = range(before.line + 1, after.line) if after else range(0)
        uncertain = _uncertain(between, extent, tokens, heard, MIN_UNCERTAIN)
        if not uncertain and (rest := _rest_of_section(before.line, lines)):
            start = _most_similar_start(_text_of(rest, tokens), extent, heard)
            uncertain = _uncertain(rest, start, tokens, heard, MIN_UNCERTAIN_REST)
        yield from uncertain


def _uncertain(
    lines: range, extent: range, tokens: Sequence[LineTokens], heard: Sequence[HeardToken], limit: float
) -> list[Occurrence]:
    """The lines, if together they are as similar to what was heard in `extent` as `limit`."""
    if not 0 < len(lines) <= MAX_UNCERTAIN:
        return []
    similarity = _letters(_text_of(lines, tokens), "".join(heard[n].norm for n in extent))
    return [Occurrence(n, (), similarity, extent) for n in lines if tokens[n].tokens] if similarity >= limit else []


def _rest_of_section(line: int, lines: Sequence[SheetLine]) -> range:
    """The lines behind `line` in its section; empty if there are more than may be uncertain."""
    last = min(line + MAX_UNCERTAIN + 2, len(lines))
    end = next((n for n in range(line + 1, last) if lines[n].starts_section), last)
    return range(line + 1, end if end - line - 1 <= MAX_UNCERTAIN else line + 1)


def _most_similar_start(text: str, extent: range, heard: Sequence[HeardToken]) -> range:
    """The part of `extent`, from its beginning on, whose letters are most like the text's."""
    sound = ""
    best = extent[:0], 0.0
    for n in extent:
        sound += heard[n].norm
        if len(sound) > WIDE * len(text):
            break
        best = max(best, (range(extent.start, n + 1), _letters(text, sound)), key=lambda part: part[1])
    return best[0]


def _text_of(lines: Sequence[int], tokens: Sequence[LineTokens]) -> str:
    """The letters of lines, without what is in brackets."""
    return "".join(tokens[n].tokens[k].norm for n in lines for k in sorted(tokens[n].required))


def _letters(text: str, sound: str) -> float:
    """Similarity of the letters: 0 = as by chance, 1 = equal."""
    from rapidfuzz.distance import Indel

    return max((Indel.normalized_similarity(text, sound) - CHANCE) / (1 - CHANCE), 0.0)


def _confidence(pairs: Sequence[Pair], line: LineTokens, heard: Sequence[HeardToken]) -> float:
    """The share of the line that was heard: of its words, or of its letters, as recognisers divide words differently.

    Words in brackets count only if they were heard.
    """
    if not pairs:
        return 0.0
    said = line.required | {pair.token for pair in pairs if pair.score > 0}
    weights = {n: weight_of(line.tokens[n].norm) for n in said}
    words = sum(weights[pair.token] * pair.score for pair in pairs if pair.score > 0) / sum(weights.values())
    text = "".join(line.tokens[n].norm for n in sorted(said))
    sound = "".join(token.norm for token in heard[pairs[0].heard : pairs[-1].heard + 1])
    if heard[pairs[-1].heard].end_s - heard[pairs[0].heard].start_s < MIN_LETTER_S * len(sound):
        return 0.0
    return min(max(words, _letters(text, sound)) * min(1.0, WIDE * len(text) / len(sound)), 1.0)


def _sheet_share(found: Sequence[Occurrence], lines: Sequence[SheetLine], tokens: Sequence[LineTokens]) -> float:
    numbers = {lines[occurrence.line].number for occurrence in found}
    total = said = 0.0
    for line, own in zip(lines, tokens, strict=True):
        if not line.is_copy:
            weight = sum(weight_of(own.tokens[n].norm) for n in own.required)
            total += weight
            said += weight if line.number in numbers else 0.0
    return said / total if total else 0.0


def _heard_share(found: Sequence[Occurrence], tokens: Sequence[LineTokens], heard: Sequence[HeardToken]) -> float:
    total = sum(weight_of(token.norm) for token in heard)
    said = sum(weight_of(heard[pair.heard].norm) for occurrence in found for pair in occurrence.pairs if pair.score > 0)
    return said / total if total else 0.0
