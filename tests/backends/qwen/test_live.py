"""The live engine: what it computed before serves the next step, and the text is that of starting from nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.backends.qwen3_asr import work_limits
from steno.errors import BackendError
from steno.streaming.hypothesis import LocalAgreement
from steno.types import SAMPLE_RATE, Hypothesis
from stepping import Spied, outcomes_of
from tiny.clips import clips

CONTEXTS = ("", "names: Cate, Marc")
LANGUAGES = (None, None, "en", "de")
REFERENCE: dict[tuple[object, ...], list[int]] = {}
"""Tokens by the model, which lives as long as the tests, and the work."""


def speech(rng: random.Random, seconds: float) -> np.ndarray:
    """Sentences in a row, each as loud as it happens to be, with pauses; at times they begin with silence."""
    parts: list[np.ndarray] = [np.zeros(rng.choice((0, 0, 300, 20_000)), np.float32)]
    sentences = [clip.audio for clip in clips().values() if "talk" not in clip.name]
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        gain = np.float32(10 ** (rng.uniform(-40, 0) / 20))
        parts += [gain * rng.choice(sentences), np.zeros(rng.randrange(8000), np.float32)]
    audio = np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]
    noise = np.random.default_rng(rng.randrange(1 << 30)).standard_normal(len(audio))
    return np.asarray(audio + rng.choice((0.0, 1e-5, 1e-3)) * noise, np.float32)


@dataclass(eq=False)
class Talk:
    """One live utterance, from step to step as a session would send it."""

    key: str
    audio: np.ndarray
    cuts: list[int]
    language: str | None
    context: str
    agreement: LocalAgreement = field(default_factory=lambda: LocalAgreement(1.0))
    done: list[Recognize] = field(default_factory=list)

    @classmethod
    def at_random(cls, rng: random.Random, key: str, longest_s: float) -> Talk:
        audio = speech(rng, rng.uniform(0.3, longest_s))
        cuts, at = [], 0
        while at < len(audio):
            at = min(at + round(rng.uniform(0.01, 2.0) * SAMPLE_RATE), len(audio))
            cuts.append(at)
        return cls(key, audio, cuts, rng.choice(LANGUAGES), rng.choice(CONTEXTS))

    def next(self) -> Recognize:
        end = self.cuts.pop(0)
        return Recognize(
            self.audio[:end],
            self.language,
            self.context,
            utterance=self.key,
            final=not self.cuts,
            stable=self.agreement.stable,
        )

    def heard(self, work: Recognize, hypothesis: Hypothesis) -> None:
        self.agreement.update(hypothesis, len(work.audio) / SAMPLE_RATE)
        self.done.append(work)


def live(backend: Spied, talks: list[Talk], rng: random.Random, uploads: list[Recognize] | None = None) -> None:
    """All of them at once, in whatever order; uploads beside them."""
    going: dict[Recognize, Talk] = {}
    waiting, alone = list(talks), list(uploads or ())
    while waiting or going or alone:
        while waiting and len(going) < backend.slots and rng.random() < 0.7:
            talk = waiting.pop(rng.randrange(len(waiting)))
            work = talk.next()
            going[work] = talk
            backend.admit(work)
        if alone and len(going) < backend.slots:
            work = alone.pop()
            going[work] = Talk("", work.audio, [], None, "")
            backend.admit(work)
        for finished in backend.step():
            assert isinstance(finished.outcome, Hypothesis), finished.outcome
            talk = going.pop(finished.work)  # type: ignore[arg-type]
            talk.heard(finished.work, finished.outcome)  # type: ignore[arg-type]
            if talk.cuts:
                waiting.append(talk)


def from_nothing(loaded: Any, talks: list[Talk]) -> dict[Recognize, list[int]]:
    """The reference: no step uses anything of the one before but what is stable.

    Tests with the same talks and other slots share what it computes.
    """
    reference, tokens = Spied(loaded, 1, incremental=False), {}
    for talk in talks:
        for work in talk.done:
            same = (id(loaded), work.audio.tobytes(), work.language, work.context, work.final, work.stable)
            if same not in REFERENCE:
                outcomes_of(reference, [work])
                REFERENCE[same] = reference.tokens[work]
            tokens[work] = REFERENCE[same]
        reference.forget(talk.key)
    return tokens


@pytest.fixture(autouse=True)
def _short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights know no end."""
    monkeypatch.setattr(work_limits, "TOKENS_PER_S", 4)


@pytest.fixture(params=["trained", "loud"])
def loaded(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("slots", "short", "count", "longest_s", "seed"),
    [
        pytest.param(1, None, 3, 12, 1, marks=pytest.mark.slow),
        (4, None, 8, 12, 2),
        (4, SlotClass(3, 100), 8, 12, 2),
        pytest.param(16, None, 16, 9, 3, marks=pytest.mark.slow),
        pytest.param(16, SlotClass(12, 70), 16, 9, 3, marks=pytest.mark.slow),
    ],
)
def test_every_step_says_what_it_would_say_from_nothing(
    loaded: Any, slots: int, short: SlotClass | None, count: int, longest_s: float, seed: int
) -> None:
    rng = random.Random(seed)
    talks = [Talk.at_random(rng, f"u{n}", longest_s) for n in range(count)]
    uploads = [Recognize(speech(rng, rng.uniform(1, 12)), rng.choice(LANGUAGES)) for _ in range(4)]
    backend = Spied(loaded, slots, short=short)
    live(backend, talks, rng, uploads)
    wanted = from_nothing(loaded, [*talks, *(Talk("", work.audio, [], None, "", done=[work]) for work in uploads)])
    different = [work for work in wanted if backend.tokens[work] != wanted[work]]
    assert not different, [(len(work.audio), work.stable) for work in different]
    assert len(wanted) > 2 * count
    assert backend.runner.slot_allocator.unused == slots
    assert (backend.runner.placement.moves > 0) == (short is not None)


@pytest.mark.slow
def test_utterances_of_thirty_seconds_and_more(loaded: Any) -> None:
    rng = random.Random(4)
    talks = [Talk.at_random(rng, f"u{n}", 1) for n in range(2)]
    for talk, seconds in zip(talks, (30.0, 33.0), strict=True):
        talk.audio = speech(rng, seconds)
        talk.cuts = [round(at * SAMPLE_RATE) for at in (*np.arange(1.7, seconds, 3.1), seconds)]
    backend = Spied(loaded, 2)
    live(backend, talks, rng)
    wanted = from_nothing(loaded, talks)
    assert {work: backend.tokens[work] for work in wanted} == wanted


def test_neighbours_do_not_matter(trained: Any) -> None:
    """The same utterance beside others and beside noise."""
    said = []
    for neighbour in (speech, lambda rng, s: np.float32(0.3) * _noise(rng, s)):
        rng = random.Random(5)
        talk = Talk.at_random(rng, "mine", 10)
        others = [Talk.at_random(rng, f"u{n}", 8) for n in range(6)]
        for other in others:
            other.audio = neighbour(rng, len(other.audio) / SAMPLE_RATE)
        backend = Spied(trained, 8)
        live(backend, [talk, *others], random.Random(6))
        said.append([backend.tokens[work] for work in talk.done])
    assert said[0] == said[1]


def _noise(rng: random.Random, seconds: float) -> np.ndarray:
    made = np.random.default_rng(rng.randrange(1 << 30)).standard_normal(round(seconds * SAMPLE_RATE))
    return np.asarray(made, np.float32)


@pytest.mark.slow
def test_a_louder_sound_changes_what_was_heard_before_it(trained: Any) -> None:
    """The floor of the features rises: what is complete is encoded again, and is what it would be at once."""
    model = Spied(trained, 1).model
    audio = np.concatenate([np.float32(0.001) * speech(random.Random(7), 20), speech(random.Random(8), 6)])
    growing, again = model.encoder.new_audio_state(), 0
    windows: list[torch.Tensor] = []
    for end in range(4000, len(audio), 4000):
        growing.extend(audio[:end])
        model.encode([growing])
        complete = growing.embeddings[: int(growing.closed_s // 8)]
        again += any(now is not then for now, then in zip(complete, windows, strict=False))
        windows = complete
        at_once = model.encoder.new_audio_state()
        at_once.extend(audio[:end])
        model.encode([at_once])
        assert torch.allclose(growing.features(0, growing.frames), at_once.features(0, at_once.frames), atol=1e-5)
        for one, other in zip(growing.embeddings, at_once.embeddings, strict=True):
            assert torch.allclose(one, other, atol=1e-3)
    assert 0 < again < 10


def test_what_is_complete_is_computed_once(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Spied(trained, 2)
    model = backend.model
    convolved, filled = 0, 0
    convolve, advance = model.encoder.audio_encoder.convolve, model.decoder.forward

    def counted_convolve(mel: torch.Tensor) -> torch.Tensor:
        nonlocal convolved
        convolved += len(mel)
        return convolve(mel)

    def counted_forward(slots: Any, starts: Any, inputs: Any, *sampling: Any) -> Any:
        nonlocal filled
        filled += sum(len(block) for blocks in inputs for block in blocks)
        return advance(slots, starts, inputs, *sampling)

    monkeypatch.setattr(model.encoder.audio_encoder, "convolve", counted_convolve)
    monkeypatch.setattr(model.decoder, "forward", counted_forward)
    audio = clips()["talk"].audio[: 24 * SAMPLE_RATE]
    talk = Talk("u", audio, list(range(8000, len(audio) + 1, 8000)), "en", "")
    live(backend, [talk], random.Random(0))
    heard_s = sum(len(work.audio) for work in talk.done) / SAMPLE_RATE
    assert convolved < 0.2 * heard_s, "each second thrice, for it came in halves, and some again after louder ones"
    assert filled < 0.8 * 13 * heard_s
    assert backend.runner.accepted > 0.7 * backend.runner.proposed > 0


def test_while_anybody_is_live_a_recording_is_taken_in_portions(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a live step waits for a window or some tokens of it, and not for half a minute of audio."""
    backend = Spied(trained, 3)
    model = backend.model
    attended: list[int] = []
    filled: list[int] = []
    attend, advance = model.encoder.audio_encoder.attend, model.decoder.forward

    def counted_attend(windows: Any) -> Any:
        attended.append(len(windows))
        return attend(windows)

    def counted_forward(slots: Any, starts: Any, inputs: Any, *sampling: Any) -> Any:
        filled.append(sum(len(block) for blocks in inputs for block in blocks))
        return advance(slots, starts, inputs, *sampling)

    monkeypatch.setattr(model.encoder.audio_encoder, "attend", counted_attend)
    monkeypatch.setattr(model.decoder, "forward", counted_forward)
    outcomes_of(backend, [Recognize(clips()["english-0"].audio, utterance="u", final=False)])
    attended.clear()
    upload = Recognize(clips()["talk"].audio[: 25 * SAMPLE_RATE])
    backend.admit(upload)
    while upload not in backend.tokens:
        backend.step()
    assert attended == [1, 1, 1, 1]
    assert max(filled) <= 256
    assert len(filled) >= 3
    backend.forget("u")
    assert (
        backend.tokens[upload] == from_nothing(trained, [Talk("", upload.audio, [], None, "", done=[upload])])[upload]
    )


def test_a_draft_that_is_wrong_changes_nothing(loaded: Any) -> None:
    audio = clips()["english-0"].audio
    backend = Spied(loaded, 1)
    work = Recognize(audio)
    live(backend, [], random.Random(0), [work])
    right = backend.tokens[work]
    rng = random.Random(1)
    for trial in range(30):
        draft = list(right)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(draft) + 1)
            draft[at : at + rng.randrange(3)] = rng.choices(range(300), k=rng.randrange(3))
        request = backend.new_request(work)
        request.proposed = tuple(draft)
        backend.runner.add_request(request)
        while not request.done:
            backend.runner.step()
        assert request.tokens == right, trial


def test_what_is_stable_is_kept_whatever_the_model_thinks(trained: Any) -> None:
    backend = Spied(trained, 1)
    audio = clips()["english-0"].audio
    talk = Talk("u", audio, [40_000, len(audio)], "en", "")
    work = talk.next()
    backend.admit(work)
    while work not in backend.tokens:
        backend.step()
    kept = backend.runner.slot_allocator.cached("u")
    told = trained.processor.tokenizer("Nobody knew this", add_special_tokens=False)["input_ids"]
    kept.tokens = (*told, *kept.tokens)
    last = replace(talk.next(), stable="Nobody knew")
    backend.admit(last)
    outcome = None
    while outcome is None:
        outcome = next((done.outcome for done in backend.step() if done.work is last), None)
    assert isinstance(outcome, Hypothesis)
    assert outcome.text.startswith("Nobody knew")
    assert outcome.confidence is not None
    assert outcome.confidence < 0.5


@pytest.mark.parametrize("short", [None, SlotClass(3, 48)])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_no_slot_is_lost_whatever_streams_do(trained: Any, seed: int, short: SlotClass | None) -> None:
    """Opened, stepped, ended, released, poisoned, forgotten: thousands of times, in any order."""
    rng = random.Random(seed)
    backend = Spied(trained, 4, short=short)
    base = clips()["english-1"].audio
    running: list[Recognize] = []
    ends: dict[str, int] = {}
    outcomes: list[object] = []
    for _ in range(700):
        match rng.randrange(10):
            case 0 | 1 | 2 | 3 if len(running) < backend.slots:
                key = f"u{rng.randrange(7)}"
                ends[key] = ends.get(key, 0) + rng.randrange(3000, 16_000)
                audio = np.resize(base, ends[key])
                if rng.random() < 0.05:
                    audio = np.where(np.arange(len(audio)) == len(audio) - 900, np.float32(np.nan), audio)
                work = Recognize(audio, utterance=key, final=rng.random() < 0.1 or ends[key] > 60_000)
                if work.final:
                    del ends[key]
                running.append(work)
                backend.admit(work)
            case 4 if running:
                work = running.pop(rng.randrange(len(running)))
                backend.release(work)
            case 5:
                key = f"u{rng.randrange(7)}"
                for work in [work for work in running if work.utterance == key]:
                    running.remove(work)
                    backend.release(work)
                ends.pop(key, None)
                backend.forget(key)
            case _:
                for finished in backend.step():
                    running.remove(finished.work)  # type: ignore[arg-type]
                    outcomes.append(finished.outcome)
    while running:
        for finished in backend.step():
            running.remove(finished.work)  # type: ignore[arg-type]
    for n in range(7):
        backend.forget(f"u{n}")
    assert backend.runner.slot_allocator.unused == backend.slots
    assert not backend.runner.requests
    kinds = {type(outcome) for outcome in outcomes}
    assert kinds == {Hypothesis, BackendError}
    work = Recognize(base)
    live(backend, [], rng, [work])
    assert backend.tokens[work] == from_nothing(trained, [Talk("", base, [], None, "", done=[work])])[work]


@pytest.fixture
def broken_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], None]]:
    def arm(model: Any, name: str) -> None:
        whole = getattr(model, name)

        def fails(*args: Any) -> Any:
            monkeypatch.setattr(model, name, whole)
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(model, name, fails)

    return arm  # type: ignore[return-value]


@pytest.mark.parametrize("where", ["encode", "prefill", "verify", "decode"])
def test_a_step_that_crashes_fails_its_rows_and_the_next_works(
    trained: Any, broken_once: Callable[[Any, str], None], where: str
) -> None:
    backend = Spied(trained, 2)
    audio = clips()["english-0"].audio
    outcomes_of(backend, [Recognize(audio[:44_000], utterance="u", final=False)])
    kept = backend.runner.slot_allocator.cached("u")
    kept.tokens = (*kept.tokens[:4], 5, *kept.tokens[5:])  # a draft that is wrong: its rest is tried once more
    assert len(kept.tokens) > 9
    broken_once(backend.model, where)
    lost = Recognize(audio[:46_000], utterance="u", final=False)
    assert isinstance(outcomes_of(backend, [lost])[lost], BackendError)
    backend.forget("u")
    assert backend.runner.slot_allocator.unused == 2
    work = Recognize(audio)
    outcomes_of(backend, [work])
    assert backend.tokens[work] == from_nothing(trained, [Talk("", audio, [], None, "", done=[work])])[work]


def test_where_memory_is_short_fewer_go_at_a_time(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Spied(trained, 8)
    whole = backend.model.prefill
    sizes: list[int] = []

    def short(fillings: Any) -> Any:
        sizes.append(len(fillings))
        if len(fillings) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(fillings)

    monkeypatch.setattr(backend.model, "prefill", short)
    works = [Recognize(clips()["english-0"].audio) for _ in range(8)]
    outcomes = outcomes_of(backend, works)
    assert {outcome.text for outcome in outcomes.values()} == {clips()["english-0"].text}
    assert max(sizes) == 8


def test_what_is_released_between_its_portions_leaves_nothing_behind(trained: Any) -> None:
    """Nobody has looked at what was filled in so far: it may be no numbers."""
    backend = Spied(trained, 2)
    outcomes_of(backend, [Recognize(clips()["english-0"].audio[:16_000], utterance="u", final=False)])
    poisoned = clips()["talk"].audio[: 25 * SAMPLE_RATE].copy()
    poisoned[5000] = np.nan
    upload = Recognize(poisoned)
    backend.admit(upload)
    values = backend.model.decoder.cache.pools[0].values
    for _ in range(20):
        backend.step()
        if any(torch.isnan(layer).any() for layer in values):
            break
    assert any(torch.isnan(layer).any() for layer in values)
    backend.release(upload)
    assert not any(torch.isnan(layer).any() for layer in values)


def test_recordings_that_have_waited_long_take_turns_with_live_rows(trained: Any) -> None:
    backend = Spied(trained, 16)
    talk, sentence = clips()["talk"].audio, clips()["english-0"].audio
    uploads = [Recognize(talk[1000 * n : 1000 * n + 380_000]) for n in range(10)]
    began: dict[Recognize, int] = {}
    waits: list[int] = []
    step = streams = 0
    while any(upload not in backend.tokens for upload in uploads):
        while len(began) < 2:
            work = Recognize(sentence[: 16_000 + 400 * (streams % 90)], utterance=f"u{streams}")
            streams += 1
            began[work] = step
            backend.admit(work)
        if step == 5:
            for upload in uploads:
                backend.admit(upload)
        step += 1
        assert step < 2000
        waits += [step - began.pop(done.work) for done in backend.step() if done.work in began]  # type: ignore[arg-type, call-overload]
    assert max(waits) <= 3 * sorted(waits)[len(waits) // 2] + 4
    for work in began:
        backend.release(work)


@dataclass(eq=False)
class Life:
    """A stream that does as it pleases."""

    talk: Talk
    end: int = 0

    def next(self, rng: random.Random, *, is_last: bool) -> Recognize:
        if rng.random() < 0.9:  # or the same audio again
            self.end = min(self.end + round(rng.uniform(0.01, 2.5) * SAMPLE_RATE), len(self.talk.audio))
        if rng.random() < 0.08:
            self.talk.language = rng.choice(LANGUAGES)
        if rng.random() < 0.08:
            self.talk.context = rng.choice(CONTEXTS)
        return Recognize(
            self.talk.audio[: max(self.end, 1)],
            self.talk.language,
            self.talk.context,
            utterance=self.talk.key,
            final=is_last or self.end == len(self.talk.audio),
            stable=self.talk.agreement.stable,
        )


@pytest.mark.parametrize("short", [None, SlotClass(2, 90)])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_texts_are_those_of_starting_from_nothing_whatever_streams_do(
    trained: Any, seed: int, short: SlotClass | None
) -> None:
    """They are reset, ended, released and forgotten, say the same again, change language and context; there are
    fewer slots than streams, and recordings beside them."""
    rng = random.Random(seed)
    backend = Spied(trained, 3, short=short)
    backend.slots = 6
    numbers = iter(range(10_000))
    new = lambda: Life(Talk.at_random(rng, f"u{next(numbers)}", 10))  # noqa: E731
    lives = [new() for _ in range(7)]
    talks: list[Talk] = []
    running: dict[Recognize, Talk] = {}

    def collect() -> None:
        for done in backend.step():
            talk = running.pop(done.work)  # type: ignore[arg-type]
            assert isinstance(done.outcome, Hypothesis)
            talk.heard(done.work, done.outcome)  # type: ignore[arg-type]

    for _ in range(300):
        n, chance = rng.randrange(len(lives)), rng.randrange(12)
        life = lives[n]
        mine = [work for work, talk in running.items() if talk is life.talk]
        if chance < 5 and len(running) < backend.slots:
            work = life.next(rng, is_last=bool(mine) or rng.random() < 0.05)
            running[work] = life.talk
            backend.admit(work)
        elif chance == 5 and len(running) < backend.slots:
            upload = Talk("", speech(rng, rng.uniform(0.5, 15)), [], None, "")
            running[Recognize(upload.audio)] = upload
            talks.append(upload)
            backend.admit(list(running)[-1])
            continue
        elif chance == 6:
            for work in mine:
                del running[work]
                backend.release(work)
            backend.forget(life.talk.key)
        else:
            collect()
            continue
        if chance == 6 or work.final:
            talks.append(life.talk)
            lives[n] = new()
    while running:
        collect()
    talks += [life.talk for life in lives]
    for talk in talks:
        backend.forget(talk.key)
    assert backend.runner.slot_allocator.unused == 3
    wanted = from_nothing(trained, talks)
    assert {work: backend.tokens[work] for work in wanted} == wanted
    assert len(wanted) > 40
