"""Drafts change what decoding costs, and not what it says."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from steno.backends.moonshine.backend import token_limit
from steno.backends.moonshine.decoding import Decoding, Draft, transcribe
from steno.backends.moonshine.decoding import decode as greedy
from steno.backends.moonshine.model import CancelledRunError, MoonshineModel
from steno.backends.moonshine.vocabulary import BOS, EOS, Vocabulary
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

CLOSE = 1.0
"""Nats. The models are quantised to int8, each activation tensor by its own scale: the same token has slightly other
logits in a pass of one token than in a pass of forty, so two candidates that are this close may change places."""


def decode(model: MoonshineModel, audio: Audio, tokens: tuple[int, ...] = (), forced: int = 0) -> Decoding:
    limit = token_limit(len(audio) / SAMPLE_RATE)
    return transcribe(model, audio, Draft(tokens, forced), limit, model.cancellation())


def margin(model: MoonshineModel, audio: Audio, plain: list[int], other: list[int]) -> float:
    """At their first difference: how much less likely the model finds `other`, in nats. 0 where they are the same."""
    at = next((n for n, (a, b) in enumerate(zip([*plain, EOS], [*other, EOS], strict=False)) if a != b), None)
    if at is None:
        return 0.0
    state = model.start(audio, model.cancellation())
    logits = state.extend([BOS])
    for token in plain[:at]:
        logits = state.extend([token])
    return float(logits[-1, [*plain, EOS][at]] - logits[-1, [*other, EOS][at]])


def cuts(speech: dict[str, Audio]) -> list[tuple[Audio, Audio]]:
    """Growing utterances: what there was at one step, and at the next."""
    steps = ((name, end) for name in ("two_cities", "beckett") for end in range(2, 9))
    return [(speech[name][: end * SAMPLE_RATE], speech[name][: (end + 1) * SAMPLE_RATE]) for name, end in steps]


@pytest.mark.slow
def test_a_draft_from_the_step_before_gives_the_tokens_of_plain_decoding(
    model: MoonshineModel, speech: dict[str, Audio]
) -> None:
    same = accepted = 0
    for before, now in cuts(speech):
        draft = tuple(decode(model, before).tokens)
        plain, drafted = decode(model, now), decode(model, now, draft)
        same += drafted.tokens == plain.tokens
        accepted += drafted.accepted
        assert margin(model, now, plain.tokens, drafted.tokens) <= CLOSE
    assert same >= len(cuts(speech)) * 0.7
    assert accepted > 50


def test_a_wrong_draft_is_repaired_wherever_it_is_wrong(model: MoonshineModel, speech: dict[str, Audio]) -> None:
    rng = random.Random(1)
    audio = speech["two_cities"][: 8 * SAMPLE_RATE]
    plain = decode(model, audio)
    for _ in range(12):
        draft = list(plain.tokens)
        at = rng.randrange(len(draft))
        match rng.randrange(3):
            case 0:
                draft[at] = rng.randrange(300, 30_000)
            case 1:
                draft.insert(at, rng.randrange(300, 30_000))
            case _:
                del draft[at]
        drafted = decode(model, audio, tuple(draft))
        assert margin(model, audio, plain.tokens, drafted.tokens) <= CLOSE
        assert drafted.accepted >= min(at, len(drafted.tokens)) - 1, "what was right before the mistake was accepted"


def test_forced_tokens_stay_and_the_decoding_says_that_the_model_disagrees(
    model: MoonshineModel, vocabulary: Vocabulary, speech: dict[str, Audio]
) -> None:
    audio = speech["two_cities"][: 5 * SAMPLE_RATE]
    right = tuple(decode(model, audio).tokens)
    agreed = decode(model, audio, right, forced=4)
    assert (agreed.diverged, tuple(agreed.tokens[:4])) == (False, right[:4])
    wrong = tuple(decode(model, speech["beckett"][: 5 * SAMPLE_RATE]).tokens)
    forced = decode(model, audio, wrong, forced=4)
    assert tuple(forced.tokens[:4]) == wrong[:4]
    assert forced.diverged
    assert "worst" in vocabulary.decode(forced.tokens)[0], "it goes on with what is said"


def test_every_token_has_its_log_probability(model: MoonshineModel, speech: dict[str, Audio]) -> None:
    done = decode(model, speech["two_cities"][: 5 * SAMPLE_RATE])
    assert len(done.logprobs) == len(done.tokens)
    assert all(logprob <= 0 for logprob in done.logprobs)
    assert np.exp(np.mean(done.logprobs)) > 0.7


def test_threads_that_share_the_model_decode_what_one_decodes(model: MoonshineModel, speech: dict[str, Audio]) -> None:
    clips = [now for _, now in cuts(speech)][::3]
    alone = [decode(model, clip).tokens for clip in clips]
    together: list[list[int]] = [[] for _ in clips]

    def work(n: int) -> None:
        together[n] = decode(model, clips[n]).tokens

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


class Looping:
    """A decoder that has `before` to say and then says `ngram` for ever."""

    def __init__(self, before: list[int], ngram: list[int]) -> None:
        self._script = before + ngram * 500
        self._length = 0

    def extend(self, tokens: list[int]) -> NDArray[np.float32]:
        logits = np.zeros((len(tokens), 100), np.float32)
        for row in range(len(tokens)):
            logits[row, self._script[self._length + row]] = 10
        self._length += len(tokens)
        return logits

    def rewind(self, tokens: int) -> None:
        self._length -= tokens


def test_a_loop_is_cut_back_to_one_and_marked() -> None:
    done = greedy(Looping([10, 11], [20, 21, 22]), Draft(), 400)
    assert done.tokens == [10, 11, 20, 21, 22]
    assert len(done.logprobs) == 5
    assert done.repetition


def test_a_loop_in_the_draft_is_cut_too_and_stable_text_stays() -> None:
    loop = tuple([10, 11] + [20, 21, 22] * 25)
    assert greedy(Looping([10, 11], [20, 21, 22]), Draft(loop), 400).tokens == [10, 11, 20, 21, 22]
    forced = greedy(Looping([10, 11], [20, 21, 22]), Draft(loop, forced=14), 400)
    assert tuple(forced.tokens) == loop[:14]
    assert forced.repetition


def test_a_chant_that_ends_is_speech_and_so_is_what_follows() -> None:
    done = greedy(Looping([10, *([20, 21, 22, 23] * 7), 30, 31, 32, 2], [5]), Draft(), 400)
    assert done.tokens == [10, *([20, 21, 22, 23] * 7), 30, 31, 32]
    assert not done.repetition


def test_a_shorter_loop_is_cut_where_the_limit_ended_it() -> None:
    done = greedy(Looping([10], [20, 21, 22, 23, 24, 25, 26]), Draft(), 60)
    assert done.tokens == [10, 20, 21, 22, 23, 24, 25, 26]
    assert done.repetition


def test_the_limit_ends_what_is_no_loop() -> None:
    done = greedy(Looping([*range(10, 90)], [5]), Draft(), 30)
    assert done.tokens == [*range(10, 40)]
    assert not done.repetition


def test_a_cancelled_run_ends_at_once(model: MoonshineModel, speech: dict[str, Audio]) -> None:
    audio = speech["two_cities"][: 30 * SAMPLE_RATE]
    cancellation = model.cancellation()
    ended: list[float] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            transcribe(model, audio, Draft(), 200, cancellation)
        except CancelledRunError as error:
            failures.append(error)
        ended.append(time.thread_time())

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    cancellation.cancel()
    thread.join()
    assert len(failures) == 1
    assert ended[0] < 0.4, "the encoder alone takes longer for half a minute"


@pytest.mark.parametrize("samples", [1600, 1601, 2000, 16_000])
def test_the_shortest_audio_is_decoded(model: MoonshineModel, speech: dict[str, Audio], samples: int) -> None:
    decode(model, speech["two_cities"][8000 : 8000 + samples])
