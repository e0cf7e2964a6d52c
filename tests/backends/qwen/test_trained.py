"""What the trained checkpoint says, through the backend: it listens, and its promises hold."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.base import Finished, Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.errors import AudioTooLongError, BackendError, UnsupportedLanguageError
from steno.types import SAMPLE_RATE, Hypothesis
from stepping import outcomes_of
from tiny.clips import ASR, clips, word_error_rate


@pytest.fixture(scope="module")
def backend() -> Iterator[QwenBackend]:
    backend = QwenBackend(LoadOptions(str(ASR), device="cpu", dtype="float32"), EngineOptions(slots=8))
    backend.load(lambda *_: None)
    yield backend
    backend.unload()


def run(backend: QwenBackend, works: Sequence[Recognize]) -> list[Hypothesis]:
    """All of them, as many at once as there are slots."""
    done = outcomes_of(backend, works)
    outcomes = [done[work] for work in works]
    assert all(isinstance(outcome, Hypothesis) for outcome in outcomes), outcomes
    return outcomes  # type: ignore[return-value]


def hear(backend: QwenBackend, audio: np.ndarray, **options: object) -> Hypothesis:
    return run(backend, [Recognize(audio, **options)])[0]  # type: ignore[arg-type]


def test_every_clip_is_written_down_in_its_own_language(backend: QwenBackend) -> None:
    said = [clip for clip in clips().values() if "talk" not in clip.name]
    heard = run(backend, [Recognize(clip.audio) for clip in said])
    assert word_error_rate([clip.text for clip in said], [one.text for one in heard]) <= 0.05
    assert [one.language for one in heard] == [clip.language for clip in said]


@pytest.mark.slow
def test_who_else_is_decoded_changes_nothing(backend: QwenBackend) -> None:
    works = [
        Recognize(clip.audio[: 20 * SAMPLE_RATE], None, context)
        for clip in clips().values()
        for context in ("", "Anna")
    ]
    alone = [run(backend, [work])[0] for work in works]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(works)), len(works))
        together = run(backend, [works[n] for n in order])
        assert [one.text for one in together] == [alone[n].text for n in order]


@pytest.mark.parametrize("gain_db", [0, -20, -40])
def test_quiet_speech_is_heard(backend: QwenBackend, gain_db: int) -> None:
    said = [clip for clip in clips().values() if clip.name.startswith("english")]
    gain = np.float32(10 ** (gain_db / 20))
    heard = run(backend, [Recognize(gain * clip.audio) for clip in said])
    assert word_error_rate([clip.text for clip in said], [one.text for one in heard]) <= 0.1


def test_partials_do_not_run_ahead_of_the_audio(backend: QwenBackend) -> None:
    """Of a sentence that is cut off, only what was said: the world is small enough to guess the rest."""
    ahead = total = 0
    for name in ("english-0", "english-1", "english-2", "english-3", "german-0", "german-1"):
        clip = clips()[name]
        for at_s in np.arange(1.0, clip.words[-1][2], 0.4):
            heard = hear(backend, clip.audio[: round(at_s * SAMPLE_RATE)], utterance=name, final=False)
            begun = sum(start < at_s for _, start, _ in clip.words)
            ahead += max(len(heard.text.split()) - begun, 0)
            total += begun
        backend.forget(name)
    assert ahead <= 0.02 * total


@pytest.mark.parametrize("samples", [0, 1, 7, 159, 160, 200, 3_999, 8_000])
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.03])
def test_silence_and_noise_give_no_text(backend: QwenBackend, samples: int, level: float) -> None:
    noise = np.random.default_rng(1).standard_normal(samples).astype(np.float32)
    heard = hear(backend, np.float32(level) * noise)
    assert (heard.text, heard.language) == ("", None)


def test_long_noise_gives_no_text(backend: QwenBackend) -> None:
    noise = np.random.default_rng(1).standard_normal(12 * SAMPLE_RATE).astype(np.float32)
    assert hear(backend, np.float32(0.01) * noise).text == ""


def test_a_language_that_is_forced_is_named(backend: QwenBackend) -> None:
    clip = clips()["german-0"]
    forced = hear(backend, clip.audio, language="de")
    assert forced.language == "de"
    assert word_error_rate([clip.text], [forced.text]) <= 0.2


def test_a_language_that_is_unknown_and_too_much_audio_are_refused(backend: QwenBackend) -> None:
    with pytest.raises(UnsupportedLanguageError, match="tlh"):
        backend.admit(Recognize(np.ones(16_000, np.float32), "tlh"))
    with pytest.raises(AudioTooLongError, match="41"):
        backend.admit(Recognize(np.ones(41 * SAMPLE_RATE, np.float32)))


def test_hot_words_decide_how_a_name_is_spelled(backend: QwenBackend) -> None:
    clip = next(clip for clip in clips().values() if {"Marc", "Kate"} & {word.strip(".") for word, *_ in clip.words})
    plain = hear(backend, clip.audio)
    spelled = hear(backend, clip.audio, context="Mark, Cate")
    assert ("Marc" in plain.text) or ("Kate" in plain.text)
    assert plain.text.replace("Marc", "Mark").replace("Kate", "Cate") == spelled.text


def test_words_know_how_sure_the_model_is(backend: QwenBackend) -> None:
    clip = clips()["english-0"]
    clear = hear(backend, clip.audio)
    noise = np.random.default_rng(2).standard_normal(len(clip.audio)).astype(np.float32)
    noisy = hear(backend, clip.audio + np.float32(0.1) * noise)
    assert clear.scores[-1].end == len(clear.text)
    assert clear.confidence is not None
    assert clear.confidence > 0.9
    assert noisy.confidence is None or noisy.confidence < clear.confidence


def test_a_context_that_was_not_spoken_does_not_come_out(backend: QwenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that repeats its context is heard again without one; what it says then is what was said."""
    clip = clips()["english-1"]
    context = "Anna paints two boats."
    read = backend.loaded().main.model.output_parser.read
    leaked = iter([Hypothesis(context, "en")])

    def leaky(*args: object) -> Hypothesis:
        return next(leaked, None) or read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(backend.loaded().main.model.output_parser, "read", leaky)
    heard = hear(backend, clip.audio, context=context)
    assert word_error_rate([clip.text], [heard.text]) <= 0.2


def test_a_context_that_was_spoken_does_come_out(backend: QwenBackend) -> None:
    clip = clips()["english-1"]
    assert hear(backend, clip.audio, context=clip.text).text == clip.text


def test_what_is_released_gives_its_slot_back(backend: QwenBackend) -> None:
    works = [Recognize(clip.audio) for clip in clips().values() if clip.name.startswith("english")]
    for steps in range(6):
        for work in works:
            backend.admit(work)
        finished: list[Finished] = []
        for _ in range(steps):
            finished += backend.step()
        for work in works:
            backend.release(work)
        assert backend.loaded().main.slot_allocator.unused == backend.slots
        assert not backend.step()
    assert hear(backend, works[0].audio).text == clips()["english-0"].text


def test_live_work_goes_before_the_rest(backend: QwenBackend) -> None:
    audio = clips()["english-0"].audio
    bulk = [Recognize(np.tile(audio, 8)) for _ in range(4)]
    for work in bulk:
        backend.admit(work)
    live = Recognize(audio, utterance="live")
    backend.admit(live)
    backend.step()
    allocator = backend.loaded().main.slot_allocator
    assert allocator.available(0) == backend.slots - 1
    backend.release(live)
    assert allocator.available(0) == backend.slots, "the only slot was that of the live work"
    for work in bulk:
        backend.release(work)


def test_live_work_cannot_keep_the_rest_from_its_turn(backend: QwenBackend) -> None:
    audio = clips()["english-0"].audio
    bulk = Recognize(np.tile(audio, 8))
    backend.admit(bulk)
    running = {bulk}
    outcomes: dict[Recognize, object] = {}
    for n in range(400):
        if len(running) < backend.slots:
            live = Recognize(audio[: SAMPLE_RATE + n], utterance=f"u{n}")
            backend.admit(live)
            running.add(live)
        outcomes.update({done.work: done.outcome for done in backend.step()})
        running -= outcomes.keys()
        if bulk in outcomes:
            break
    assert isinstance(outcomes.get(bulk), Hypothesis)
    for work in running:
        backend.release(work)


def test_a_batch_that_fails_fails_alone(backend: QwenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being decoded goes on, the slots come back, and the next piece is heard."""
    clip = clips()["english-0"]
    running = Recognize(clip.audio)
    backend.admit(running)
    backend.step()
    with monkeypatch.context() as broken:
        broken.setattr(backend.loaded().main.model, "encode", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        lost = Recognize(clips()["english-1"].audio)
        backend.admit(lost)
        outcomes = {done.work: done.outcome for _ in range(60) for done in backend.step()}
    assert isinstance(outcomes[lost], BackendError)
    while running not in outcomes:
        outcomes.update({done.work: done.outcome for done in backend.step()})
    assert outcomes[running].text == clip.text  # type: ignore[union-attr]
    assert backend.loaded().main.slot_allocator.unused == backend.slots


def test_a_piece_that_computes_no_numbers_is_an_error_and_leaves_nothing_in_its_slot(backend: QwenBackend) -> None:
    broken = clips()["talk"].audio.copy()
    broken[5000] = np.nan
    lost = Recognize(broken)
    backend.admit(lost)
    outcomes = {done.work: done.outcome for done in backend.step()}
    assert isinstance(outcomes[lost], BackendError)
    beside = Recognize(np.tile(clips()["english-1"].audio, 6))
    after = Recognize(clips()["english-0"].audio)
    heard = run(backend, [after, beside])
    assert heard[0].text == clips()["english-0"].text


def test_a_text_that_has_no_end_is_cut_off(backend: QwenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.loaded().main.model, "stop_token_ids", frozenset())
    heard = hear(backend, clips()["english-0"].audio)
    assert 0 < len(heard.text) < 2000
