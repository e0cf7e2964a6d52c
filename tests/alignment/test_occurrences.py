"""Which lines are found, and how sure that is."""

from alignment.said import find, spoken
from steno.alignment.occurrences import find_lines, heard_tokens, tokens_of_line
from steno.alignment.sheet import parse_sheet
from steno.types import Word

TIGER = """Tiger tiger burning bright
In the forests of the night
What immortal hand or eye
Could frame thy fearful symmetry"""
JERUSALEM = "And did those feet in ancient time\nWalk upon Englands mountains green\nAnd was the holy lamb of God"


def test_lines_that_are_said_have_a_confidence_of_one() -> None:
    found = find(TIGER, TIGER.replace("\n", " "))
    assert found.texts == TIGER.splitlines()
    assert [occurrence.confidence for occurrence in found.matched.occurrences] == [1.0] * 4
    assert found.matched.ratio == 1.0


def test_a_misheard_line_is_found_with_less_confidence() -> None:
    found = find(
        TIGER, "tiger tiger burning bright in the forests of the night what a mortal hand door eyed could frame"
    )
    confidences = dict(zip(found.texts, [o.confidence for o in found.matched.occurrences], strict=True))
    assert 0.5 < confidences["What immortal hand or eye"] < 0.9
    assert "Could frame thy fearful symmetry" in confidences, "a line may be cut off"


def test_words_may_be_divided_otherwise() -> None:
    sheet = "whatever somewhere everything\nnothing nobody nowhere"
    found = find(sheet, "what ever some where every thing no thing no body no where")
    assert found.texts == sheet.splitlines()
    assert found.matched.occurrences[1].confidence > 0.8, "by its letters: of its words, none was heard"


def test_another_text_is_not_found() -> None:
    matched = find(JERUSALEM, TIGER.replace("\n", " ")).matched
    assert matched.occurrences == ()
    assert matched.ratio < 0.1


def test_either_may_go_on_where_the_other_ends() -> None:
    assert find(TIGER + "\n" + JERUSALEM * 5, TIGER.replace("\n", " ")).matched.ratio > 0.95
    assert find(TIGER.splitlines()[1], TIGER.replace("\n", " ")).matched.ratio == 1.0


def test_text_in_brackets_may_be_missing_or_said() -> None:
    sheet = "Up in the air (in the air) so blue\n(ooh ooh ooh)\nOver the countryside"
    without = find(sheet, "up in the air so blue over the countryside").matched.occurrences
    assert [(o.line, o.confidence) for o in without] == [(0, 1.0), (2, 1.0)]
    with_it = find(sheet, "up in the air in the air so blue over the countryside").matched.occurrences
    assert [(o.line, len(o.pairs), o.confidence) for o in with_it] == [(0, 9, 1.0), (2, 3, 1.0)]


def test_the_misheard_end_of_a_chorus_that_the_sheet_has_once_is_uncertain() -> None:
    sheet = f"{TIGER}\n\n{JERUSALEM}\n\nWhen the stars threw down their spears\nAnd watered heaven with their tears"
    chorus, verse, end = (part.replace("\n", " ") for part in sheet.split("\n\n"))
    misheard = chorus.replace("Could frame thy fearful symmetry", "could train my fear full cemetery")
    found = find(sheet, f"{chorus} {verse} {misheard} somebody speaks here {end}")
    numbers = [o.line for o in found.matched.occurrences]
    assert numbers == [*range(7), *range(4), 7, 8]
    (uncertain,) = (o for o in found.matched.occurrences if not o.is_certain)
    assert (uncertain.line, len(uncertain.heard)) == (3, 6)
    cut_off = find(sheet, f"{chorus} {verse} {' '.join(chorus.split()[:-5])} somebody speaks here {end}")
    assert [o.line for o in cut_off.matched.occurrences] == [*range(7), *range(3), 7, 8]


def test_a_line_that_sounds_like_what_was_heard_between_its_neighbours_is_uncertain() -> None:
    sheet = "Tiger tiger burning bright\nsupercalifragilistic expialidocious\nWhat immortal hand or eye"
    found = find(
        sheet, "tiger tiger burning bright soup or cali fraggle is tick expert halley docious what immortal hand or eye"
    )
    assert [(o.line, o.is_certain) for o in found.matched.occurrences] == [(0, True), (1, False), (2, True)]
    found = find(sheet, "tiger tiger burning bright we interrupt for the news what immortal hand or eye")
    assert [o.line for o in found.matched.occurrences] == [0, 2], "what is not like it is not invented"


def test_copies_that_are_not_sung_do_not_lower_the_ratio() -> None:
    matched = find("[Chorus x4]\nUnder the wide and starry sky", "under the wide and starry sky").matched
    assert len(matched.occurrences) == 1
    assert matched.sheet_share == 1.0


def test_a_line_in_no_time_is_not_found() -> None:
    words = [Word(text, 2 + 0.02 * n, 2.02 + 0.02 * n) for n, text in enumerate(TIGER.lower().split()[:9])]
    heard = heard_tokens([*spoken("1.0 what immortal hand or eye"), *words], "en")
    lines = parse_sheet(TIGER)
    matched = find_lines(lines, [tokens_of_line(line, "en") for line in lines], heard, may_repeat=True)
    assert [lines[occurrence.line].text for occurrence in matched.occurrences] == ["What immortal hand or eye"]
