"""Repetition loops: a token decoder that writes the same n-gram again and again until its token limit.

Small and large recognisers alike do so on music, noise and several voices at once. The thresholds follow Qwen's own
clean-up of texts (`qwen-asr`, `detect_and_fix_repetitions`), which takes twenty repetitions of a character, or of a
short pattern, for a loop.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_NGRAM = 24
"""Tokens. Loops over whole sentences have been seen (`You're the one who's not here.`)."""
MIN_REPEATS = 6
"""A refrain comes four times in half a minute, but hardly six times without a word between."""
MIN_TOKENS = 20
"""A loop is as long as this at least: `no, no, no, no, no` is speech."""


def loop_start(tokens: Sequence[int]) -> int | None:
    """Where the loop that `tokens` ends with begins to repeat: `tokens[:loop_start(tokens)]` has its n-gram once.

    None where the tail is no loop. The shortest n-gram wins.
    """
    for size in range(1, min(MAX_NGRAM, len(tokens) // MIN_REPEATS) + 1):
        repeats = max(MIN_REPEATS, -(-MIN_TOKENS // size))
        if len(tokens) < repeats * size or tokens[-1] != tokens[-1 - size]:
            continue
        ngram = list(tokens[-size:])
        start = len(tokens) - size
        while start >= size and list(tokens[start - size : start]) == ngram:
            start -= size
        if len(tokens) - start >= repeats * size:
            return start + size
    return None
