"""Chat words that the transcript also has, with how much each pair says about the offset."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.chat_terms import chat_terms, spoken_terms
from steno.archive.chat.recording_track import RecordingTrack

REACTING_SHARES = (0.15, 0.04, 0.0)
"""Share of chat words that answer the same word of the recording; lower for words that the chat likes by itself. It
differs by channel, and the data choose: where nobody quotes, shared words are noise."""
REACTIONS_PER_UTTERANCE = 3.0
MOST_FREQUENT_PER_S = 1 / 30
"""A word said more often says too little to be looked at."""
ECHO_S = 3.0
"""A word that is repeated within this time was said once."""
AUTHOR_REPEAT_S, COPY_S, MAX_COPIES, CROWD_S = 30.0, 120.0, 2, 15.0
MAX_PAIRS_PER_S = 55
"""Of the recording. A busy chat has enough rare words."""

_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class WordMatches:
    """Pairs of a chat word and a time at which it was said. Arrays of one length."""

    chat_s: NDArray[np.float64]
    said_s: NDArray[np.float64]
    odds: NDArray[np.float64]
    """Odds of a reaction, times seconds: multiplied by the density of the lag it is the likelihood ratio."""
    weight: NDArray[np.float64]
    """Below 1 for a word that many write at the same time: they are no independent witnesses."""

    def with_share(self, share: float) -> WordMatches:
        """The same pairs for another one of `REACTING_SHARES`; they are made for the first."""
        first = REACTING_SHARES[0]
        factor = share / (1 - share) / (first / (1 - first))
        return WordMatches(self.chat_s, self.said_s, self.odds * factor, self.weight)

    def select(self, chosen: NDArray[np.bool_]) -> WordMatches:
        return WordMatches(self.chat_s[chosen], self.said_s[chosen], self.odds[chosen], self.weight[chosen])


def match_words(messages: Sequence[ChatMessage], track: RecordingTrack) -> WordMatches:
    """All pairs, at any distance. Every word of a message counts once; copypasta and an author's repeats do not."""
    said = _said(track)
    written = _written(messages, track.language, said)
    chosen = _informative(said, written, round(MAX_PAIRS_PER_S * track.duration_s))
    chat_s, said_s, odds, weight = [], [], [], []
    for term in chosen:
        times, weights = written[term]
        places = said[term]
        share = REACTING_SHARES[0] * min(1.0, REACTIONS_PER_UTTERANCE * len(places) / len(times))
        chat_s.append(np.repeat(times, len(places)))
        said_s.append(np.tile(places, len(times)))
        weight.append(np.repeat(weights, len(places)))
        odds.append(np.full(len(times) * len(places), share / (1 - share) * track.duration_s / len(places)))
    return WordMatches(*(np.concatenate(part) if part else np.empty(0) for part in (chat_s, said_s, odds, weight)))


def _said(track: RecordingTrack) -> dict[str, NDArray[np.float64]]:
    times: defaultdict[str, list[float]] = defaultdict(list)
    for term, time in spoken_terms(track.words):
        earlier = times[term]
        if not earlier or time - earlier[-1] > ECHO_S:
            earlier.append(time)
    most = max(3.0, MOST_FREQUENT_PER_S * track.duration_s)
    return {term: np.array(found) for term, found in times.items() if len(found) <= most}


def _written(
    messages: Iterable[ChatMessage], language: str | None, said: dict[str, NDArray[np.float64]]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each term its times, and the weights by how many wrote it shortly before."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    by_author: dict[tuple[str, str], float] = {}
    for message in without_copies(messages):
        for term in sorted(chat_terms(message.text, language) & said.keys()):
            last = by_author.get((message.author, term))
            if last is None or message.time_s - last > AUTHOR_REPEAT_S:
                times[term].append(message.time_s)
            by_author[message.author, term] = message.time_s
    result = {}
    for term, found in times.items():
        at = np.array(found)
        crowd = np.arange(len(at)) - np.searchsorted(at, at - CROWD_S)
        result[term] = at, 1 / np.sqrt(1.0 + crowd)
    return result


def without_copies(messages: Iterable[ChatMessage]) -> Iterable[ChatMessage]:
    """Messages in order of time, without texts that were written `MAX_COPIES` times within `COPY_S` already."""
    recent: dict[str, tuple[float, int]] = {}
    for message in messages:
        text = _SPACES.sub(" ", message.text.casefold())
        last, copies = recent.get(text, (-np.inf, 0))
        copies = copies + 1 if message.time_s - last <= COPY_S else 1
        recent[text] = message.time_s, copies
        if copies <= MAX_COPIES or " " not in text:
            yield message


def _informative(
    said: dict[str, NDArray[np.float64]],
    written: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    most: int,
) -> list[str]:
    """Terms, rare ones first, until there are `most` pairs."""
    chosen, pairs = [], 0
    for term in sorted(written, key=lambda each: (len(said[each]), each)):
        pairs += len(said[term]) * len(written[term][0])
        if pairs > most:
            break
        chosen.append(term)
    return chosen
