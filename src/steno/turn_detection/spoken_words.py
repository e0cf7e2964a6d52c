"""Text as the network of `SentenceEnds` reads it: words without case or punctuation, as numbers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

CONTEXT = 40
"""Words that the network reads."""
ENDINGS = 1024
"""Number of hash values of words' endings, which stand in for words that are not in the vocabulary."""
ENDING_LETTERS = 3
NUMBER = "0"
"""Stands for all numbers in digits."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]+")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_DIGIT_GROUPS = re.compile(r"(?<=\d)[.,:](?=\d)")


def words_of(text: str) -> list[str]:
    """The words of English `text`, in lower case; `NUMBER` for numbers in digits."""
    plain = _HYPHEN.sub(" ", text.lower().replace("’", "'").replace("_", ""))
    return [NUMBER if word[0].isdigit() else word for word in _WORD.findall(_DIGIT_GROUPS.sub("", plain))]


def ids_of(words: Sequence[str], vocabulary: Mapping[str, int]) -> NDArray[np.int64]:
    """The number of each word in the vocabulary (0 = it is not there) and of its ending. Shape [2, words]."""
    endings = [zlib.crc32(word[-ENDING_LETTERS:].encode()) % ENDINGS for word in words]
    return np.array([[vocabulary.get(word, 0) for word in words], endings], np.int64).reshape(2, -1)
