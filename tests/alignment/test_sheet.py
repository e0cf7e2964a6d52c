"""Sheets as people write them: marks, counts, brackets, time tags."""

from steno.alignment.sheet import SheetLine, parse_sheet


def texts(sheet: str) -> list[str]:
    return [line.text for line in parse_sheet(sheet)]


def test_lines_are_kept_with_their_numbers_and_sections() -> None:
    lines = parse_sheet("[Verse 1]\n  First line \nSecond\n\nThird\n")
    assert lines == [
        SheetLine(2, "First line", "Verse 1", True),
        SheetLine(3, "Second", "Verse 1", False),
        SheetLine(5, "Third", "Verse 1", True),
    ]


def test_section_marks_are_not_sung() -> None:
    assert texts("[Intro]\n[Verse 2]\none\nChorus:\ntwo\n(Bridge)\nthree\nOUTRO:\n[]\nfour") == [
        "one",
        "two",
        "three",
        "four",
    ]


def test_a_line_that_only_begins_like_a_mark_is_sung() -> None:
    assert texts("Chorus of angels\nBridge over water:\nVerse, and worse") == [
        "Chorus of angels",
        "Bridge over water:",
        "Verse, and worse",
    ]


def test_a_mark_without_lines_names_an_earlier_section() -> None:
    sheet = "[Chorus]\nla\nle\n\n[Verse]\nva\n\n[Chorus]\n\n[Verse 2]\nvi\n[chorus]"
    assert texts(sheet) == ["la", "le", "va", "la", "le", "vi", "la", "le"]
    assert [line.number for line in parse_sheet(sheet) if line.is_copy] == [2, 3, 2, 3]


def test_an_empty_line_behind_a_new_mark_does_not_take_its_lines_from_it() -> None:
    (line,) = parse_sheet("[Chorus]\n\nla")
    assert (line.section, line.starts_section) == ("Chorus", True)


def test_counts_repeat_lines_and_sections() -> None:
    assert texts("go (x2)\nstop x3\nnow [2x]") == ["go", "go", "stop", "stop", "stop", "now", "now"]
    assert texts("[Chorus x2]\nla\nle") == ["la", "le", "la", "le"]
    assert texts("la\nle\n(x2)\n\nlo") == ["la", "le", "la", "le", "lo"]


def test_other_numbers_and_letters_are_text() -> None:
    assert texts("Windows 95\nmalcolm x\n2x4\nat 100x") == ["Windows 95", "malcolm x", "2x4", "at 100x"]


def test_brackets_are_marked_and_kept() -> None:
    (line,) = parse_sheet("Up in the air (in the air) so blue (so blue)")
    assert [line.text[a:b] for a, b in line.optional] == ["(in the air)", "(so blue)"]


def test_time_tags_are_ignored() -> None:
    assert texts("[00:12.34]Dig the grave\n[01:02] <01:02.1>and <01:03.5>let") == ["Dig the grave", "and let"]


def test_a_sheet_may_be_empty() -> None:
    assert texts("") == []
    assert texts("\n\n[Chorus]\n(x2)\n") == []
