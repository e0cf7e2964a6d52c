"""Audio → tokens, greedily. A draft (the last hypothesis of a live utterance) is verified in one pass of the decoder,
and decoding goes on where it was wrong: the tokens are those of decoding without it."""

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
    """As `model.DecoderState`."""

    def extend(self, tokens: list[int]) -> NDArray[np.float32]: ...

    def rewind(self, tokens: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What is expected. The first `forced` of the tokens are taken whatever the model predicts."""

    tokens: Ids = ()
    forced: int = 0
    lead: Ids = ()
    """What is said in the audio before it: forced too, and left out of the result."""


@dataclass(slots=True)
class Decoding:
    """Tokens, without BOS and EOS, and the log-probability of each."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    proposed: int = 0
    """Tokens of the draft that were verified, without forced ones."""
    accepted: int = 0
    """How many of them were right."""
    diverged: bool = False
    """Whether the model would have written another token in place of a forced one."""
    repetition: bool = False
    """Whether a repetition loop was cut."""


def transcribe(model: MoonshineModel, audio: Audio, draft: Draft, limit: int, cancellation: Cancellation) -> Decoding:
    """Decode `audio` (float32, mono, 16 kHz) into `limit` tokens at most. Raises CancelledRunError."""
    return decode(model.start(audio, cancellation), draft, limit)


def decode(state: DecoderStateLike, draft: Draft, limit: int) -> Decoding:
    """Verify `draft`, then decode until the end token, `limit` tokens or a repetition loop."""
    return _Decoder(state, draft, limit).run()


class _Decoder:
    def __init__(self, state: DecoderStateLike, draft: Draft, limit: int) -> None:
        self._state = state
        self._lead = draft.lead
        self._draft: Ids = draft.tokens[:limit]
        self._forced = min(draft.forced, len(self._draft))
        self._limit = limit
        self._floor = self._forced
        """Tokens that stay, loop or not."""
        self._broken: tuple[Ids, int] | None = None
        """A draft that was wrong, and where."""
        self._done = Decoding(proposed=len(self._draft) - self._forced)

    def run(self) -> Decoding:
        last, lead = [BOS, *self._lead], len(self._lead)
        while True:
            draft, forced = self._draft, self._forced
            self._draft, self._forced = (), 0
            logits = self._state.extend([*last, *draft])[lead:]
            right, is_over = self._take(logits, draft, forced)
            if is_over:
                return self._done
            self._state.rewind(len(draft) - right)
            self._propose(draft, right)
            last, lead = self._done.tokens[-1:], 0

    def _take(self, logits: NDArray[np.float32], draft: Ids, forced: int) -> tuple[int, bool]:
        """Append what the model predicts, as long as the draft is right. Returns how much of the draft was, and whether
        decoding is over."""
        best = logits.argmax(axis=1)
        logprobs = _log_softmax(logits)
        done = self._done
        for n in range(len(draft) + 1):
            token = int(best[n])
            if n < forced:
                done.diverged |= token != draft[n]
                token = draft[n]
            if token == EOS:
                return n, True
            done.tokens.append(token)
            done.logprobs.append(float(logprobs[n, token]))
            if self._is_over():
                return n, True
            if n == len(draft) or token != draft[n]:
                return n, False
            done.accepted += n >= forced
        raise AssertionError("unreachable")

    def _is_over(self) -> bool:
        done = self._done
        is_full = len(done.tokens) >= self._limit
        start = cut_at(done.tokens, min_length=self._floor, is_full=is_full)
        if start is not None:
            done.repetition = True
            del done.tokens[start:], done.logprobs[start:]
            return True
        return is_full

    def _propose(self, draft: Ids, right: int) -> None:
        """Behind a mistake a token is decoded alone; by these two the rest of the draft is found and tried again."""
        if right < len(draft):
            self._broken = (draft, right)
        elif self._broken is not None:
            self._draft = rest_of(*self._broken, *self._done.tokens[-2:])
            self._done.proposed += len(self._draft)
            self._broken = None


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)
