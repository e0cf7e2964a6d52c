"""What is removed from a chat message."""

from __future__ import annotations

from collections import Counter

import pytest

from steno.archive.text_cleaning import clean_text


@pytest.mark.parametrize(
    ("text", "cleaned", "kind"),
    [
        ("see https://x.example/a?b=c now", "see now", "url"),
        ("at www.example.com/x", "at", "url"),
        ("clips.twitch.tv/Abc lol", "lol", "url"),
        ("at mysite.dev/u/42 ok", "at ok", "url"),
        ("at host.museum:8080/u ok", "at ok", "url"),
        ("see foo.eu ok", "see ok", "url"),
        ("get ftp://host/file ok", "get ok", "url"),
        ("host 2001:db8::8a2e:370:7334 up", "host up", "ip_address"),
        ("host 2001:db8:0:0:1:0:0:1 up", "host up", "ip_address"),
        ("host fe80::1, up", "host , up", "ip_address"),
        ("hi @anna-lena!", "hi @viewer!", "mention"),
        ("mail me@example.org ok", "mail ok", "email"),
        ("host 192.168.1.20 up", "host up", "ip_address"),
        ("key ghp_abcdefghijklmnopqrstuvwxyz0123456789 oops", "key oops", "secret"),
        ("oauth:abcdefghij0123456789klmnop", "", "secret"),
        ("sk-proj-abcdefghijklmnop1234 x", "x", "secret"),
        ("AKIAABCDEFGHIJKLMNOP x", "x", "secret"),
        ("hash 0123456789abcdef0123456789abcdef x", "hash x", "secret"),
        ("hi @Ada_1!", "hi @viewer!", "mention"),
        ("thanks SomeName99", "thanks @viewer", "name"),
    ],
)
def test_links_secrets_addresses_and_names_are_removed_and_counted(text: str, cleaned: str, kind: str) -> None:
    counts: Counter[str] = Counter()
    assert clean_text(text, {"somename99"}, counts) == cleaned
    assert +counts == {kind: 1}
    assert clean_text(cleaned, {"somename99"}) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned", "kind"),
    [
        ("thanks Anna-Lena Meyer!", "thanks @viewer!", "name"),
        ("thanks anna-lena MEYER's", "thanks @viewer's", "name"),
        ("yes @Anna-Lena Meyer ok", "yes @viewer ok", "mention"),
        ("J.Smithson said", "@viewer said", "name"),
        ("@j.smithson: no", "@viewer: no", "mention"),
        ("J.Smithson.com is it", "is it", "url"),
        ("j.smithson@example.org ok", "ok", "email"),
        ("STRASSER! straßer", "@viewer! @viewer", "name"),
        ("今日は小林さんすごい", "今日は@viewerすごい", "name"),
        ("@Bo Li hi", "@viewer hi", "mention"),
        ("thanks Anna-L", "thanks @viewer", "name"),
        ("Bo Lin, Anna-Lena Meyerhof", "Bo Lin, Anna-Lena Meyerhof", None),
    ],
)
def test_names_of_all_characters_are_hidden_whole(text: str, cleaned: str, kind: str | None) -> None:
    names = {"anna-lena meyer", "anna", "anna-l", "j.smithson", "strasser", "小林さん", "bo li"}
    counts: Counter[str] = Counter()
    assert clean_text(text, names, counts) == cleaned
    assert set(+counts) == ({kind} if kind else set())


@pytest.mark.parametrize(
    "text",
    [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "what...ever", "1.5 or 2.5?", "ok ada", "a/b",
        "the end.Start again", "well.what now", "yes.no", "12:30:45 and :joy: ::", "std::move",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert clean_text(text, {"ada"}) == text
