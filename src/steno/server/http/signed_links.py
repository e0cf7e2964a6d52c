"""Links that are allowed without an API key for a while: an audio element sends no key."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence

VALID_S = 12 * 3600


class SignedLinks:
    """Signs paths. All processes that have the same keys accept each other's links.

    Args:
        keys: the API keys; without any, nothing needs to be signed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._secret = hashlib.sha256("\n".join(["steno links", *keys]).encode()).digest()
        self.are_needed = bool(keys)

    def query_for(self, path: str) -> str:
        """The query with which `path` is allowed."""
        expires = int(time.time()) + VALID_S
        return f"expires={expires}&signature={self._signature(path, expires)}"

    def allows(self, path: str, expires: int, signature: str) -> bool:
        """Whether the link was signed here and has not expired."""
        is_genuine = hmac.compare_digest(self._signature(path, expires), signature)
        return self.are_needed and is_genuine and time.time() < expires

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()
