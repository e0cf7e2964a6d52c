"""One model and all that is heard with it at once: rows are encoded, filled into slots, verified and decoded together.

What costs much (a long recording's windows and prompt) is done in portions while anybody is live, so that nobody waits
for more than a step of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from loguru import logger

from steno.backends.drafts import rest_of
from steno.backends.qwen.batching.prefill_queue import LIVE_FILL_TOKENS, PrefillQueue
from steno.backends.qwen.batching.request import Request, RequestParams, lost, no_numbers
from steno.backends.qwen.batching.slot_allocator import SlotAllocator
from steno.backends.qwen.model.decoder import Block, PrefillRequest, SampledToken
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.repetition import cut_at

if TYPE_CHECKING:
    from steno.backends.qwen.model.model import AsrModel
    from steno.backends.qwen3_asr.prompt import Ids
    from steno.errors import StenoError

LIVE_WINDOWS: dict[Scale, int] = {"cuda": 32, "cpu": 1}
"""Windows of a recording that are encoded in one step while anybody is live."""

MISTAKES = 8
"""A draft that was wrong in more places is left alone."""


class ModelRunner:
    """See the module.

    Args:
        machine: the model.
        slots: rows at once; those beyond wait.
        reserved: slots that recordings do not get. The engine keeps some for live work by itself; where the model has
            fewer than the engine knows of, they are kept here.
        incremental: whether what was computed for a live utterance serves its next step. If not, each step starts from
            nothing: the reference.
    """

    def __init__(self, machine: AsrModel, slots: int, *, reserved: int = 0, incremental: bool = True) -> None:
        self.machine = machine
        self.places = SlotAllocator(slots)
        self._incremental = incremental
        self._scale = scale_of(machine.device)
        self._waiting = PrefillQueue(self.places, slots, reserved, self._scale)
        self._decoding: list[Request] = []
        self._steps = 0
        self._has_filled = False
        self.proposed = 0
        """Tokens of drafts that were verified …"""
        self.accepted = 0
        """… and those of them that were right."""

    @property
    def rows(self) -> list[Request]:
        return [*self._waiting, *self._decoding]

    def start(self, hearing: RequestParams) -> Request:
        key = hearing.utterance
        row = Request(hearing, self, self.places.kept(key) if key is not None else None)
        if row.kept is not None:
            row.kept.begin(self._steps)
        self._waiting.append(row)
        return row

    def stop(self, row: Request) -> None:
        """Nobody wants it any more. One that is done is fine."""
        if row.done:
            return
        if row in self._waiting and row.slot is not None:
            self.machine.wipe(row.slot)  # what was filled in so far has not been looked at: it may be no numbers
        self._leave(row)

    def forget(self, utterance: str) -> None:
        self.places.forget(utterance)

    def step(self) -> list[Request]:
        """Fill in some that wait, or decode. Returns the rows that are done, or failed."""
        self._steps += 1
        # Where nobody is live, all that there is room for is filled in first: an iteration costs much the same for
        # few rows as for many.
        must_decode = self._has_filled and self._decoding and self.places.is_live
        batch = [] if must_decode else self._waiting.next_batch(self._decoding)
        self._has_filled = bool(batch)
        if batch:
            return self._guarded(self._fill, batch)
        drafted = [row for row in self._decoding if row.draft]
        plain = [row for row in self._decoding if not row.draft]
        done = self._guarded(self._verify, drafted) if drafted else []
        return done + (self._guarded(self._decode, plain) if plain else [])

    def _guarded(self, do: Callable[[Sequence[Request]], list[Request]], rows: Sequence[Request]) -> list[Request]:
        """A failure is that of these rows alone; where memory is short, half of them at a time may go."""
        try:
            return do(rows)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to those whom it concerns
            if isinstance(error, torch.OutOfMemoryError) and len(rows) > 1:
                logger.warning("memory is short for {} pieces at once: half of them at a time", len(rows))
                half = len(rows) // 2
                return [done for some in (rows[:half], rows[half:]) for done in self._guarded(do, some)]
            logger.opt(exception=error).error("a step over {} pieces failed: {}", len(rows), error)
            return [self._fail(row, lost()) for row in rows if not row.done]

    def _fill(self, rows: Sequence[Request]) -> list[Request]:
        for row in rows:
            self._hear(row)
        sounds = [row.sound for row in rows if row.sound is not None]
        is_shared = self.places.is_live and not any(row.is_live for row in rows)
        self.machine.encode(sounds, LIVE_WINDOWS[self._scale] if is_shared else None)
        budget = LIVE_FILL_TOKENS[self._scale] if is_shared else None
        heard = [row for row in rows if row.sound is not None and not row.sound.lacks()]
        if not heard:
            return []
        fillings = [self._filling(row, budget) for row in heard]
        done: list[Request] = []
        for row, filling, choices in zip(heard, fillings, self.machine.fill(fillings), strict=True):
            if filling.wants:
                self._waiting.remove(row)
                self._decoding.append(row)
                done += self._take(row, choices)
        return done

    def _hear(self, row: Request) -> None:
        """Give the row a slot, and its sound the audio."""
        kept = row.kept
        if row.sound is None:
            known = kept.sound if kept is not None and self._incremental else None
            row.sound = known or self.machine.sound()
            if kept is not None:
                kept.sound = row.sound
            row.slot = self.places.lend(kept, self._steps)
            row.draft, row.forced = self._expected(row)
            row.kept_from_loops = row.forced
            self.proposed += len(row.draft) - row.forced
            if not self._incremental:
                self.machine.empty(row.slot)
        self.machine.hear(row.sound, row.hearing.audio)

    def _expected(self, row: Request) -> tuple[Ids, int]:
        """The draft, and how much of it is forced: the tokens of the last text that are stable."""
        hearing, kept = row.hearing, row.kept
        last = kept.tokens if kept is not None and kept.language == hearing.language else ()
        forced = self.machine.reader.covered(last, hearing.language, hearing.stable) if hearing.stable else 0
        draft = hearing.draft if hearing.draft[:forced] == last[:forced] else ()
        if not self._incremental:
            return last[:forced], forced
        return (draft or last)[: hearing.limit - 1], min(forced, hearing.limit - 1)

    def _filling(self, row: Request, budget: int | None) -> PrefillRequest:
        assert row.sound is not None
        assert row.slot is not None
        before, tail = self.machine.prompter.around(row.hearing.context, row.hearing.language)
        blocks: list[Block] = [before, *row.sound.embeddings]
        portion = len(blocks) if budget is None else self._portion(row.slot, blocks, budget)
        if portion < len(blocks):
            return PrefillRequest(row.slot, blocks[:portion], wants=False)
        return PrefillRequest(row.slot, blocks, tail, row.draft, row.forced, self._known(row))

    def _known(self, row: Request) -> list[SampledToken]:
        """A final asks the model for its mind on all of its text: how sure it is, and whether it would differ. A
        partial takes over what it thought of the forced tokens when they were new."""
        if row.hearing.final or row.kept is None or not self._incremental:
            return []
        certainty = row.kept.certainty[: row.forced]
        return [SampledToken(token, known, token) for token, known in zip(row.draft, certainty, strict=False)]

    def _portion(self, slot: int, blocks: Sequence[Block], budget: int) -> int:
        """How many of `blocks` the slot is to hold after this step: it lacks no more than `budget` tokens of them, but
        at least a block."""
        lacking = [self.machine.lacking(slot, blocks[: count + 1]) for count in range(len(blocks))]
        fitting = sum(tokens <= budget for tokens in lacking)
        return max(fitting, sum(tokens == 0 for tokens in lacking) + 1)

    def _verify(self, rows: Sequence[Request]) -> list[Request]:
        by_slot = {row.slot: row for row in rows if row.slot is not None}
        chosen = self.machine.extend({slot: (row.tokens[-1], *row.draft) for slot, row in by_slot.items()})
        return [done for slot, choices in chosen.items() for done in self._take(by_slot[slot], choices)]

    def _decode(self, rows: Sequence[Request]) -> list[Request]:
        by_slot = {row.slot: row for row in rows if row.slot is not None}
        chosen = self.machine.decode({slot: row.tokens[-1] for slot, row in by_slot.items()})
        return [done for slot, choice in chosen.items() for done in self._take(by_slot[slot], [choice])]

    def _take(self, row: Request, choices: Sequence[SampledToken]) -> list[Request]:
        """What the model chose: behind what the row had, and behind each token of its draft, as long as that is right.

        Returns the row if that is its end.
        """
        if any(math.isnan(choice.certainty) for choice in choices):
            logger.error("the model computed no numbers for a piece of {} samples", len(row.hearing.audio))
            return [self._fail(row, no_numbers())]
        draft, forced = row.draft, row.forced
        row.draft, row.forced = (), 0
        for n, choice in enumerate(choices):
            row.diverged |= choice.token != choice.likeliest
            if self._ends(row, choice):
                return [self._finish(row)]
            if n < len(draft) and draft[n] == choice.token:
                self.accepted += n >= forced
                continue
            self._go_on(row, draft, n)
            break
        return []

    def _ends(self, row: Request, choice: SampledToken) -> bool:
        if choice.token in self.machine.ends:
            return True
        row.tokens.append(choice.token)
        row.certainty.append(choice.certainty)
        is_full = len(row.tokens) >= row.hearing.limit
        start = cut_at(row.tokens, kept=row.kept_from_loops, is_full=is_full)
        if start is not None:
            del row.tokens[start:], row.certainty[start:]
            row.repetition = True
            return True
        if not is_full:
            return False
        logger.warning("a text was cut off after {} tokens, as many as its audio can hold", len(row.tokens))
        return True

    def _go_on(self, row: Request, draft: Ids, right: int) -> None:
        """The draft was right so far. Behind a mistake a token is decoded, by which the rest of the draft is found."""
        assert row.slot is not None
        self.machine.rewind(row.slot, len(draft) - right)
        if right < len(draft):
            row.mistakes += 1
            row.broken = (draft, right) if row.mistakes <= MISTAKES else None
        elif row.broken is not None:
            row.draft = rest_of(*row.broken, row.tokens[-2], row.tokens[-1])
            row.broken = None

    def _finish(self, row: Request) -> Request:
        if row.kept is not None:
            row.kept.tokens, row.kept.certainty = tuple(row.tokens), tuple(row.certainty)
            row.kept.language = row.hearing.language
            row.kept.samples = len(row.hearing.audio)
        self._leave(row)
        return row

    def _fail(self, row: Request, error: StenoError) -> Request:
        row.failure = error
        if row.slot is not None:
            self.machine.wipe(row.slot)
        if row.kept is not None:
            row.kept.sound = None  # what went wrong may be in there
        self._leave(row)
        return row

    def _leave(self, row: Request) -> None:
        row.done = True
        (self._waiting if row in self._waiting else self._decoding).remove(row)
        if row.kept is not None:
            row.kept.end()
        if row.slot is not None:
            self.places.give_back(row.slot)
        if row.hearing.final and row.hearing.utterance is not None and row.kept is not None and not row.kept.rows:
            self.places.forget(row.hearing.utterance)
