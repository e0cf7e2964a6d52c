from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steno.backends.base import Recognize
from steno.backends.moonshine.backend import MoonshineBackend
from steno.backends.moonshine.sentence_end_probe import FRAMES, SentenceEndProbe
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio


def test_states_and_punctuation_add_to_the_log_odds() -> None:
    probe = SentenceEndProbe(np.array([1.0, 0.0, 2.0], np.float32), -0.5, 0.6, 0.4, -0.2)
    ending = np.tile(np.array([2.0, 7.0, 0.25], np.float32), (FRAMES, 1))
    assert probe.log_odds(ending, None) == pytest.approx(0.6 * 2.0 - 0.2)
    assert probe.log_odds(ending, -1.5) == pytest.approx(0.6 * 2.0 - 0.6 - 0.2)


async def test_only_live_finals_of_the_model_in_the_wheel_tell_where_sentences_end(
    wheel: Path, backend: MoonshineBackend, speech: dict[str, Audio]
) -> None:
    audio = speech["two_cities"][: round(5.0 * SAMPLE_RATE)]
    final, partial, upload = [
        await backend.recognize(Recognize(audio, utterance=name, final=final))
        for name, final in (("a", True), ("a", False), (None, True))
    ]
    assert backend.capabilities.sentence_end
    assert type(final.sentence_end) is float
    assert (partial.sentence_end, upload.sentence_end) == (None, None)
    other = MoonshineBackend(str(wheel), workers=1, live_workers=1)
    await other.load(lambda *_: None)
    heard = await other.recognize(Recognize(audio, utterance="a"))
    await other.unload()
    assert not other.capabilities.sentence_end
    assert (heard.text, heard.sentence_end) == (final.text, None)
