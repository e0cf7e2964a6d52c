"""Requests to the HTTP API: valid ones with damaged media, and damaged ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fuzzing import media

ROUTES = ("transcriptions", "transcriptions/stream", "translations", "subtitles")

FIELDS = (
    *("file", "model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]"),
    *("include[]", "stream", "hotwords", "mode", "max_line_chars", "max_lines", "format", "target_language"),
    *("bilingual", "glossary", "known_speaker_names[]", "x" * 300, "", "ключ", "a\tb"),
)

VALUES = (
    *("", "0", "-1", "1e309", "nan", "9" * 400, "true", "%s%n", "a=b\nc", "../../etc/passwd", "<|im_end|>"),
    *("json", "text", "verbose_json", "srt", "vtt", "word", "segment", "logprobs", "fast", "accurate", "whisper-1"),
    *("en", "auto", "xx", "English", "\x00", "\ud7ff", "语" * 3000, "x" * 5000),
)

FILE_NAMES = ("a.wav", "", "x" * 2000, "../../a.wav", "音.mp3", 'a".wav', "a.wav;b", "no-extension", "a\x01\x7fb.wav")

BOUNDARY = b"fuzzed-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


CONTENT_TYPES = (
    *("application/json", "text/plain", "multipart/form-data", "*/*", "x" * 1000),
    *("multipart/form-data; boundary=", "multipart/form-data; boundary=another", "multipart/form-data; boundary=a b"),
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One request."""

    name: str
    """Description of the request, for the report."""
    path: str
    body: bytes
    content_type: str


def media_attacks(dice: random.Random) -> Iterator[Attack]:
    """Endless damaged media in valid forms; the formats alternate."""
    seeds = media.seeds()
    while True:
        for name, data in seeds.items():
            other = seeds[dice.choice(list(seeds))]
            fields = [("response_format", dice.choice(["json", "text", "verbose_json", "srt"]))]
            body = form_of(fields, media.damaged(data, other, dice), f"a.{name}")
            yield Attack(f"media {name}", "/v1/audio/transcriptions", body, CONTENT_TYPE)


def form_attacks(dice: random.Random) -> Iterator[Attack]:
    """Endless valid media in odd forms, and forms damaged byte by byte."""
    sane = media.seeds()["flac"]
    while True:
        fields = [(dice.choice(FIELDS), dice.choice(VALUES)) for _ in range(dice.choice([0, 1, 1, 2, 5]))]
        fields.append(("response_format", dice.choice(["json", "text", "verbose_json", "srt", "vtt"])))
        body = form_of(fields, sane, dice.choice(FILE_NAMES))
        content_type = CONTENT_TYPE
        if dice.random() < 0.3:
            body = media.damaged(body, sane, dice)
        if dice.random() < 0.1:
            content_type = dice.choice(CONTENT_TYPES)
        yield Attack("form", f"/v1/audio/{dice.choice(ROUTES)}", body, content_type)


def form_of(fields: list[tuple[str, str]], file: bytes, file_name: str) -> bytes:
    """A `multipart/form-data` body (RFC 7578) with names and values unchanged, valid or not."""
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (_bytes(name), _bytes(value)) for name, value in fields
    ]
    head = b'Content-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: audio/x\r\n\r\n'
    parts.append(head % _bytes(file_name) + file)
    return b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY, part) for part in parts) + b"--%s--\r\n" % BOUNDARY


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
