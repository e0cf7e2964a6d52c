"""How well each offset explains each block of the chat: log-likelihood ratios by block and offset."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.reaction_lag import LAG_TO_S, ReactionLag
from steno.archive.chat.recording_track import RecordingTrack
from steno.archive.chat.word_matches import WordMatches, match_words

STEP_S = 0.5
BLOCK_S = 20.0
DENSITY_GAIN = 0.6
"""Relative rise of the message rate for an excitement of one standard deviation."""
MAX_DIP, MAX_RISE = 1.5, 6.0
"""Bounds of the excitement, in standard deviations."""
USUAL_LOUDNESS, PEAK_WEIGHT = 0.75, 3.0
"""Quantile of the loudness of speech above which it is a loud moment, and its weight against speech as such."""
TREND_S = 90.0
MAX_BLOCK_NATS = 12.0
"""No block convinces by itself: greetings at the beginning of two recordings are alike."""
AUTHOR_RATE_S = 5.0
BURST_S = 10.0

_PER_BLOCK = round(BLOCK_S / STEP_S)


@dataclass(frozen=True, slots=True)
class OffsetGrid:
    """The offsets that are tried: `-window_s … +window_s` around `around_s`, `STEP_S` apart."""

    window_s: float
    around_s: float = 0.0

    @property
    def offsets_s(self) -> NDArray[np.float64]:
        return self.around_s + np.arange(-self._half, self._half + 1, dtype=np.float64) * STEP_S

    @property
    def first_s(self) -> float:
        return self.around_s - self._half * STEP_S

    @property
    def size(self) -> int:
        return 2 * self._half + 1

    @property
    def _half(self) -> int:
        return round(self.window_s / STEP_S)


def messages_in_reach(messages: Sequence[ChatMessage], grid: OffsetGrid, duration_s: float) -> Sequence[ChatMessage]:
    """The messages that one of the grid's offsets places in the recording, or within a lag of it.

    No other can say anything of the offset, and memory grows with the time between the first and the last.
    """
    last_s = grid.first_s + (grid.size - 1) * STEP_S
    earliest, latest = -last_s - LAG_TO_S, duration_s - grid.first_s + LAG_TO_S
    return [message for message in messages if earliest <= message.time_s <= latest]


class OffsetEvidence:
    """Scores of a chat against a recording. Block `b` has the messages from `begin_s + b * BLOCK_S` on.

    The messages are in order of time, and in reach of the grid (`messages_in_reach`).
    """

    def __init__(self, messages: Sequence[ChatMessage], track: RecordingTrack, grid: OffsetGrid) -> None:
        self.grid = grid
        self.begin_s = messages[0].time_s
        span = max(messages[-1].time_s - self.begin_s, track.duration_s)
        if span > track.duration_s + grid.size * STEP_S + 2 * LAG_TO_S:
            raise ValueError(f"messages are out of the grid's reach: {span:.0f} s")
        self.blocks = int(np.ceil((span + STEP_S) / BLOCK_S))
        self.matches: WordMatches = match_words(messages, track)
        self._track = track
        self._by_lag: dict[ReactionLag, NDArray[np.float64]] = {}
        self._counts = self._counted(messages)
        self._gain = DENSITY_GAIN / _dispersion(self._counts)
        self._lag = ReactionLag()
        self._density: dict[tuple[float, ...], NDArray[np.float32]] = {}
        distances = (self.matches.said_s - self.matches.chat_s) % self.circle_s
        self._order = np.argsort(distances, kind="stable")
        self._distances = distances[self._order]

    def with_share(self, share: float) -> OffsetEvidence:
        """The same chat, of whose words another share reacts."""
        changed = copy(self)
        changed.matches = self.matches.with_share(share)
        return changed

    @property
    def circle_s(self) -> float:
        """Length of the chat's clock when it is shifted circularly."""
        return self.blocks * BLOCK_S

    def block_of(self, chat_s: float) -> int:
        """The block of a moment; the nearest one if it is outside."""
        return min(max(int((chat_s - self.begin_s) / BLOCK_S), 0), self.blocks - 1)

    def scores(self, shifts_s: Sequence[float] = (0.0,)) -> NDArray[np.float32]:
        """Nats, `[shifts, blocks, offsets]`, of the chat shifted circularly by multiples of `STEP_S`."""
        shifts = tuple(shifts_s)
        if shifts not in self._density:
            self._density[shifts] = self._density_scores(shifts)
        words = np.stack([self._word_scores(shift) for shift in shifts])
        scores: NDArray[np.float32] = words + self._density[shifts]
        return np.clip(scores, -MAX_BLOCK_NATS, MAX_BLOCK_NATS, out=scores)

    def density_curve(
        self, chat_s: NDArray[np.float64], offsets_s: NDArray[np.float64], lag: ReactionLag
    ) -> NDArray[np.float64]:
        """Nats of each offset by the times of messages alone, which are taken in bins of `STEP_S`."""
        bins, counts = np.unique(np.floor(chat_s / STEP_S), return_counts=True)
        middles = (bins + 0.5) * STEP_S
        nats: NDArray[np.float64] = self.message_nats(middles + offsets_s[:, np.newaxis], lag) @ counts
        return nats

    def message_nats(self, recording_s: NDArray[np.float64], lag: ReactionLag) -> NDArray[np.float64]:
        """Nats of a message at each of these times of the recording, by the excitement before it. Any shape."""
        curve = np.concatenate([[0.0], np.log1p(self._gain * self._excitement_after(lag)), [0.0]])
        at = np.floor(recording_s / STEP_S).astype(np.int64) + 1
        return curve[np.clip(at, 0, len(curve) - 1)]

    def _excitement_after(self, lag: ReactionLag) -> NDArray[np.float64]:
        if lag not in self._by_lag:
            self._by_lag[lag] = _excitement(self._track, lag)
        return self._by_lag[lag]

    def _word_scores(self, shift_s: float) -> NDArray[np.float32]:
        near = self._near(shift_s)
        place = (self.matches.chat_s[near] - self.begin_s + shift_s) % self.circle_s
        # offset = said - chat + lag: the bin of lag 0, and the lags' bins after it
        zero = np.floor((self.matches.said_s[near] - place - self.begin_s - self.grid.first_s) / STEP_S).astype(
            np.int64
        )
        row = (place / BLOCK_S).astype(np.int64) * self.grid.size
        odds, weight = self.matches.odds[near], self.matches.weight[near]
        scores = np.zeros(self.blocks * self.grid.size)
        for lag, density in enumerate(self._lag.bins(STEP_S)):
            at = zero + lag
            inside = (at >= 0) & (at < self.grid.size) & (density > 0)
            gained = weight[inside] * np.log1p(odds[inside] * density)
            scores += np.bincount(row[inside] + at[inside], gained, minlength=len(scores))
        return scores.reshape(self.blocks, self.grid.size).astype(np.float32)

    def _near(self, shift_s: float) -> NDArray[np.int64]:
        """Which matches, in `_order`, may be inside of the grid: those whose distance on the circle is."""
        span = self.grid.size * STEP_S + LAG_TO_S
        low = (self.grid.first_s - LAG_TO_S + shift_s) % self.circle_s
        first, last = np.searchsorted(self._distances, [low, low + span])
        wrapped = int(np.searchsorted(self._distances, low + span - self.circle_s))
        return np.concatenate([self._order[:wrapped], self._order[first:last]])

    def _density_scores(self, shifts_s: Sequence[float]) -> NDArray[np.float32]:
        bins = [np.roll(self._counts, round(shift / STEP_S)) for shift in shifts_s]
        counts = np.stack(bins).reshape(len(bins), self.blocks, _PER_BLOCK)
        first = round((self.begin_s + self.grid.first_s) / STEP_S)
        wanted = self.blocks * _PER_BLOCK + self.grid.size
        curve = np.zeros(wanted)
        excitement = self._excitement_after(self._lag)
        source = slice(max(0, first), max(0, first, min(len(excitement), first + wanted)))
        curve[source.start - first : source.stop - first] = excitement[source]
        expected = sliding_window_view(self._gain * curve, self.grid.size)
        gained = sliding_window_view(np.log1p(self._gain * curve), self.grid.size)
        scores = np.empty((len(bins), self.blocks, self.grid.size), dtype=np.float32)
        for block in range(self.blocks):
            rows = slice(block * _PER_BLOCK, (block + 1) * _PER_BLOCK)
            messages = counts[:, block]
            scores[:, block] = messages @ gained[rows] - np.outer(messages.mean(axis=1), expected[rows].sum(axis=0))
        return scores

    def _counted(self, messages: Sequence[ChatMessage]) -> NDArray[np.float64]:
        """Messages in each bin; of an author one in `AUTHOR_RATE_S`."""
        counts = np.zeros(self.blocks * _PER_BLOCK)
        last: dict[str, float] = {}
        for message in messages:
            if message.time_s - last.get(message.author, -np.inf) >= AUTHOR_RATE_S:
                counts[int((message.time_s - self.begin_s) / STEP_S)] += 1
            last[message.author] = message.time_s
        return counts


def _excitement(track: RecordingTrack, lag: ReactionLag) -> NDArray[np.float64]:
    """Expected rise of the message rate in bins of `STEP_S`, in standard deviations: speech, and loud moments.

    Both are against their trend, and after the lag of a reaction.
    """
    activity, loudness = track.in_bins(STEP_S)
    speaking = activity > 0.5
    usual = float(np.quantile(loudness[speaking], USUAL_LOUDNESS)) if speaking.any() else float(loudness.mean())
    curve = _standard(_detrended(activity)) + PEAK_WEIGHT * _standard(_detrended(np.maximum(loudness - usual, 0.0)))
    delayed = np.convolve(curve, lag.bins(STEP_S) * STEP_S)[: len(curve)]
    return np.clip(_standard(delayed), -MAX_DIP, MAX_RISE)


def _detrended(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    width = min(len(curve), round(TREND_S / STEP_S))
    window = np.ones(width)
    return curve - np.convolve(curve, window, "same") / np.convolve(np.ones(len(curve)), window, "same")


def _standard(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = float(curve.std())
    return (curve - curve.mean()) / deviation if deviation > 0 else np.zeros(len(curve))


def _dispersion(counts: NDArray[np.float64]) -> float:
    """Variance over mean of the messages in `BURST_S`, at least 1: chat comes in bursts."""
    width = round(BURST_S / STEP_S)
    bursts = counts[: len(counts) // width * width].reshape(-1, width).sum(axis=1)
    mean = float(bursts.mean()) if len(bursts) else 0.0
    return max(1.0, float(bursts.var()) / mean) if mean > 0 else 1.0
