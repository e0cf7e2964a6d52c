"""The model runner: one model's step loop. A step prefills a batch, or verifies drafts and decodes one token per slot.

Expensive prefill (a long recording's windows and prompt) is chunked while any utterance is live, so that a live request
waits for at most one step of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from loguru import logger

from steno.backends.base import SlotUsage
from steno.backends.drafts import Ids, rest_of
from steno.backends.qwen.batching.prefill_queue import MAX_LIVE_PREFILL_TOKENS, PrefillQueue
from steno.backends.qwen.batching.request import Request, nan_error, step_error
from steno.backends.qwen.batching.slot_allocator import SlotAllocator
from steno.backends.qwen.batching.slot_placement import SlotPlacement
from steno.backends.qwen.model.decoder import Block, PrefillRequest
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.qwen.model.sampling import SampledToken
from steno.backends.repetition import cut_at

if TYPE_CHECKING:
    from steno.backends.qwen.batching.slot_allocator import CachedUtterance
    from steno.backends.qwen.model.audio_state import AudioState
    from steno.backends.qwen.model.model import AsrModel
    from steno.errors import StenoError

MAX_LIVE_WINDOWS: dict[Scale, int] = {"cuda": 32, "cpu": 1}
"""Max windows of recordings that are encoded per step while any utterance is live."""

MAX_REJECTIONS = 8
"""After so many rejections the rest of a draft is not tried again."""


class ModelRunner:
    """Batches requests over one model.

    Args:
        model: the loaded model.
        reserved: slots that recordings do not get. The engine reserves slots for live work itself; where the model has
            fewer slots than the engine knows of, they are reserved here.
        incremental: whether a live utterance's steps reuse its cached state. If not, each step starts from nothing: the
            reference for tests.
    """

    def __init__(self, model: AsrModel, *, reserved: int = 0, incremental: bool = True) -> None:
        self.model = model
        self.slot_allocator = SlotAllocator([one.slots for one in model.classes])
        self.placement = SlotPlacement(model, self.slot_allocator)
        self._incremental = incremental
        self._scale = scale_of(model.device)
        self._prefill_queue = PrefillQueue(self.slot_allocator, reserved, self._scale)
        self.decoding: list[Request] = []
        self._steps = 0
        self._has_prefilled = False
        self.proposed = 0
        """Draft tokens that were verified."""
        self.accepted = 0
        """Draft tokens that were accepted."""
        self.preemptions = 0
        """Requests that lost their slot, because they outgrew it while all longer ones were busy."""

    @property
    def requests(self) -> list[Request]:
        return [*self._prefill_queue, *self.decoding]

    def slot_usage(self) -> SlotUsage:
        """Callable from any thread."""
        return SlotUsage(tuple(self.slot_allocator.uses()), self.preemptions)

    def add_request(self, request: Request) -> None:
        key = request.params.utterance
        if key is not None:
            request.cached = self.slot_allocator.cached(key)
            request.cached.begin_request(self._steps)
        request.slot_class = self.placement.class_for(request, request.proposed)
        self._prefill_queue.append(request)

    def abort_request(self, request: Request) -> None:
        """Cancel the request. No-op if it has finished, or is not this runner's."""
        if request not in self.requests:
            return
        if request in self._prefill_queue and request.slot is not None:
            self.model.zero_slot(request.slot)  # the prefilled states have not been checked: they may contain NaN
        self._remove(request)

    def forget(self, utterance: str) -> None:
        self.slot_allocator.forget(utterance)

    def step(self) -> list[Request]:
        """Prefill a batch, or decode. Returns the requests that are done or failed."""
        self._steps += 1
        # Without live utterances, prefill goes first for as long as there are free slots: a decoding iteration costs
        # much the same for few requests as for many.
        must_decode = self._has_prefilled and self.decoding and self.slot_allocator.is_live
        batch = [] if must_decode else self._prefill_queue.next_batch(self.decoding)
        self._has_prefilled = bool(batch)
        if batch:
            return self._guarded(self._prefill, batch)
        drafted = [request for request in self.decoding if request.draft]
        plain = [request for request in self.decoding if not request.draft]
        done = self._guarded(self._verify, drafted) if drafted else []
        return done + (self._guarded(self._decode, plain) if plain else [])

    def _guarded(self, do: Callable[[Sequence[Request]], list[Request]], requests: Sequence[Request]) -> list[Request]:
        """A failure fails these requests alone; where memory runs out, the batch is retried in halves."""
        try:
            return do(requests)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to the requests that failed
            if isinstance(error, torch.OutOfMemoryError) and len(requests) > 1:
                logger.warning("out of memory with a batch of {}: retrying in halves", len(requests))
                half = len(requests) // 2
                return [done for some in (requests[:half], requests[half:]) for done in self._guarded(do, some)]
            logger.opt(exception=error).error("a step over a batch of {} failed: {}", len(requests), error)
            return [self._fail(request, step_error()) for request in requests if not request.done]

    def _prefill(self, requests: Sequence[Request]) -> list[Request]:
        requests = [request for request in requests if request.slot is not None or self._begin_prefill(request)]
        requests.sort(key=lambda request: request.slot or 0)  # slots of one class side by side are read together
        states = [request.audio_state for request in requests if request.audio_state is not None]
        self.model.extend_audio([(state, one.params.audio) for state, one in zip(states, requests, strict=True)])
        is_shared = self.slot_allocator.is_live and not any(request.is_live for request in requests)
        self.model.encode(states, MAX_LIVE_WINDOWS[self._scale] if is_shared else None)
        budget = MAX_LIVE_PREFILL_TOKENS[self._scale] if is_shared else None
        encoded = [
            request
            for request in requests
            if request.audio_state is not None and not request.audio_state.missing_windows()
        ]
        if not encoded:
            return []
        prefills = [self._prefill_request(request, budget) for request in encoded]
        done: list[Request] = []
        for request, prefill, sampled in zip(encoded, prefills, self.model.prefill(prefills), strict=True):
            if prefill.needs_logits:
                self._prefill_queue.remove(request)
                self.decoding.append(request)
                done += self._take(request, sampled)
        return done

    def _begin_prefill(self, request: Request) -> bool:
        """Allocate the slot, and at the first time the audio state. Returns whether there was a slot."""
        is_first = request.audio_state is None
        draft, forced = self._expected(request) if is_first else (request.draft, request.forced)
        if not self.placement.place(request, draft, self._steps) or request.slot is None:
            return False
        request.draft, request.forced = draft, forced
        if not self._incremental:
            self.model.decoder.reset_slot(request.slot)
        if is_first:
            request.audio_state = self._audio_state(request.cached)
            request.loop_safe = forced
            self.proposed += len(draft) - forced
        return True

    def _audio_state(self, cached: CachedUtterance | None) -> AudioState:
        """The utterance's audio state, or a new one."""
        reused = cached.audio_state if cached is not None and self._incremental else None
        state = reused or self.model.encoder.new_audio_state()
        if cached is not None:
            cached.audio_state = state
        return state

    def _expected(self, request: Request) -> tuple[Ids, int]:
        """The draft, and how many of its leading tokens are forced: the last text's tokens that are stable."""
        params, cached, proposed = request.params, request.cached, request.proposed
        last = cached.tokens if cached is not None and cached.language == params.language else ()
        forced = self.model.output_parser.covered(last, params.language, params.stable) if params.stable else 0
        draft = proposed if proposed[:forced] == last[:forced] else ()
        if not self._incremental:
            return last[:forced], forced
        return (draft or last)[: request.max_tokens - 1], min(forced, request.max_tokens - 1)

    def _prefill_request(self, request: Request, budget: int | None) -> PrefillRequest:
        assert request.audio_state is not None
        assert request.slot is not None
        before, tail = self.model.prompt_builder.around(request.params.context, request.params.language)
        blocks: list[Block] = [before, *request.audio_state.embeddings]
        portion = len(blocks) if budget is None else self._portion(request.slot, blocks, budget)
        if portion < len(blocks):
            return PrefillRequest(request.slot, blocks[:portion], needs_logits=False)
        return PrefillRequest(request.slot, blocks, tail, request.draft, request.forced, self._already_sampled(request))

    def _already_sampled(self, request: Request) -> list[SampledToken]:
        """The forced tokens with their cached log-probabilities. A final gets none: it asks the model again for all of
        its text, how probable it is and whether it would differ. A preempted request gets its own."""
        if request.preempted:
            return list(request.preempted)
        if request.params.final or request.cached is None or not self._incremental:
            return []
        logprobs = request.cached.logprobs[: request.forced]
        return [SampledToken(token, logprob, token) for token, logprob in zip(request.draft, logprobs, strict=False)]

    def _portion(self, slot: int, blocks: Sequence[Block], budget: int) -> int:
        """How many of `blocks` the slot holds after this step: those that add at most `budget` tokens, but at least
        one new block."""
        missing = [self.model.decoder.missing_tokens(slot, blocks[: count + 1]) for count in range(len(blocks))]
        fitting = sum(tokens <= budget for tokens in missing)
        return max(fitting, sum(tokens == 0 for tokens in missing) + 1)

    def _verify(self, requests: Sequence[Request]) -> list[Request]:
        by_slot = {request.slot: request for request in self._with_room(requests) if request.slot is not None}
        if not by_slot:
            return []
        sampled = self.model.verify({slot: (request.tokens[-1], *request.draft) for slot, request in by_slot.items()})
        return [done for slot, tokens in sampled.items() for done in self._take(by_slot[slot], tokens)]

    def _decode(self, requests: Sequence[Request]) -> list[Request]:
        by_slot = {request.slot: request for request in self._with_room(requests) if request.slot is not None}
        if not by_slot:
            return []
        sampled = self.model.decode({slot: request.tokens[-1] for slot, request in by_slot.items()})
        return [done for slot, token in sampled.items() for done in self._take(by_slot[slot], [token])]

    def _with_room(self, requests: Sequence[Request]) -> list[Request]:
        """Those whose slot has room for their next tokens. Others move to a longer slot, or wait for one."""
        for request in self.placement.outgrown(requests):
            if self._prefill_queue.may_move(request, self.decoding):
                self.placement.exchange(request, self._steps)
            else:
                self._preempt(request)
        return [request for request in requests if request.slot is not None]

    def _preempt(self, request: Request) -> None:
        """Take the slot away, and queue the request for a longer one, where its text so far is prefilled."""
        request.preempted = list(map(SampledToken, request.tokens, request.logprobs, request.tokens))
        request.draft = (*request.tokens, *request.draft)[: request.max_tokens - 1]
        request.forced = len(request.tokens)
        request.tokens, request.logprobs = [], []
        assert request.slot is not None
        self.slot_allocator.free(request.slot)
        request.slot = None
        self.decoding.remove(request)
        self._prefill_queue.insert(0, request)
        self.preemptions += 1

    def _take(self, request: Request, sampled: Sequence[SampledToken]) -> list[Request]:
        """Append sampled tokens: the one behind the request's text, and the one behind each draft token for as long as
        the draft is accepted.

        Returns the request if it is done.
        """
        if any(math.isnan(token.logprob) for token in sampled):
            logger.error("the model's output for a piece of {} samples is NaN", len(request.params.audio))
            return [self._fail(request, nan_error())]
        draft, forced = request.draft, request.forced
        request.draft, request.forced, request.preempted = (), 0, ()
        for n, token in enumerate(sampled):
            request.diverged |= token.token != token.argmax
            if self._append(request, token):
                return [self._finish(request)]
            if n < len(draft) and draft[n] == token.token:
                self.accepted += n >= forced
                continue
            self._continue_after(request, draft, n)
            break
        return []

    def _append(self, request: Request, sampled: SampledToken) -> bool:
        """Append one token. Returns whether the text ends: by a stop token, a repetition loop, or the token limit."""
        if sampled.token in self.model.stop_token_ids:
            return True
        request.tokens.append(sampled.token)
        request.logprobs.append(sampled.logprob)
        is_full = len(request.tokens) >= request.max_tokens
        start = cut_at(request.tokens, min_length=request.loop_safe, is_full=is_full)
        if start is not None:
            del request.tokens[start:], request.logprobs[start:]
            request.repetition = True
            return True
        if not is_full:
            return False
        logger.warning("a text was cut off at {} tokens, the limit for its audio", len(request.tokens))
        return True

    def _continue_after(self, request: Request, draft: Ids, accepted: int) -> None:
        """Rewind the KV cache to the accepted tokens. After a rejection one token is decoded, by which the rest of the
        draft is aligned and tried again."""
        assert request.slot is not None
        self.model.decoder.rewind(request.slot, len(draft) - accepted)
        if accepted < len(draft):
            request.rejections += 1
            request.rejected_draft = (draft, accepted) if request.rejections <= MAX_REJECTIONS else None
        elif request.rejected_draft is not None:
            request.draft = rest_of(*request.rejected_draft, request.tokens[-2], request.tokens[-1])
            request.rejected_draft = None

    def _finish(self, request: Request) -> Request:
        cached = request.cached
        if cached is not None:
            cached.tokens, cached.logprobs = tuple(request.tokens), tuple(request.logprobs)
            cached.language = request.params.language
            cached.samples = len(request.params.audio)
        self._remove(request)
        return request

    def _fail(self, request: Request, error: StenoError) -> Request:
        request.failure = error
        if request.slot is not None:
            self.model.zero_slot(request.slot)
        if request.cached is not None:
            request.cached.audio_state = None  # it may hold the cause of the failure
        self._remove(request)
        return request

    def _remove(self, request: Request) -> None:
        request.done = True
        (self._prefill_queue if request in self._prefill_queue else self.decoding).remove(request)
        cached, utterance = request.cached, request.params.utterance
        if cached is not None:
            cached.end_request()
        if request.slot is not None:
            self.slot_allocator.free(request.slot)
        if request.params.final and utterance is not None and cached is not None and not cached.active_requests:
            self.slot_allocator.forget(utterance)
