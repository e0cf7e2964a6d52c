"""The live dialects' addresses, and the way from a handshake to a session."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from fastapi import APIRouter
from loguru import logger
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from steno import request_ids, tracing
from steno.errors import AuthenticationError, OverloadedError, RetryableError, StenoError, UnavailableError
from steno.pipelines.live.live_stream import LiveStream
from steno.server.http.error_response import response_of, status_of
from steno.server.live.connection import connection_of
from steno.server.live.dialects.base import Dialect, DialectFactory, Handshake, ServerFacts
from steno.server.live.dialects.deepgram import DeepgramFactory
from steno.server.live.dialects.flux import FluxFactory
from steno.server.live.dialects.native import NativeFactory
from steno.server.live.dialects.openai import OPENAI_REALTIME
from steno.server.live.live_socket import FAREWELL_S, INTERNAL, POLICY, TRY_AGAIN, LiveSocket, SessionEnd, close
from steno.server.middleware.refusal import address_of
from steno.server.middleware.request_span import request_span
from steno.server.services import Services, services_of

LANGUAGES: tuple[tuple[str, DialectFactory], ...] = (
    ("/ws/transcribe", NativeFactory()),
    ("/v1/realtime", OPENAI_REALTIME),
    ("/v1/listen", DeepgramFactory()),
    ("/v2/listen", FluxFactory()),
)

router = APIRouter()


async def converse(socket: WebSocket, language: DialectFactory) -> None:
    """One live session, from the handshake on. Whatever goes wrong is logged, and told in the client's own dialect."""
    session_id = uuid.uuid4().hex
    with (
        request_span(socket.scope, session_id) as span,
        request_ids.within(session_id, **tracing.logged(span)),
    ):
        if span is not None:
            span.rename(f"live {language.name}")
        try:
            await _open(socket, language, session_id)
        except StenoError as error:
            await _refuse(socket, language, error, session_id)
        except WebSocketDisconnect:
            logger.info("{} client went away before its session began", language.name)
        except Exception as error:  # noqa: BLE001 - the outermost boundary: logged, and the client is told
            await _refuse(socket, language, _unforeseen(error, session_id), session_id)


async def _open(socket: WebSocket, language: DialectFactory, session_id: str) -> None:
    services = services_of(socket)
    handshake = _handshake(socket)
    with services.entry.enter(handshake, language.key_of(handshake)):
        dialect = language.open(handshake, _opening(services, session_id))
        async with services.live.open(session_id, dialect.options, address_of(socket.scope)) as stream:
            if (connection := connection_of(socket.scope)) is not None:
                connection.limit_text(language.max_text_bytes)
            headers = {"x-steno-ignored": ", ".join(dialect.ignored)} if dialect.ignored else {}
            await _accept(socket, language, {**language.headers(session_id), **headers})
            logger.info("{} session opened", language.name)
            ending = await _run(socket, language, dialect, stream, services, session_id)
        await close(socket, ending)


async def _run(
    socket: WebSocket,
    language: DialectFactory,
    dialect: Dialect,
    stream: LiveStream,
    services: Services,
    session_id: str,
) -> SessionEnd:
    metrics, limits = services.metrics, services.socket_limits
    limits = replace(limits, idle_s=language.idle_s or limits.idle_s, max_text_bytes=language.max_text_bytes)
    shutting_down = asyncio.create_task(services.engine.shutting_down(), name="drain watch")
    metrics.live_sessions.labels(language.name).inc()
    began = time.monotonic()
    reason = "failed"
    try:
        ending = await LiveSocket(socket, dialect, stream, limits).run(shutting_down)
        reason = ending.reason
        return ending
    except Exception as error:  # noqa: BLE001 - the session's boundary: logged, and told in the client's dialect
        failure = _unforeseen(error, session_id)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                for message in dialect.complaint(failure):
                    await socket.send_json(dialect.outgoing(message))
        return SessionEnd(reason, INTERNAL, failure)
    finally:
        shutting_down.cancel()
        metrics.live_sessions.labels(language.name).dec()
        metrics.live_endings.labels(language.name, reason).inc()
        metrics.live_audio.inc(stream.audio_s)
        logger.info(
            "{} session over ({}): {:.1f} s of audio, {} finals, open for {:.1f} s",
            language.name, reason, stream.audio_s, stream.finals, time.monotonic() - began,
        )  # fmt: skip


async def _accept(socket: WebSocket, language: DialectFactory, headers: Mapping[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await socket.accept(language.subprotocol_of(_handshake(socket)), encoded)


def _handshake(socket: WebSocket) -> Handshake:
    query = parse_qsl(socket.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Handshake(query, dict(socket.headers), list(socket.scope.get("subprotocols", ())))


def _opening(services: Services, session_id: str) -> ServerFacts:
    return ServerFacts(
        session_id=session_id,
        model_id=services.engine.backend.model_id,
        max_segment_s=services.live.max_segment_s,
        check=services.live.check,
        check_model=services.check_model,
    )


async def _refuse(socket: WebSocket, language: DialectFactory, error: StenoError, session_id: str) -> None:
    """Instead of a session: over the socket, or in the HTTP answer where the dialect and the server can."""
    logger.info("{} session refused: {}", language.name, error.message)
    message = language.refusal(error, session_id)
    try:
        if _reads_http(socket, language, error):
            headers = dict(response_of(error, session_id).headers)
            headers = {name: headers[name] for name in ("retry-after", "www-authenticate") if name in headers}
            headers |= language.headers(session_id, error)
            await socket.send_denial_response(JSONResponse(message, status_of(error), headers))
            return
        if (connection := connection_of(socket.scope)) is not None:
            connection.ignore_input()
        async with asyncio.timeout(FAREWELL_S):
            await _accept(socket, language, language.headers(session_id, error))
            await socket.send_json(message)
    except (WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
        return
    await close(socket, SessionEnd("refused", _code_of(error), error))


def _reads_http(socket: WebSocket, language: DialectFactory, error: StenoError) -> bool:
    """Whether the HTTP answer is the place for a refusal: a web page, which has an origin, cannot read it."""
    if "websocket.http.response" not in socket.scope.get("extensions", {}):
        return False
    has_no_key = isinstance(error, AuthenticationError) and "origin" not in socket.headers
    return has_no_key or not language.refuses_over_socket


def _unforeseen(error: Exception, session_id: str) -> StenoError:
    logger.opt(exception=error).error("unhandled {}", type(error).__name__)
    return StenoError(f"the server failed; its log has the reason under session id {session_id}")


def _code_of(error: StenoError) -> int:
    if isinstance(error, OverloadedError | UnavailableError | RetryableError):
        return TRY_AGAIN
    return POLICY if status_of(error) < 500 else INTERNAL


def _endpoint(language: DialectFactory) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(socket: WebSocket) -> None:
        await converse(socket, language)

    return endpoint


for _path, _language in LANGUAGES:
    router.add_api_websocket_route(_path, _endpoint(_language), name=_language.name)
