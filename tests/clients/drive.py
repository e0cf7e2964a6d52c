"""Runs in the clients' environment: makes the recogniser of a snippet of `docs/clients.md` and speaks into it.

    python drive.py KIND SNIPPET RECORDING

What it is told at last is printed, a final a line, and how many interim texts came before.
"""

from __future__ import annotations

import asyncio
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

STEP_S = 0.05
PACE = 2.0
"""Times real time."""
PATIENCE_S = 60.0


async def spoken(path: str, rate: int) -> AsyncIterator[bytes]:
    """The recording and 1.5 s of silence, as a microphone would give them."""
    with wave.open(path) as recording:
        assert recording.getframerate() == rate
        data = recording.readframes(recording.getnframes()) + bytes(3 * rate)
    size = int(STEP_S * rate) * 2
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(STEP_S / PACE)


async def livekit(recogniser: Any, path: str) -> None:
    from livekit import rtc
    from livekit.agents import stt

    interims = 0
    async with recogniser.stream() as stream:

        async def speak() -> None:
            async for data in spoken(path, 24_000):
                stream.push_frame(rtc.AudioFrame(data, 24_000, 1, len(data) // 2))
            stream.flush()

        speaking = asyncio.create_task(speak())
        async for event in stream:
            interims += event.type == stt.SpeechEventType.INTERIM_TRANSCRIPT
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives[0].text:
                print(event.alternatives[0].text)
                break
        speaking.cancel()
    print(f"interims: {interims}")


async def livekit_recording(recogniser: Any, path: str) -> None:
    from livekit import rtc

    with wave.open(path) as recording:
        rate, data = recording.getframerate(), recording.readframes(recording.getnframes())
    event = await recogniser.recognize(rtc.AudioFrame(data, rate, 1, len(data) // 2))
    print(event.alternatives[0].text)


async def in_livekit(recogniser: Any, path: str, *, kind: str) -> None:
    await (livekit_recording if kind == "livekit-recording" else livekit)(recogniser, path)


async def pipecat(recogniser: Any, path: str, *, commits: bool = False) -> None:
    """`commits`: its own voice detection ends the turn, and not the server's."""
    from pipecat.frames.frames import (
        EndFrame,
        InputAudioRawFrame,
        InterimTranscriptionFrame,
        TranscriptionFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.runner import PipelineRunner
    from pipecat.pipeline.task import PipelineParams, PipelineTask
    from pipecat.processors.frame_processor import FrameProcessor

    over = asyncio.Event()
    counts = {"interims": 0}

    class Ear(FrameProcessor):
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            counts["interims"] += isinstance(frame, InterimTranscriptionFrame)
            if isinstance(frame, TranscriptionFrame):
                print(frame.text)
                over.set()
            await self.push_frame(frame, direction)

    params = PipelineParams(audio_in_sample_rate=24_000)
    task = PipelineTask(Pipeline([recogniser, Ear()]), params=params, enable_rtvi=False)
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    if commits:
        await task.queue_frame(VADUserStartedSpeakingFrame())
    async for data in spoken(path, 24_000):
        await task.queue_frame(InputAudioRawFrame(data, 24_000, 1))
    if commits:
        assert not over.is_set()
        assert counts["interims"], "no text before the commit"
        await task.queue_frame(VADUserStoppedSpeakingFrame())
    await over.wait()
    await task.queue_frame(EndFrame())
    await running
    print(f"interims: {counts['interims']}")


async def agents(recogniser: Any, path: str) -> None:
    import numpy as np
    from agents.voice import StreamedAudioInput, STTModelSettings

    audio = StreamedAudioInput()
    session = await recogniser.create_session(audio, STTModelSettings(), False, False)

    async def speak() -> None:
        async for data in spoken(path, 24_000):
            await audio.add_audio(np.frombuffer(data, np.int16))
        await audio.add_audio(None)

    speaking = asyncio.create_task(speak())
    async for text in session.transcribe_turns():
        print(text)
    await speaking
    await session.close()


async def main(kind: str, snippet: str, path: str) -> None:
    names: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_S):
        if kind.startswith("livekit"):
            from livekit.agents.utils import http_context

            async with http_context.open():
                exec(Path(snippet).read_text(), names)
                await in_livekit(names["recogniser"], path, kind=kind)
            return
        exec(Path(snippet).read_text(), names)
        if kind == "agents":
            await agents(names["recogniser"], path)
        else:
            await pipecat(names["recogniser"], path, commits=kind == "pipecat-commit")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
