"""Clients that speak known sentences to a server in real time, one class for each live dialect."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import websockets

FRAME_S = 0.1
PATIENCE_S = 60.0


@dataclass
class Speaker:
    """One live session of a dialect."""

    url: str
    rate: int
    encode: Callable[[bytes], str | bytes]
    ends: Sequence[str]
    """Messages that end the session."""
    text_of: Callable[[dict[str, Any]], tuple[str, bool] | None]
    """The text of a message and whether it is final; None = the message has no text."""
    is_last: Callable[[dict[str, Any]], bool]
    finals: list[str] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    """When each text came, on `time.monotonic`'s clock."""
    errors: list[str] = field(default_factory=list)

    async def speak(self, audio: np.ndarray, said: Callable[[], bool]) -> None:
        """Say `audio` (float32, 16 kHz) in real time until it ends or `said()` is true, and hear every answer."""
        size = round(FRAME_S * 16_000)
        async with websockets.connect(self.url, max_size=None, ping_timeout=None) as socket:
            listening = asyncio.create_task(self._listen(socket))
            began = time.monotonic()
            for n, start in enumerate(range(0, len(audio), size)):
                await socket.send(self.encode(_pcm(audio[start : start + size], self.rate)))
                await asyncio.sleep(max(began + (n + 1) * FRAME_S - time.monotonic(), 0))
                if said():
                    break
            for message in self.ends:
                await socket.send(message)
            async with asyncio.timeout(PATIENCE_S):
                await listening

    async def _listen(self, socket: websockets.ClientConnection) -> None:
        async for data in socket:
            message = json.loads(data)
            if "error" in str(message.get("status", message.get("type", ""))).lower():
                self.errors.append(str(message))
            if (found := self.text_of(message)) is not None and found[0]:
                self.heard.append(time.monotonic())
                if found[1]:
                    self.finals.append(found[0])
            if self.is_last(message):
                return


def native(server: str) -> Speaker:
    def text_of(message: dict[str, Any]) -> tuple[str, bool] | None:
        if "text" not in message or not (message.get("is_final") or message.get("is_partial")):
            return None
        return message["text"], bool(message.get("is_final"))

    return Speaker(
        f"{server}/ws/transcribe", 16_000, lambda pcm: pcm, ['{"action": "close"}'], text_of, lambda message: False
    )


def deepgram(server: str) -> Speaker:
    def text_of(message: dict[str, Any]) -> tuple[str, bool] | None:
        if message["type"] != "Results":
            return None
        return message["channel"]["alternatives"][0]["transcript"], bool(message["is_final"])

    url = f"{server}/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true"
    return Speaker(url, 16_000, lambda pcm: pcm, ['{"type": "CloseStream"}'], text_of, lambda message: False)


def openai(server: str) -> Speaker:
    """Ends when what was said has its last completion."""
    committing = False

    def encode(pcm: bytes) -> str:
        return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})

    def text_of(message: dict[str, Any]) -> tuple[str, bool] | None:
        kind = message["type"].removeprefix("conversation.item.input_audio_transcription.")
        return {"delta": (message.get("delta", ""), False), "completed": (message.get("transcript", ""), True)}.get(
            kind
        )

    open_items: set[str] = set()

    def is_last(message: dict[str, Any]) -> bool:
        nonlocal committing
        kind = message["type"]
        if kind == "session.updated":
            committing = True
        if kind == "input_audio_buffer.speech_started":
            open_items.add(message["item_id"])
        if kind.endswith(("transcription.completed", "transcription.failed")):
            open_items.discard(message["item_id"])
        return committing and not open_items

    # The answer to an update comes in order: what was said before it has begun as an item.
    update = json.dumps({"type": "session.update", "session": {"type": "transcription"}})
    return Speaker(f"{server}/v1/realtime?intent=transcription", 24_000, encode, [update], text_of, is_last)


def _pcm(audio: np.ndarray, rate: int) -> bytes:
    if rate != 16_000:
        audio = np.interp(np.arange(0, len(audio), 16_000 / rate), np.arange(len(audio)), audio)
    return (audio * 32767).astype("<i2").tobytes()
