"""Recognises the pieces of an archive's recordings on a server."""

from __future__ import annotations

import asyncio
import tempfile
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from steno.archive.manifest import ModelIdentity
from steno.cli.transcriber import in_daemon_thread
from steno.client import Client
from steno.client.exceptions import ServerError
from steno.errors import UnsupportedLanguageError
from steno.languages import code_of
from steno.stage_times import StageTimes
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.archive.piece_recognizer import PieceSession
    from steno.types import Audio, Segment, Word

BUSY = (429, 503)
FIRST_PAUSE_S, MAX_PAUSE_S, PATIENCE_S = 1.0, 30.0, 600.0
"""A server that is busy is asked again for this long, with pauses that double."""


class ServerRecognizer:
    """A steno server. Each piece is a request of its own; its words come with it.

    Args:
        health: the server's answer to `GET /health`.
        parallel: requests at once for one recording.
    """

    def __init__(self, client: Client, health: dict[str, str], parallel: int = 2) -> None:
        self._client = client
        self._parallel = parallel
        self.model = ModelIdentity(backend=health["backend"], id=health["model_id"])
        aligner = health.get("aligner")
        self.aligner = ModelIdentity(backend="server", id=aligner) if aligner else None

    @property
    def parallel(self) -> int:
        return self._parallel

    def check_language(self, language: str | None) -> str | None:
        if not language or language.strip().lower() == "auto":
            return None
        code = code_of(language)
        if code is None:
            raise UnsupportedLanguageError(f"{language[:50]!r} is not a known language", param="language")
        return code

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PieceSession]:
        yield _ServerSession(self._client)


class _ServerSession:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._times = StageTimes()

    async def recognize(self, audio: Audio, language: str | None, speech_s: float) -> Hypothesis:
        pause_s, waited_s = FIRST_PAUSE_S, 0.0
        while True:
            try:
                return await in_daemon_thread(lambda: self._send(audio, language))
            except ServerError as error:
                if error.status not in BUSY or waited_s >= PATIENCE_S:
                    raise
                logger.info("the server is busy; next try in {:.0f} s", pause_s)
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def align(self, audio: Audio, hypothesis: Hypothesis) -> tuple[Word, ...] | None:
        return hypothesis.words or None

    def timings_s(self) -> dict[str, float]:
        """The server's stages."""
        return self._times.seconds

    def _send(self, audio: Audio, language: str | None) -> Hypothesis:
        with tempfile.TemporaryDirectory(prefix="steno-") as folder:
            path = Path(folder) / "piece.wav"
            _write_wav(path, audio)
            found = self._client.transcribe(path, language=language)
        self._times.add_all(found.timings_s)
        return Hypothesis(found.text, found.language, found.words, _confidence(found.segments))


def _write_wav(path: Path, audio: Audio) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((audio * 32767).clip(-32768, 32767).astype("<i2").tobytes())


def _confidence(segments: Sequence[Segment]) -> float | None:
    """Mean confidence, weighted by duration; None if there is none."""
    known = [
        (each.confidence, max(each.end_s - each.start_s, 0.01)) for each in segments if each.confidence is not None
    ]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None
