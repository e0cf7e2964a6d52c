"""One model and all that is heard with it at once: rows are encoded, filled into slots, verified and decoded together.

A row is one hearing of one clip. Live rows go first; what costs much (a long recording's windows and prompt) is done in
portions while anybody is live, so that nobody waits for more than a step of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.qwen.decoder import Block, Choice, Filling
from steno.backends.qwen.places import Kept, Places
from steno.backends.qwen.sound import TOKENS_PER_S
from steno.errors import BackendError, StenoError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.qwen.machine import Machine
    from steno.backends.qwen.prompt import Ids
    from steno.backends.qwen.sound import Sound
    from steno.types import Audio

FILL_TOKENS = {"cuda": 8192, "cpu": 1024}
"""In one step, padding included: what else is decoded waits so long …"""
LIVE_FILL_TOKENS = {"cuda": 4096, "cpu": 256}
"""… and so long while anybody is live."""
LIVE_WINDOWS = {"cuda": 32, "cpu": 1}
"""Windows of audio that are encoded in one step while anybody is live, beside those of live rows."""

LIKE_LENGTHS = {"cuda": 4.0, "cpu": 1.3}
"""Prompts in one batch are padded to the longest: those that are longer by more go into another."""
SHORT_TOKENS = 16
"""Below that all prompts are alike."""

PATIENCE = 8
"""Live rows go before the rest; a row that was passed over so often waits no longer."""
GATHERING = 32
"""Iterations that a recording's row waits for others, so that prompts are filled in many at a time."""

WORTH_TRYING = 3
"""Tokens of a draft, behind one that was wrong, for which another pass pays."""
MISTAKES = 4
"""A draft that was wrong in more places is left alone."""
NEAR = 4
"""Tokens among which the place is looked for where a wrong draft goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class Hearing:
    """What is to be heard, and what is expected."""

    audio: Audio
    context: str
    """Clean."""
    language: str | None
    limit: int
    """Tokens of text at most."""
    live: bool = False
    """Whether somebody watches."""
    utterance: str | None = None
    """The live utterance that it belongs to, and whose earlier steps serve it."""
    final: bool = True
    stable: str = ""
    """With what the text begins, whatever the model thinks now."""
    draft: Ids = ()
    """Somebody else's text of it."""


@dataclass(slots=True, eq=False)
class Row:
    """A hearing on its way through the model."""

    hearing: Hearing
    runner: Runner
    kept: Kept | None
    after: Row | None
    """Of the same utterance: it goes before."""
    sound: Sound | None = None
    slot: int | None = None
    draft: Ids = ()
    forced: int = 0
    tokens: list[int] = field(default_factory=list)
    certainty: list[float] = field(default_factory=list)
    diverged: bool = False
    """Whether the model would have written something else than what is stable."""
    mistakes: int = 0
    """Places where its draft was wrong."""
    passed_over: int = 0
    waited: int = 0
    done: bool = False
    failure: StenoError | None = None

    @property
    def is_live(self) -> bool:
        return self.hearing.live


class Runner:
    """See the module.

    Args:
        machine: the model.
        slots: rows at once; those beyond wait.
        incremental: whether what was computed for a live utterance serves its next step. If not, each step starts from
            nothing: the reference.
    """

    def __init__(self, machine: Machine, slots: int, *, incremental: bool = True) -> None:
        self.machine = machine
        self.places = Places(slots)
        self._slots = slots
        self._incremental = incremental
        self._kind = "cuda" if machine.device.type == "cuda" else "cpu"
        self._waiting: list[Row] = []
        self._decoding: list[Row] = []
        self._steps = 0
        self._has_filled = False
        self.proposed = 0
        """Tokens of drafts that were verified …"""
        self.accepted = 0
        """… and those of them that were right."""

    @property
    def rows(self) -> list[Row]:
        return [*self._waiting, *self._decoding]

    def start(self, hearing: Hearing) -> Row:
        key = hearing.utterance
        kept = self.places.kept(key) if key is not None else None
        before = [row for row in self.rows if row.kept is kept and kept is not None]
        row = Row(hearing, self, kept, before[-1] if before else None)
        self._waiting.append(row)
        return row

    def stop(self, row: Row) -> None:
        """Nobody wants it any more. One that is done is fine."""
        if not row.done:
            self._leave(row)

    def forget(self, utterance: str) -> None:
        self.places.forget(utterance)

    def step(self) -> list[Row]:
        """Fill in some that wait, or decode. Returns the rows that are done, or failed."""
        self._steps += 1
        batch = [] if self._has_filled and self._decoding else self._next_batch()
        self._has_filled = bool(batch)
        if batch:
            return self._guarded(self._fill, batch)
        drafted = [row for row in self._decoding if row.draft]
        plain = [row for row in self._decoding if not row.draft]
        done = self._guarded(self._verify, drafted) if drafted else []
        return done + (self._guarded(self._decode, plain) if plain else [])

    def _guarded(self, do: Callable[[Sequence[Row]], list[Row]], rows: Sequence[Row]) -> list[Row]:
        """A failure, for want of memory most likely, is that of these rows alone."""
        try:
            return do(rows)
        except Exception as error:  # noqa: BLE001 - a boundary: logged, and delivered to those whom it concerns
            logger.opt(exception=error).error("a step over {} pieces failed: {}", len(rows), error)
            lost = BackendError("the recogniser failed on this audio; the server's log has the reason")
            return [self._fail(row, lost) for row in rows if not row.done]

    def _fill(self, rows: Sequence[Row]) -> list[Row]:
        for row in rows:
            self._hear(row)
        sounds = [row.sound for row in rows if row.sound is not None]
        is_shared = self.places.is_live and not any(row.is_live for row in rows)
        self.machine.encode(sounds, LIVE_WINDOWS[self._kind] if is_shared else None)
        budget = LIVE_FILL_TOKENS[self._kind] if is_shared else None
        heard = [row for row in rows if row.sound is not None and not row.sound.lacks()]
        if not heard:
            return []
        fillings = [self._filling(row, budget) for row in heard]
        done: list[Row] = []
        for row, filling, choices in zip(heard, fillings, self.machine.fill(fillings), strict=True):
            if filling.wants:
                self._waiting.remove(row)
                self._decoding.append(row)
                done += self._take(row, choices)
        return done

    def _hear(self, row: Row) -> None:
        """Give the row a slot, and its sound the audio."""
        kept = row.kept
        if row.sound is None:
            known = kept.sound if kept is not None and self._incremental else None
            row.sound = known or self.machine.sound()
            if kept is not None:
                kept.sound = row.sound
            row.slot = self.places.lend(kept)
            row.draft, row.forced = self._expected(row)
            if not self._incremental:
                self.machine.empty(row.slot)
        assert row.sound is not None
        row.sound.extend(row.hearing.audio)

    def _expected(self, row: Row) -> tuple[Ids, int]:
        """The draft, and how much of it is forced: the tokens of the last text that are stable."""
        hearing, kept = row.hearing, row.kept
        last = kept.tokens if kept is not None and kept.language == hearing.language else ()
        forced = self.machine.reader.covered(last, hearing.language, hearing.stable) if hearing.stable else 0
        draft = hearing.draft if hearing.draft[:forced] == last[:forced] else ()
        if not self._incremental:
            return last[:forced], forced
        return (draft or last)[: hearing.limit - 1], min(forced, hearing.limit - 1)

    def _filling(self, row: Row, budget: int | None) -> Filling:
        assert row.sound is not None
        assert row.slot is not None
        before, tail = self.machine.prompter.around(row.hearing.context, row.hearing.language)
        blocks: list[Block] = [before, *row.sound.embeddings]
        portion = len(blocks) if budget is None else self._portion(row.slot, blocks, budget)
        if portion < len(blocks):
            return Filling(row.slot, blocks[:portion], wants=False)
        return Filling(row.slot, blocks, tail, row.draft, row.forced)

    def _portion(self, slot: int, blocks: Sequence[Block], budget: int) -> int:
        """How many of `blocks` the slot is to hold after this step: it lacks no more than `budget` tokens of them, but
        at least a block."""
        lacking = [self.machine.lacking(slot, blocks[: count + 1]) for count in range(len(blocks))]
        fitting = sum(tokens <= budget for tokens in lacking)
        return max(fitting, sum(tokens == 0 for tokens in lacking) + 1)

    def _verify(self, rows: Sequence[Row]) -> list[Row]:
        by_slot = {row.slot: row for row in rows if row.slot is not None}
        chosen = self.machine.extend({slot: (row.tokens[-1], *row.draft) for slot, row in by_slot.items()})
        return [done for slot, choices in chosen.items() for done in self._take(by_slot[slot], choices)]

    def _decode(self, rows: Sequence[Row]) -> list[Row]:
        by_slot = {row.slot: row for row in rows if row.slot is not None}
        chosen = self.machine.decode({slot: row.tokens[-1] for slot, row in by_slot.items()})
        return [done for slot, choice in chosen.items() for done in self._take(by_slot[slot], [choice])]

    def _take(self, row: Row, choices: Iterable[Choice]) -> list[Row]:
        """What the model chose: behind what the row had, and behind each token of its draft, as long as that is right.

        Returns the row if that is its end.
        """
        draft, forced = row.draft, row.forced
        row.draft, row.forced = (), 0
        self.proposed += len(draft) - forced
        for n, (token, certainty, likeliest) in enumerate(choices):
            row.diverged |= token != likeliest
            if math.isnan(certainty):
                return [self._fail(row, no_numbers(row))]
            ends = token in self.machine.ends
            if not ends:
                row.tokens.append(token)
                row.certainty.append(certainty)
            if ends or len(row.tokens) >= row.hearing.limit:
                if not ends:
                    logger.warning("a text was cut off after {} tokens; is it a loop?", len(row.tokens))
                return [self._finish(row)]
            if n < len(draft) and draft[n] == token:
                self.accepted += n >= forced
                continue
            assert row.slot is not None
            self.machine.rewind(row.slot, len(draft) - n)
            row.mistakes += 1
            row.draft = going_on(draft, n, token) if row.mistakes <= MISTAKES else ()
            break
        return []

    def _finish(self, row: Row) -> Row:
        if row.kept is not None:
            row.kept.tokens = tuple(row.tokens)
            row.kept.language = row.hearing.language
            row.kept.samples = len(row.hearing.audio)
        self._leave(row)
        return row

    def _fail(self, row: Row, error: StenoError) -> Row:
        row.failure = error
        if row.slot is not None:
            self.machine.wipe(row.slot)
        if row.kept is not None:
            row.kept.sound = None  # what went wrong may be in there
        self._leave(row)
        return row

    def _leave(self, row: Row) -> None:
        row.done = True
        (self._waiting if row in self._waiting else self._decoding).remove(row)
        if row.kept is not None:
            row.kept.used = self._steps
        if row.slot is not None:
            self.places.give_back(row.slot)
        if row.hearing.final and row.hearing.utterance is not None and self._is_last(row):
            self.places.forget(row.hearing.utterance)

    def _is_last(self, row: Row) -> bool:
        return all(other.kept is not row.kept for other in self.rows)

    def _next_batch(self) -> list[Row]:
        """The first that waits, live before the rest, and those of like length, as many as fit."""
        ready = [row for row in self._waiting if row.after is None or row.after.done]
        ready.sort(key=lambda row: not row.is_live and row.passed_over < PATIENCE)
        admitted = set([row for row in ready if row.slot is None][: self.places.available])
        ready = [row for row in ready if row.slot is not None or row in admitted]
        if not ready or self._should_gather(ready):
            return []
        first, *others = ready
        cost = self._cost(first)
        batch, costs = [first], [cost]
        budget = (LIVE_FILL_TOKENS if self.places.is_live else FILL_TOKENS)[self._kind]
        for row in sorted(others, key=lambda row: abs(self._cost(row) - cost)):
            both = [*costs, self._cost(row)]
            if row.is_live != first.is_live and self.places.is_live:
                continue
            if max(both) > LIKE_LENGTHS[self._kind] * max(min(both), SHORT_TOKENS) or max(both) * len(both) > budget:
                break
            batch.append(row)
            costs = both
        for row in ready:
            row.passed_over = 0 if row in batch else row.passed_over + 1
        return batch

    def _should_gather(self, ready: Sequence[Row]) -> bool:
        """Where slots come free one by one, prompts would be filled in one by one: that costs twice as much."""
        if not self._decoding or any(row.is_live for row in ready) or len(ready) >= self._slots // 4:
            return False
        for row in ready:
            row.waited += row.sound is None
        return ready[0].sound is None and ready[0].waited < GATHERING

    def _cost(self, row: Row) -> int:
        """Tokens that have to be filled in, about."""
        kept = row.kept
        known_s = kept.sound.closed_s if kept is not None and kept.slot is not None and kept.sound is not None else 0
        new_s = max(len(row.hearing.audio) / SAMPLE_RATE - known_s, 0)
        text = max(len(row.hearing.draft), len(kept.tokens) if kept is not None else 0)
        return round(TOKENS_PER_S * new_s) + text


def going_on(draft: Ids, at: int, token: int) -> Ids:
    """What of a draft may still come, where `token` was chosen in place of `draft[at]`; nothing if that is little."""
    behind = draft[at + 1 :]
    near = behind[:NEAR]
    rest = behind[near.index(token) + 1 :] if token in near else behind
    return rest if len(rest) >= WORTH_TRYING else ()


def no_numbers(row: Row) -> StenoError:
    logger.error("the model computed no numbers for a piece of {} samples", len(row.hearing.audio))
    return BackendError("the model computed no numbers for this audio; DTYPE=float32 may mend it")
