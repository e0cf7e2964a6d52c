"""The vocabulary: tokens → text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from steno.errors import ModelLoadError

BOS, EOS = 1, 2

_SPACE = "▁".encode()
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_CONTROL = re.compile(rb"<unk>|<s>|</s>|<<ST_\d+>>")


class Vocabulary:
    """Decodes tokens.

    Args:
        pieces: by token, its UTF-8 bytes, which may be part of a character; control tokens decode to nothing.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [b"" if _CONTROL.fullmatch(piece) else piece.replace(_SPACE, b" ") for piece in pieces]

    def __len__(self) -> int:
        return len(self._pieces)

    @classmethod
    def load(cls, file: Path) -> Vocabulary:
        """Read `tokenizer.bin` or `tokenizer.json`. Raises ModelLoadError if it cannot be read."""
        try:
            if file.suffix == ".json":
                return cls(_pieces_of_json(json.loads(file.read_text(encoding="utf-8"))))
            return cls(_pieces_of_bin(file.read_bytes()))
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"{file.name} is not a Moonshine vocabulary: {error}") from error

    def decode(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """The text of `tokens`, and the end of each token in characters of the text.

        A token that ends within a character ends before it. White space at both ends is stripped.
        """
        data = b"".join(self._pieces[token] for token in tokens)
        decoded = data.decode(errors="ignore")
        text = decoded.strip()
        before = len(decoded) - len(decoded.lstrip())
        ends: list[int] = []
        for end in accumulate(len(self._pieces[token]) for token in tokens):
            at = len(data[:end].decode(errors="ignore")) - before
            ends.append(min(max(at, 0), len(text)))
        return text, ends

    def covered(self, tokens: Sequence[int], stable: str) -> int:
        """How many leading tokens are covered by the `stable` text."""
        text, ends = self.decode(tokens)
        count = sum(1 for end in ends if end <= len(stable) and text[:end] == stable[:end])
        # A token that ends within a multi-byte character counts only once the character is complete.
        while count and ends[count - 1] == (ends[count - 2] if count > 1 else 0):
            count -= 1
        return count


def _pieces_of_bin(data: bytes) -> list[bytes]:
    """Moonshine's own format: for each token its length (a byte below 128, or two: b0 − 128 + 128·b1) and bytes."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += 128 * data[at] - 128
            at += 1
        if at + length > len(data):
            raise ValueError("it ends within a token")
        pieces.append(data[at : at + length])
        at += length
    if len(pieces) <= EOS:
        raise ValueError("it has no tokens")
    return pieces


def _pieces_of_json(document: Any) -> list[bytes]:
    """Hugging Face's tokenizers: the vocabulary of a BPE model with byte fallback, and added tokens."""
    vocab: dict[str, int] = dict(document["model"]["vocab"])
    added = {token["id"]: token for token in document.get("added_tokens", ())}
    pieces = [b""] * (max([*vocab.values(), *added]) + 1)
    for text, token in vocab.items():
        byte = _BYTE.fullmatch(text)
        pieces[token] = bytes([int(byte[1], 16)]) if byte else text.encode()
    for token, description in added.items():
        pieces[token] = b"" if description.get("special") else description["content"].encode()
    return pieces
