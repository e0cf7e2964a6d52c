"""What Deepgram's clients send and read in a handshake, whichever of its dialects they speak."""

from __future__ import annotations

from collections.abc import Mapping

from steno.errors import StenoError
from steno.server.http.deepgram_error import headers_of, refusal_of
from steno.server.live.dialects.base import Handshake, Message
from steno.server.live.dialects.frames import MAX_JSON_BYTES
from steno.server.middleware.auth import bearer

SCHEMES = ("token", "bearer")
"""Scheme of the `Authorization` header. A browser offers the subprotocols `["token", KEY]` instead."""


class DeepgramHandshake:
    """The part of a `DialectFactory` that both dialects share."""

    max_text_bytes = MAX_JSON_BYTES
    refuses_over_socket = False

    def key_of(self, handshake: Handshake) -> str | None:
        offered = list(handshake.subprotocols)
        after = offered[1] if len(offered) > 1 and offered[0].lower() in SCHEMES else None
        return bearer(handshake.headers.get("authorization", ""), SCHEMES) or after

    def subprotocol_of(self, handshake: Handshake) -> str | None:
        first = next(iter(handshake.subprotocols), "")
        return first if first.lower() in SCHEMES else None

    def refusal(self, error: StenoError, request_id: str) -> Message:
        return refusal_of(error, request_id)

    def headers(self, request_id: str, error: StenoError | None = None) -> Mapping[str, str]:
        return headers_of(request_id, None if error is None else refusal_of(error, request_id)["err_msg"])
