"""Result files of the archive's stages, read whole and in slices."""

from __future__ import annotations

from pathlib import Path

import pytest

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat_files import ChatMessages
from steno.archive.stage_files import SLICE_BYTES, TimedTranscript, dump, load, load_sliced
from steno.errors import ArchiveError
from steno.types import Segment, Word


def test_a_long_list_is_read_in_slices_as_it_is_read_whole(tmp_path: Path) -> None:
    messages = tuple(ChatMessage(n / 3, f"{n}", 'a "quoted" word, ü', ("x", "y")) for n in range(2000))
    chat = ChatMessages(messages=messages, origin=5.0)
    (tmp_path / "chat.json").write_bytes(dump(chat))
    assert (tmp_path / "chat.json").stat().st_size > 2 * SLICE_BYTES
    rest, items = load_sliced(ChatMessages, tmp_path / "chat.json", "messages", ChatMessage)
    assert (rest.messages, rest.origin, tuple(items)) == ((), 5.0, load(ChatMessages, tmp_path / "chat.json").messages)


def test_segments_keep_their_words(tmp_path: Path) -> None:
    segments = (Segment(0, 0.5, 1.5, "yes", "en", (Word("yes", 0.5, 1.5),), 0.75), Segment(1, 2.0, 3.0, "no"))
    transcript = TimedTranscript(text="yes no", language=None, duration_s=3.5, segments=segments)
    (tmp_path / "words.json").write_bytes(dump(transcript))
    rest, items = load_sliced(TimedTranscript, tmp_path / "words.json", "segments", Segment)
    assert (rest, tuple(items)) == (transcript.model_copy(update={"segments": ()}), segments)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"origin": null}',
        '{"messages": [}',
        '{"messages": 5, "origin": null}',
        '{"messages": [{"time_s": 1}]}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "chat.json").write_text(content)
    with pytest.raises(ArchiveError, match=r"chat\.json is no ChatMessages file: . problems"):
        load_sliced(ChatMessages, tmp_path / "chat.json", "messages", ChatMessage)


def test_an_item_with_a_field_of_another_version_is_damaged(tmp_path: Path) -> None:
    messages = (ChatMessage(1.0, "a", "b"),)
    text = dump(ChatMessages(messages=messages, origin=5.0)).decode().replace('"author"', '"mood": 1, "author"')
    (tmp_path / "chat.json").write_text(text)
    for read in (
        lambda: load(ChatMessages, tmp_path / "chat.json"),
        lambda: list(load_sliced(ChatMessages, tmp_path / "chat.json", "messages", ChatMessage)[1]),
    ):
        with pytest.raises(ArchiveError, match="1 problems"):
            read()


def test_a_damaged_item_is_found_when_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('{"messages": [{"time_s": 1}], "origin": null}')
    rest, items = load_sliced(ChatMessages, tmp_path / "chat.json", "messages", ChatMessage)
    assert rest.origin is None
    with pytest.raises(ArchiveError, match=r"chat\.json is no ChatMessages file: 2 problems"):
        next(items)
