"""Removes what must not be in a dataset from a chat message: links, secrets, addresses, and names of people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

MENTION = "@viewer"
MIN_NAME_CHARS = 5
"""A shorter name is only removed after an `@`: it may be a word."""

_SECRET = re.compile(
    r"""(?<![\w-])(?:
        oauth:\w{20,} | (?:gh[pousr]|github_pat)_\w{20,} | (?:sk|pk|rk|hf|xox[abprs])[-_][\w-]{16,} |
        (?:AKIA|ASIA)[0-9A-Z]{16} | AIza[\w-]{30,} | eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]* |
        live_\d{5,}_\w{20,} |
        (?=[\w+/-]*\d)(?=[\w+/-]*[a-zA-Z])[\w+/-]{32,}={0,2}
    )""",
    re.VERBOSE,
)
"""Keys of known shapes, and 32 characters or more of letters and digits together."""
_URL = re.compile(
    r"(?:https?://|www\.)\S+|(?<![\w@.-])(?:[\w-]{1,63}\.)+(?:com|net|org|gg|tv|io|ly|be|me|co|de|uk|fr|ru|jp)\b(?:/\S*)?",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_MENTION = re.compile(r"(?<!\w)@\w+")
_INVISIBLE = re.compile(
    r"[\u0000-\u001f\u007f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]+"
)
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"\w+")

_REMOVED = {"email": _EMAIL, "url": _URL, "secret": _SECRET, "ip_address": _ADDRESS}


def clean_text(text: str, names: Collection[str] = (), removed: Counter[str] | None = None) -> str:
    """The text without links, secrets, e-mail and IP addresses, and with `@viewer` for names.

    Args:
        names: casefolded names of people.
        removed: counts what was removed, by kind.
    """
    counts: Counter[str] = Counter() if removed is None else removed
    cleaned = _INVISIBLE.sub(" ", text)
    for kind, pattern in _REMOVED.items():
        cleaned, found = pattern.subn(" ", cleaned)
        counts[kind] += found
    cleaned, found = _MENTION.subn(MENTION, cleaned)
    counts["mention"] += found

    def hidden(word: re.Match[str]) -> str:
        name = word[0]
        if len(name) < MIN_NAME_CHARS or name.casefold() not in names:
            return name
        counts["name"] += 1
        return MENTION

    return _SPACES.sub(" ", _WORD.sub(hidden, cleaned)).strip()
