"""A clip said to a running server in each live dialect, and the text that comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import numpy as np
import websockets

from running import RunningServer
from talking import said
from tiny.clips import Clip

Dialect: TypeAlias = Callable[[RunningServer, Clip], Awaitable[str]]


def pcm(clip: Clip) -> bytes:
    return (clip.audio * 32767).astype("<i2").tobytes()


async def native(server: RunningServer, clip: Clip) -> str:
    return (await said(server, pcm(clip))).text


async def openai(server: RunningServer, clip: Clip) -> str:
    samples = np.interp(np.arange(0, len(clip.audio), 2 / 3), np.arange(len(clip.audio)), clip.audio)
    data = (samples * 32767).astype("<i2").tobytes()
    texts: list[str] = []
    url = server.url.replace("http", "ws") + "/v1/realtime?intent=transcription"
    async with websockets.connect(url, max_size=None) as socket:
        for start in range(0, len(data), 48_000):
            audio = base64.b64encode(data[start : start + 48_000]).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        silence = base64.b64encode(bytes(48_000)).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": silence}))
        while len(" ".join(texts).split()) < len(clip.words):
            message = json.loads(await socket.recv())
            if message["type"] == "conversation.item.input_audio_transcription.completed":
                texts.append(message["transcript"])
    return " ".join(texts)


async def deepgram(server: RunningServer, clip: Clip) -> str:
    url = server.url.replace("http", "ws") + "/v1/listen?encoding=linear16&sample_rate=16000"
    texts: list[str] = []
    async with websockets.connect(url, max_size=None) as socket:
        data = pcm(clip)
        for start in range(0, len(data), 32_000):
            await socket.send(data[start : start + 32_000])
        await socket.send('{"type": "CloseStream"}')
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "Results" and message["is_final"]:
                texts.append(message["channel"]["alternatives"][0]["transcript"])
    return " ".join(texts)
