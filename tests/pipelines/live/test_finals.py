"""What a final gets before it is told: in order, and nobody is held up by an LLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from engine.virtual import now, run
from steno.captions.cues import CueStyle
from steno.pipelines.live.finals import MAX_WAITING, TRANSLATION_S, Finals
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import SpeakersChanged
from steno.streaming.events import Final, Partial
from steno.translation.llm import Llm, LlmSettings
from steno.translation.translator import LanguagePair, TranslatedLine, Translator

FRENCH = LiveOptions(translate_to="fr")


class SlowTranslator(Translator):
    """Answers each text after its own time."""

    def __init__(self, **seconds: float) -> None:
        super().__init__(Llm(LlmSettings("http://localhost:1", None, "m", 1.0, 0)))
        self._seconds = seconds

    async def translate(
        self, lines: Sequence[str], wanted: LanguagePair, timeout_s: float | None = None, *, is_live: bool = False
    ) -> list[TranslatedLine]:
        assert is_live
        wait_s = self._seconds.get(lines[0], 0.0)
        await asyncio.sleep(min(wait_s, timeout_s or wait_s))
        late = timeout_s is not None and wait_s > timeout_s
        return [TranslatedLine(lines[0], "too late") if late else TranslatedLine(f"{lines[0]} en {wanted.target}")]


def final(n: int, text: str, **changes: Any) -> Final:
    return replace(Final(n, float(n), n + 1.0, text, "endpoint", (n + 0.1, n + 0.9), "en"), **changes)


def finals_of(translator: Translator | None) -> tuple[Finals, list[tuple[float, Final | Partial | SpeakersChanged]]]:
    told: list[tuple[float, Final | Partial | SpeakersChanged]] = []
    return Finals(lambda event: told.append((now(), event)), CueStyle(), translator), told


def test_a_changed_speaker_is_told_after_the_final_that_it_concerns() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=5))
        finals.take_after(SpeakersChanged({7: "A"}))
        finals.take(final(0, "slow"), FRENCH)
        finals.take_after(SpeakersChanged({0: "B"}))
        await finals.done()
        done = [(at, event) for at, event in told if not isinstance(event, Partial)]
        translated = final(0, "slow", translation="slow en fr")
        assert done == [(0, SpeakersChanged({7: "A"})), (5, translated), (5, SpeakersChanged({0: "B"}))]

    run(main())


def test_translations_that_come_out_of_order_are_told_in_order() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=5, quick=1))
        finals.take(final(0, "slow"), FRENCH)
        finals.take(final(1, "quick"), FRENCH)
        await finals.done()
        done = [(at, event.translation) for at, event in told if isinstance(event, Final)]
        assert done == [(5, "slow en fr"), (5, "quick en fr")]
        assert [(at, event.stable) for at, event in told if isinstance(event, Partial)] == [(0, "slow"), (0, "quick")]

    run(main())


def test_a_translation_that_takes_too_long_is_left_out() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=60))
        finals.take(final(0, "slow"), FRENCH)
        await finals.done()
        assert told[-1] == (TRANSLATION_S, final(0, "slow"))

    run(main())


def test_finals_without_text_or_with_an_error_are_not_translated_but_keep_their_place() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=2))
        for event in (final(0, "slow"), final(1, "")):
            finals.take(event, FRENCH)
        await finals.done()
        assert [(at, e.segment_id, e.translation) for at, e in told if isinstance(e, Final)] == [
            (2, 0, "slow en fr"), (2, 1, None),
        ]  # fmt: skip

    run(main())


def test_when_too_many_wait_the_rest_go_without() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=3))
        for n in range(MAX_WAITING + 2):
            finals.take(final(n, "slow"), FRENCH)
        await finals.done()
        translated = [event.translation is not None for _, event in told if isinstance(event, Final)]
        assert translated == [True] * MAX_WAITING + [False] * 2

    run(main())


def test_leaving_ends_the_translations_that_are_under_way() -> None:
    async def main() -> None:
        finals, told = finals_of(SlowTranslator(slow=9))
        finals.take(final(0, "slow"), FRENCH)
        await asyncio.sleep(1)
        await finals.aclose()
        await asyncio.sleep(20)
        assert [event for _, event in told if isinstance(event, Final)] == []

    run(main())


def test_a_backend_without_word_times_gets_them_guessed_between_the_first_and_the_last_sound() -> None:
    async def main() -> None:
        finals, told = finals_of(None)
        finals.take(final(0, "ask not what"), LiveOptions(words=True))
        words = told[0][1].words
        assert [word.text for word in words] == ["ask", "not", "what"]
        assert (words[0].start_s, words[-1].end_s) == pytest.approx((0.1, 0.9))

    run(main())
