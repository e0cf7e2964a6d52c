"""A stream whose model is not there yet, in virtual time: that is told as loading, and is no lag."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.virtual import run
from pipelines.live.stream_harness import Listener, LiveOptions, OfflineBackend, live_of, offline_engine, pcm, speak
from steno.backends.base import Progress
from steno.errors import ModelLoadError
from steno.pipelines.live.notices import Failed, Lagging, Loading


class SlowToLoad(OfflineBackend):
    def __init__(self, load_s: float, error: Exception | None = None) -> None:
        super().__init__(rtf=0.05)
        self.load_s, self.error = load_s, error

    async def load(self, progress: Progress) -> None:
        await asyncio.sleep(self.load_s)
        if self.error is not None:
            raise self.error


def told(backend: OfflineBackend) -> Listener:
    async def main() -> Listener:
        async with offline_engine(backend) as engine, live_of(engine).open("a", LiveOptions()) as stream:
            listener = Listener(stream)
            await speak(stream, pcm(("speech", 14), ("silence", 1)))
            await stream.finish()
            await asyncio.sleep(0)
            await listener.close()
            return listener

    return run(main())


def of(listener: Listener, *kinds: type[Any]) -> list[Any]:
    return [event for _, event in listener.heard if isinstance(event, kinds)]


def test_a_model_that_loads_is_told_and_is_no_lag() -> None:
    listener = told(SlowToLoad(8.0))
    assert of(listener, Loading, Lagging) == [Loading(), Loading(is_over=True)]
    assert [round(at, 1) for at, event in listener.heard if isinstance(event, Loading)] == pytest.approx([0.5, 8.0])
    assert len(listener.finals[0].text.split()) == 28


def test_a_model_that_is_there_at_once_is_not_spoken_of() -> None:
    assert of(told(SlowToLoad(0.1)), Loading, Lagging) == []


def test_a_model_that_cannot_be_loaded_ends_the_wait() -> None:
    listener = told(SlowToLoad(3.0, ModelLoadError("no such model", retry_after_s=1)))
    assert [type(event) for event in of(listener, Loading, Failed)][:3] == [Loading, Failed, Loading]
