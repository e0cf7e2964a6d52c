"""Captions live audio in this process or on a server. Both emit the same events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypedDict

from steno import client, compose
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import Failed, Lagging
from steno.streaming.events import Final, Partial

if TYPE_CHECKING:
    from steno.cli.live_audio import LiveInput
    from steno.cli.live_request import LiveRequest
    from steno.pipelines.live.notices import LiveEvent, Notice
    from steno.settings import Settings

OnEvent = Callable[[client.SegmentEvent], None]


async def caption_remotely(
    request: LiveRequest, source: LiveInput, audio: AsyncGenerator[bytes, None], on_event: OnEvent
) -> None:
    """Recognise on a steno server. Raises what `AsyncClient.stream` does."""
    url, *fallback_urls = request.servers
    async with (
        client.AsyncClient(url, request.api_key) as server,
        aclosing(audio),
        aclosing(
            server.stream(
                audio,
                encoding=source.encoding,
                sample_rate=source.sample_rate,
                language=request.language,
                words=request.words,
                translate_to=request.translate_to,
                turn_detection=request.turn_detection,
                **_speaker_options(request),
                fallback_urls=fallback_urls,
            )
        ) as events,
    ):
        async for event in events:
            if not isinstance(event, client.SpeakersChanged):
                on_event(event)


class _SpeakerArguments(TypedDict, total=False):
    diarize: bool
    num_speakers: int | None
    max_speakers: int | None


def _speaker_options(request: LiveRequest) -> _SpeakerArguments:
    asked = request.speakers
    return {} if asked is None else {"diarize": True, "num_speakers": asked.number, "max_speakers": asked.most}


async def caption_locally(
    settings: Settings,
    request: LiveRequest,
    source: LiveInput,
    audio: AsyncGenerator[bytes, None],
    on_event: OnEvent,
    on_lag: Callable[[float], None],
) -> None:
    """Recognise with an engine in this process.

    Raises:
        StenoError: an option is not supported, the model cannot be loaded, or the audio cannot be decoded.
    """
    engine = compose.engine_of(settings)
    translator = compose.translator_of(settings)
    live = compose.live_of(settings, engine, translator, _NoTelemetry())
    options = LiveOptions(
        source.encoding,
        source.sample_rate,
        language=request.language,
        words=request.words,
        translate_to=request.translate_to,
        turn_detection=request.turn_detection,
        **_speaker_options(request),
    )
    try:
        async with aclosing(audio), engine, live.open("live", live.check(options)) as stream:
            await _caption(stream, audio, on_event, on_lag)
    finally:
        await live.aclose()
        if translator is not None:
            await translator.aclose()


async def _caption(
    stream: LiveStream,
    audio: AsyncGenerator[bytes, None],
    on_event: OnEvent,
    on_lag: Callable[[float], None],
) -> None:
    feeding = asyncio.create_task(_feed(stream, audio), name="feed")
    try:
        while (item := await stream.outbox.get()) is not None:
            if isinstance(item, Failed):
                raise item.error
            if isinstance(item, Lagging):
                on_lag(item.behind_s)
            elif (event := _event_of(item)) is not None:
                on_event(event)
        await feeding
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])


async def _feed(stream: LiveStream, audio: AsyncGenerator[bytes, None]) -> None:
    try:
        async for chunk in audio:
            await stream.feed(chunk)
        await stream.finish()
    finally:
        stream.outbox.close()


def _event_of(item: LiveEvent | Notice) -> client.SegmentEvent | None:
    match item:
        case Partial():
            return client.Partial(item.segment_id, item.start_s, item.end_s, item.stable, item.draft, item.language)
        case Final():
            return client.Final(
                item.segment_id,
                item.start_s,
                item.end_s,
                item.text,
                item.language,
                item.confidence,
                item.words,
                item.translation,
                item.caption,
                item.error,
                item.speaker,
            )
        case _:
            return None


class _NoTelemetry:
    """Discards measurements: a single stream needs none."""

    def emitted(self, what: str, lag_s: float) -> None: ...

    def diverged(self) -> None: ...

    def vad_ran(self, streams: int, frames: int, busy_s: float) -> None: ...

    def turn_judged(self, judgement: str, took_s: float) -> None: ...

    def speakers_labelled(self, outcome: str, waited_s: float) -> None: ...
