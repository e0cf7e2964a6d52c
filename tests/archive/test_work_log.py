from __future__ import annotations

from pathlib import Path

from steno.archive.work_log import WORK_LOG, FinishedStage, WorkLog, counts_of

MADE = FinishedStage(("words-1.json",), {"segments": 2.0}, ("damaged",))


def test_what_a_stage_has_made_is_known_in_the_next_run(tmp_path: Path) -> None:
    WorkLog(tmp_path / "work").add_piece("words", "1", 0)
    assert WorkLog(tmp_path / "work").finished("words", "1") is None
    WorkLog(tmp_path / "work").add_stage("words", "1", MADE, {"align": 1.5, "total": 1.25})
    assert WorkLog(tmp_path / "work").finished("words", "1") == MADE
    assert WorkLog(tmp_path / "work").finished("words", "2") is None


def test_what_is_computed_twice_is_counted(tmp_path: Path) -> None:
    log = WorkLog(tmp_path)
    for number in (0, 1, 1):
        log.add_piece("transcript", "1", number)
    for key in ("1", "2", "2"):
        log.add_stage("transcript", key, MADE, {"recognize": 2.0, "total": 1.0})
    with (tmp_path / WORK_LOG).open("ab") as file:
        file.write(b'["transcript", "3", nu')
    counts = counts_of([tmp_path, tmp_path / "none"])
    assert (dict(counts.stages), dict(counts.pieces), counts.repeated) == ({"transcript": 3}, {"transcript": 3}, 2)
    assert counts.seconds == {"transcript": {"recognize": 6.0, "total": 3.0}}


def test_lines_of_earlier_versions_which_have_no_seconds_are_counted(tmp_path: Path) -> None:
    (tmp_path / WORK_LOG).write_bytes(b'["audio", "1", null, [["audio-1.flac"], {}, []]]\n')
    counts = counts_of([tmp_path])
    assert (dict(counts.stages), counts.seconds) == ({"audio": 1}, {})
    assert WorkLog(tmp_path).finished("audio", "1") == FinishedStage(("audio-1.flac",), {}, ())


def test_a_line_after_one_that_was_cut_off_is_read(tmp_path: Path) -> None:
    log = WorkLog(tmp_path)
    log.add_piece("transcript", "1", 0)
    with (tmp_path / WORK_LOG).open("ab") as file:
        file.write(b'["transcript", "1", ')
    log.add_piece("transcript", "1", 1)
    assert counts_of([tmp_path]).pieces == {"transcript": 2}


def test_results_that_were_kept_without_a_line_are_counted_once(tmp_path: Path) -> None:
    log = WorkLog(tmp_path)
    log.add_piece("transcript", "1", 0)
    log.add_piece("transcript", "2", 1)
    for _ in range(2):
        log.add_missing_pieces("transcript", "1", [2, 0, 1])
    counts = counts_of([tmp_path])
    assert (dict(counts.pieces), counts.repeated) == ({"transcript": 4}, 0)
