"""Greedy decoding: audio → tokens. A draft (a live utterance's last hypothesis) is verified in one decoder pass, and
decoding continues at the first rejected token (speculative decoding): the result is the same as without a draft."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from steno.backends.drafts import Ids, rest_of
from steno.backends.moonshine.vocabulary import BOS, EOS
from steno.backends.repetition import cut_at

if TYPE_CHECKING:
    from steno.backends.moonshine.model import Cancellation, MoonshineModel
    from steno.types import Audio


class DecoderStateLike(Protocol):
    """See `model.DecoderState`."""

    def extend(self, tokens: list[int]) -> NDArray[np.float32]: ...

    def rewind(self, tokens: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """The expected text. Its first `forced` tokens are chosen regardless of the logits."""

    tokens: Ids = ()
    forced: int = 0
    lead: Ids = ()
    """Tokens of the context audio: forced as well, and not part of the result."""


@dataclass(slots=True)
class Decoding:
    """Tokens, without BOS and EOS, and the log-probability of each."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    proposed: int = 0
    """Draft tokens that were verified, without forced ones."""
    accepted: int = 0
    """Draft tokens that were accepted."""
    diverged: bool = False
    """Whether the model would have chosen another token than a forced one."""
    repetition: bool = False
    """Whether a repetition loop was cut."""
    ending: NDArray[np.float32] | None = None
    """The encoder's last states, if they were asked for. Shape [frames, width]."""


def transcribe(
    model: MoonshineModel, audio: Audio, draft: Draft, max_tokens: int, cancellation: Cancellation, ending: int = 0
) -> Decoding:
    """Decode `audio` (float32, mono, 16 kHz) into at most `max_tokens` tokens; `ending`: number of the encoder's last
    states to return. Raises CancelledRunError."""
    state = model.start(audio, cancellation)
    decoding = decode(state, draft, max_tokens)
    decoding.ending = state.audio_states[-ending:] if ending else None
    return decoding


def decode(state: DecoderStateLike, draft: Draft, max_tokens: int) -> Decoding:
    """Verify `draft`, then decode until EOS, `max_tokens` tokens or a repetition loop."""
    return _Decoder(state, draft, max_tokens).run()


class _Decoder:
    def __init__(self, state: DecoderStateLike, draft: Draft, max_tokens: int) -> None:
        self._state = state
        self._lead = draft.lead
        self._draft: Ids = draft.tokens[:max_tokens]
        self._forced = min(draft.forced, len(self._draft))
        self._max_tokens = max_tokens
        self._min_length = self._forced
        """Leading tokens that loop removal must keep."""
        self._rejected_draft: tuple[Ids, int] | None = None
        """A draft that was rejected, and the index of the first wrong token."""
        self._done = Decoding(proposed=len(self._draft) - self._forced)

    def run(self) -> Decoding:
        last, lead = [BOS, *self._lead], len(self._lead)
        while True:
            draft, forced = self._draft, self._forced
            self._draft, self._forced = (), 0
            logits = self._state.extend([*last, *draft])[lead:]
            accepted, is_done = self._take(logits, draft, forced)
            if is_done:
                return self._done
            self._state.rewind(len(draft) - accepted)
            self._propose(draft, accepted)
            last, lead = self._done.tokens[-1:], 0

    def _take(self, logits: NDArray[np.float32], draft: Ids, forced: int) -> tuple[int, bool]:
        """Append the model's choices for as long as the draft is accepted. Returns the number of accepted draft tokens,
        and whether decoding is done."""
        argmax = logits.argmax(axis=1)
        logprobs = _log_softmax(logits)
        done = self._done
        for n in range(len(draft) + 1):
            token = int(argmax[n])
            if n < forced:
                done.diverged |= token != draft[n]
                token = draft[n]
            if token == EOS:
                return n, True
            done.tokens.append(token)
            done.logprobs.append(float(logprobs[n, token]))
            if self._must_stop():
                return n, True
            if n == len(draft) or token != draft[n]:
                return n, False
            done.accepted += n >= forced
        raise AssertionError("unreachable")

    def _must_stop(self) -> bool:
        done = self._done
        is_full = len(done.tokens) >= self._max_tokens
        start = cut_at(done.tokens, min_length=self._min_length, is_full=is_full)
        if start is not None:
            done.repetition = True
            del done.tokens[start:], done.logprobs[start:]
            return True
        return is_full

    def _propose(self, draft: Ids, accepted: int) -> None:
        """After a rejection one token is decoded alone, by which the rest of the draft is aligned and tried again."""
        if accepted < len(draft):
            self._rejected_draft = (draft, accepted)
        elif self._rejected_draft is not None:
            self._draft = rest_of(*self._rejected_draft, *self._done.tokens[-2:])
            self._done.proposed += len(self._draft)
            self._rejected_draft = None


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)
