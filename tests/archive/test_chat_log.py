"""Readers of chat logs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from steno.archive.chat.chat_log import ChatFormat, format_of, load_chat
from steno.archive.chat.chat_message import ChatMessage, ReadReport
from steno.archive.chat.message_times import MessageTime, parse_time
from steno.archive.chat.table_chat import TableColumns
from steno.archive.chat.twitch_chat import read_twitch
from steno.archive.chat_files import ChatMessages
from steno.archive.stage_files import dump
from steno.errors import InvalidRequestError

SEVEN = 1_777_618_800.0
"""2026-05-01T07:00:00Z."""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def comment(offset: object, body: str, **message: object) -> dict[str, object]:
    return {
        "_id": "1",
        "created_at": "2026-05-01T07:00:12.5Z",
        "content_offset_seconds": offset,
        "commenter": {"display_name": "Ada", "name": "ada"},
        "message": {"body": body, **message},
    }


def twitch(*comments: object) -> str:
    return json.dumps({"FileInfo": {"Version": {}}, "streamer": {"name": "x"}, "comments": comments,
                       "embeddedData": {"thirdParty": [{"data": "A" * 5000}]}})  # fmt: skip


def test_twitch_comments_have_offset_author_emotes_and_the_time_they_were_sent(tmp_path: Path) -> None:
    fragments = [{"text": "hi ", "emoticon": None}, {"text": "Kappa", "emoticon": {"emoticon_id": "25"}}]
    path = written(tmp_path, "chat.json", twitch(comment(12, "hi Kappa", fragments=fragments)))
    log = load_chat(path)
    assert log.messages == (ChatMessage(12.0, "ada", "hi Kappa", ("Kappa",), SEVEN + 12.5),)
    assert log.origin is None


def test_a_twitch_author_keeps_a_display_name_of_another_script(tmp_path: Path) -> None:
    shown = {**comment(1, "hi"), "commenter": {"display_name": "小林さん", "name": "kobayashi_7"}}
    message = load_chat(written(tmp_path, "chat.json", twitch(shown))).messages[0]
    assert (message.author, message.display_name) == ("kobayashi_7", "小林さん")
    content = ChatMessages(messages=(message,), origin=None)
    assert ChatMessages.model_validate_json(dump(content)) == content


def test_twitch_emotes_are_also_found_by_their_character_ranges(tmp_path: Path) -> None:
    emoticons = [{"_id": "25", "begin": 3, "end": 7}, {"_id": "1", "begin": 9, "end": 99}, {"begin": None}]
    path = written(tmp_path, "chat.json", twitch(comment(1.5, "hi Kappa", fragments=[], emoticons=emoticons)))
    assert load_chat(path).messages[0].emotes == ("Kappa",)


def test_twitch_comments_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    comments = ("text", comment(None, "a"), comment(3, ""), comment("nan", "b"), comment(4, "good"))
    log = load_chat(written(tmp_path, "chat.json", twitch(*comments)))
    assert [message.text for message in log.messages] == ["good"]
    assert log.report.rejected == {"not an object": 1, "without content_offset_seconds": 2, "without text": 1}
    assert log.report.messages == 1


def test_a_twitch_file_that_ends_early_keeps_what_came_before(tmp_path: Path) -> None:
    whole = twitch(*(comment(n, f"message {n}") for n in range(50)))
    log = load_chat(written(tmp_path, "chat.json", whole[: len(whole) // 3]))
    texts = [message.text for message in log.messages]
    assert 5 < len(texts) < 50
    assert texts == [f"message {n}" for n in range(len(texts))]
    assert log.report.rejected == {"the file is damaged or ends early": 1}


@pytest.mark.parametrize("size", range(1, 30))
def test_halves_of_pairs_are_replaced_wherever_the_file_is_cut(size: int) -> None:
    class Dripping(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            return super().read(size if _size else 0)

    texts = ["cut \ud83d", "😀 \\ud83d \\", "\udc00\ud83d\ud83d"]
    file = Dripping(twitch(*(comment(1, text) for text in texts)).encode())
    found = [message.text for message in read_twitch(file, ReadReport())]
    assert found == ["cut \ufffd", "😀 \\ud83d \\", "\ufffd\ufffd\ufffd"]


def test_a_twitch_file_is_read_as_a_stream() -> None:
    class Endless:
        """A file whose comments never end; `given` bytes were read."""

        given = 0
        entry = json.dumps(comment(1, "again")).encode() + b","

        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            if size == 0:
                return b""
            head = b"" if self.given else b'{"comments": ['
            self.given += len(head) + len(self.entry)
            return head + self.entry

    file, report = Endless(), ReadReport()
    messages = read_twitch(file, report)  # type: ignore[arg-type]
    assert [next(messages).text for _ in range(100)] == ["again"] * 100
    assert file.given < 300 * len(file.entry)


def test_csv_columns_are_found_by_their_usual_names_or_by_those_given(tmp_path: Path) -> None:
    usual = written(
        tmp_path, "a.csv", 'Timestamp,User,Message\n12.5,ada,"hello, ""world"""\n0:01:03,bob,two\nlines,,\n'
    )
    assert load_chat(usual).messages == (ChatMessage(12.5, "ada", 'hello, "world"'), ChatMessage(63.0, "bob", "two"))
    given = written(tmp_path, "b.csv", "at;who;what\n5;ada;hi\n")
    columns = TableColumns(time="at", author="who", text="what")
    assert load_chat(given, columns=columns).messages == (ChatMessage(5.0, "ada", "hi"),)
    with pytest.raises(InvalidRequestError, match=r"no column any of time, .* for the time; it has at, who, what"):
        load_chat(given)


def test_csv_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    text = "time,author,text\n1,ada,hi\nsoon,ada,no time\n2,ada\n3,bob,\n\n4,bob,ok\n"
    log = load_chat(written(tmp_path, "c.csv", text))
    assert [message.time_s for message in log.messages] == [1.0, 4.0]
    assert log.report.rejected == {"without a time": 1, "with another number of columns": 1, "without text": 1}
    assert log.report.examples["with another number of columns"] == ["line 4: 2,ada"]


@pytest.mark.parametrize(
    "first", ["2026-05-01T07:00:00Z", "2026-05-01 09:00:00+02:00", SEVEN, SEVEN * 1e3, SEVEN * 1e6]
)
def test_absolute_times_start_at_the_first_message_or_at_the_origin(tmp_path: Path, first: object) -> None:
    lines = [{"time": first, "author": "a", "text": "one"}, {"time": SEVEN + 90, "author": "b", "text": "two"}]
    path = written(tmp_path, "d.jsonl", "\n".join(map(json.dumps, reversed(lines))))
    log = load_chat(path)
    assert [(each.time_s, each.text, each.sent_at) for each in log.messages] == [
        (0.0, "one", SEVEN),
        (90.0, "two", SEVEN + 90),
    ]
    assert log.origin == SEVEN
    assert [each.time_s for each in load_chat(path, origin=SEVEN - 30).messages] == [30.0, 120.0]


def test_jsonl_lines_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    text = '{"time": 1, "author": "a", "text": "x"}\n{broken\n[]\n{"time": null, "text": "y"}\n{"time": 2, "text": 5}\n'
    log = load_chat(written(tmp_path, "e.ndjson", text))
    assert [message.text for message in log.messages] == ["x"]
    assert log.report.rejected == {"not a JSON object": 2, "without a time": 1, "without text": 1}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_half_a_surrogate_pair_and_a_huge_time_do_not_fail_the_log(tmp_path: Path, suffix: str) -> None:
    rows = [("ada", "cut \ud83d", 1), ("b\udc00b", "fine 😀", 2), ("eve", "huge", 10**400), ("\ud83d", "", 3)]
    if suffix == "json":
        made = [{**comment(at, text), "commenter": {"name": author}} for author, text, at in rows]
        path = written(tmp_path, "chat.json", twitch(*made))
    else:
        lines = [json.dumps({"time": at, "author": author, "text": text}) for author, text, at in rows]
        path = written(tmp_path, "chat.jsonl", "\n".join(lines))
    log = load_chat(path)
    assert [(each.author, each.text) for each in log.messages] == [("ada", "cut \ufffd"), ("b\ufffdb", "fine 😀")]
    assert log.report.rejected.total() == 2
    content = ChatMessages(messages=log.messages, origin=log.origin)
    assert ChatMessages.model_validate_json(dump(content)) == content
    "".join(log.report.warnings()).encode()


def test_plain_text_has_times_in_brackets_or_bare(tmp_path: Path) -> None:
    text = "[0:01:02] ada: hello: there\n1:05.5 bob: gg\n[2:00] <Eve> wow\nno time here\n[soon] ada: hi\n"
    log = load_chat(written(tmp_path, "f.txt", text))
    assert log.messages == (
        ChatMessage(62.0, "ada", "hello: there"),
        ChatMessage(65.5, "bob", "gg"),
        ChatMessage(120.0, "Eve", "wow"),
    )
    assert log.report.rejected == {"not `[hh:mm:ss] name: text`": 1, "without a time": 1}


def test_absolute_times_in_plain_text_become_relative(tmp_path: Path) -> None:
    text = "[2026-05-01 07:00:00] ada: one\n[2026-05-01 07:00:09] <bob> two\n"
    assert [each.time_s for each in load_chat(written(tmp_path, "g.log", text)).messages] == [0.0, 9.0]


def test_an_absolute_time_among_relative_ones_is_reported(tmp_path: Path) -> None:
    text = f"time,author,text\n1,a,x\n{SEVEN},a,y\n3,a,z\n"
    log = load_chat(written(tmp_path, "h.csv", text))
    assert [each.text for each in log.messages] == ["x", "z"]
    assert log.report.rejected == {"with an absolute time among relative ones": 1}
    assert log.report.messages == 2


def test_a_relative_time_among_absolute_ones_is_reported(tmp_path: Path) -> None:
    text = f"time,author,text\n0,a,x\n{SEVEN},a,y\n{SEVEN + 5},a,z\n"
    log = load_chat(written(tmp_path, "h.csv", text))
    assert [(each.time_s, each.text) for each in log.messages] == [(0.0, "y"), (5.0, "z")]
    assert log.origin == SEVEN
    assert log.report.rejected == {"with a relative time among absolute ones": 1}
    assert log.report.messages == 2


def test_a_stray_date_is_reported_and_is_not_the_origin(tmp_path: Path) -> None:
    text = f"time,author,text\n2000-01-01,a,x\n{SEVEN},a,y\n{SEVEN + 86_400 * 9},a,z\n"
    log = load_chat(written(tmp_path, "h.csv", text))
    assert [(each.time_s, each.text) for each in log.messages] == [(0.0, "y"), (86_400.0 * 9, "z")]
    assert log.origin == SEVEN
    assert log.report.rejected == {"with a date far from the others'": 1}
    assert log.report.messages == 2


def test_a_log_without_a_message_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"has no chat message: 1 entry not used, not `\[hh:mm:ss\]"):
        load_chat(written(tmp_path, "i.txt", "nothing\n"))
    with pytest.raises(InvalidRequestError, match="it is empty"):
        load_chat(written(tmp_path, "j.csv", "time,author,text\n"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"time": 1, "text": "x", "author": "y"}\n', "jsonl"),
        ("b.json", '{"FileInfo": {}, "comments": []}', "twitch"),
        ("c.json", '{\n "comments": [\n', "twitch"),
        ("d", "[0:01] a: b\n", "text"),
        ("e", "0:01 a: b\n", "text"),
        ("f.TSV", "", "csv"),
    ],
)
def test_the_format_is_found_by_suffix_and_content(tmp_path: Path, name: str, text: str, expected: ChatFormat) -> None:
    assert format_of(written(tmp_path, name, text)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("-0:05", MessageTime(-5.0, absolute=False)),
        ("100:00:00", MessageTime(360_000.0, absolute=False)),
        ("1:02,5", MessageTime(62.5, absolute=False)),
        ("inf", None),
        (True, None),
        ("", None),
    ],
)
def test_times_of_all_kinds_are_parsed(value: object, expected: MessageTime | None) -> None:
    assert parse_time(value) == expected
