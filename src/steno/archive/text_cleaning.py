"""Removes what must not be in a dataset from a chat message: links, secrets, addresses, and names of people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from steno.archive.hidden_names import hidden_names

MENTION = "@viewer"

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
    r"""[\w+.-]{1,32}://\S+ | www\.\S+ |
    (?<![\w@.-])(?:[\w-]{1,63}\.)+(?:
        [^\W\d_]{2,63}(?::\d{1,5})?/\S* |
        (?:com|net|org|info|biz|dev|app|xyz|online|site|shop|store|stream|wiki|blog|cloud|gg|tv|io|ly)\b |
        (?-i:ai|au|be|br|ca|cc|ch|cn|co|cz|de|dk|eu|fi|fm|fr|gl|hu|ie|jp|kr|me|mx|nl|nz|pl|pt|ro|ru|sh|tr|tw|ua|uk|vn)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""Anything with a scheme, `www.` or a path, and bare domains of usual ends: `end.start` without a space is no link."""
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_ADDRESS = re.compile(
    r"""(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]) |
    (?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:]) |
    (?<![\w:])(?=[a-f:]*\d)[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?(?![\w:])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_INVISIBLE = re.compile(
    r"[\u0000-\u001f\u007f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]+"
)
_SPACES = re.compile(r"\s+")
_HIDDEN = "\x01"
"""Stands for a name until the end; no text has it after `_INVISIBLE`."""

_REMOVED = {"email": _EMAIL, "url": _URL, "secret": _SECRET, "ip_address": _ADDRESS}


def clean_text(text: str, names: Collection[str] = (), removed: Counter[str] | None = None) -> str:
    """The text without links, secrets, e-mail and IP addresses, and with `@viewer` for names.

    Args:
        names: casefolded names of people.
        removed: counts what was removed, by kind.
    """
    counts: Counter[str] = Counter() if removed is None else removed
    hidden = hidden_names(frozenset(names))
    cleaned = hidden.hide_before_links(_INVISIBLE.sub(" ", text), _HIDDEN, counts)
    for kind, pattern in _REMOVED.items():
        cleaned, found = pattern.subn(" ", cleaned)
        counts[kind] += found
    cleaned = hidden.hide(cleaned, _HIDDEN, counts)
    return _SPACES.sub(" ", cleaned.replace(_HIDDEN, MENTION)).strip()
