"""The first look at a vLLM server: which model it serves, whether it is Qwen3-ASR, and which endpoint it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from steno.backends.vllm.engine_args import MAX_TOKENS
from steno.backends.vllm.generate_wire import GENERATE
from steno.backends.vllm.server_errors import ServerFailedError
from steno.backends.vllm.token_generator import VllmPriority
from steno.backends.vllm.transcriptions_wire import TRANSCRIPTIONS

if TYPE_CHECKING:
    from steno.backends.vllm.generate_wire import GenerateWire
    from steno.backends.vllm.http_connection import HttpConnection

AUDIO_TOKEN = "<|audio_pad|>"
MESSAGE_CHARS = 300

NO_ENDPOINT = (
    "has no endpoint for tokens: whole utterances are sent to /v1/audio/transcriptions, without stable text and "
    "confidence; start it with --enable-scale-out --scheduling-policy priority --enable-mm-embeds (vLLM 0.32 or newer)"
)
NO_PRIORITIES = "runs without --scheduling-policy priority: live requests wait for uploads"


@dataclass(frozen=True, slots=True)
class Served:
    """What a server offers."""

    model: str
    """The served name."""
    is_exact: bool
    has_priorities: bool = True
    warning: str | None = None
    """What is lost with this server, if anything."""


async def inspect(connection: HttpConnection, model_id: str, wire: GenerateWire) -> Served:
    """
    Raises:
        KeyRefusedError: the key.
        ServerFailedError: another model, or neither endpoint.
    """
    status, answer = await connection.get("/v1/models")
    if status != 200:
        raise ServerFailedError(f"answered /v1/models with {status}: {message_of(answer)}")
    card = _chosen(_cards(answer), model_id)
    await _check_tokenizer(connection, card.id, wire)
    status, answer = await connection.post_json(GENERATE, wire.probe(card.id, VllmPriority.LIVE_PARTIAL))
    has_priorities = status != 400
    if not has_priorities:
        status, answer = await connection.post_json(GENERATE, wire.probe(card.id, VllmPriority.LIVE_FINAL))
    if status == 200:
        return Served(card.id, True, has_priorities, _complaint(card, has_priorities))
    if status not in (403, 404, 405):
        raise ServerFailedError(f"answered {GENERATE} with {status}: {message_of(answer)}")
    status, answer = await connection.post_json(TRANSCRIPTIONS, b"{}")
    if status not in (400, 415, 422):  # it has the endpoint, and misses a file
        raise ServerFailedError(f"has neither {GENERATE} nor {TRANSCRIPTIONS} ({status})")
    return Served(card.id, False, warning=NO_ENDPOINT)


def message_of(answer: bytes) -> str:
    """The beginning of an error's text, in one line."""
    try:
        document: Any = msgspec.json.decode(answer)
        message = document["error"]["message"]
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError):
        message = answer[:MESSAGE_CHARS].decode(errors="replace")
    return " ".join(str(message).split())[:MESSAGE_CHARS]


class _Card(msgspec.Struct):
    id: str
    root: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Card]


class _Tokens(msgspec.Struct):
    tokens: list[int]


def _cards(answer: bytes) -> list[_Card]:
    try:
        cards = msgspec.json.decode(answer, type=_Models).data
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ServerFailedError(f"answered /v1/models with something else than models: {error}") from None
    if not cards:
        raise ServerFailedError("serves no model")
    return cards


def _chosen(cards: list[_Card], model_id: str) -> _Card:
    """The one of `MODEL_ID`; if there is only one, under whatever name."""
    named = [card for card in cards if model_id in (card.id, card.root)]
    if named or len(cards) == 1:
        return (named or cards)[0]
    names = ", ".join(card.id for card in cards[:5])
    raise ServerFailedError(f"serves {names}, and none of them is MODEL_ID ({model_id})")


async def _check_tokenizer(connection: HttpConnection, model: str, wire: GenerateWire) -> None:
    """A model with another tokenizer would answer with nonsense. Servers without the endpoint are trusted."""
    body = msgspec.json.encode({"model": model, "prompt": AUDIO_TOKEN, "add_special_tokens": False})
    status, answer = await connection.post_json("/tokenize", body)
    if status != 200:
        return
    try:
        tokens = msgspec.json.decode(answer, type=_Tokens).tokens
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ServerFailedError(f"answered /tokenize with something else than tokens: {error}") from None
    if tokens != [wire.audio_token_id]:
        raise ServerFailedError(f"serves {model}, whose tokenizer is not the one of MODEL_ID")


def _complaint(card: _Card, has_priorities: bool) -> str | None:
    if not has_priorities:
        return NO_PRIORITIES
    if card.max_model_len is not None and card.max_model_len < MAX_TOKENS:
        return f"runs with --max-model-len {card.max_model_len}; the longest pieces need {MAX_TOKENS}"
    return None
