from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from steno.archive.piece_journal import PieceJournal
from steno.types import Hypothesis, Word

KIND = TypeAdapter(Hypothesis)
FIRST = Hypothesis("Grüße,\u2028 zwei Zeilen\n", "de", (Word("Grüße,", 0.1, 0.5, 0.9),), 0.9)
SECOND = Hypothesis("", None)


def test_results_are_there_in_the_next_run(tmp_path: Path) -> None:
    with PieceJournal(tmp_path / "work" / "journal", KIND) as journal:
        journal.add(7, FIRST)
        journal.add(0, SECOND)
    with PieceJournal(tmp_path / "work" / "journal", KIND) as journal:
        assert journal.results == {7: FIRST, 0: SECOND}


@given(lost=st.integers(1, 400))
def test_a_line_that_was_not_written_to_its_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, lost: int) -> None:
    path = tmp_path_factory.mktemp("work") / "journal"
    with PieceJournal(path, KIND) as journal:
        journal.add(0, SECOND)
        begun = path.stat().st_size
        journal.add(1, FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - lost, 0)])
    with PieceJournal(path, KIND) as journal:
        assert journal.results == ({0: SECOND} if len(whole) - lost >= begun else {})
        journal.add(2, FIRST)
    with PieceJournal(path, KIND) as journal:
        assert journal.results[2] == FIRST
        assert 1 not in journal.results


def test_a_damaged_line_and_what_follows_are_not_used(tmp_path: Path) -> None:
    with PieceJournal(tmp_path / "journal", KIND) as journal:
        for number in range(3):
            journal.add(number, FIRST)
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(lines[0] + lines[1].replace(b"zwei", b"drei") + lines[2])
    with PieceJournal(tmp_path / "journal", KIND) as journal:
        assert journal.results == {0: FIRST}
