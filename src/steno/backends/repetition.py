"""Detects repetition loops: a decoder that generates the same n-gram until its token limit.

Recognisers of any size do so on music, noise and overlapping voices. The thresholds follow Qwen's own clean-up
(`qwen-asr`, `detect_and_fix_repetitions`), which treats twenty repetitions of a character, or of a short pattern, as a
loop.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_NGRAM = 24
"""Max n-gram size in tokens. Loops over whole sentences occur (`You're the one who's not here.`)."""
ENDLESS_REPEATS = 20
"""Repetitions that are a loop at any time: decoding ends. As in `qwen-asr`."""
MIN_REPEATS = 6
"""Repetitions that are a loop where the token limit ended decoding: the model did not stop by itself."""
MIN_TOKENS = 20
"""Min length of a loop in tokens: `no, no, no, no, no` is speech."""


def cut_at(tokens: Sequence[int], *, min_length: int, is_full: bool) -> int | None:
    """How many of `tokens` to keep if they end in a loop; None if they do not.

    Args:
        min_length: leading tokens that are kept in any case.
        is_full: whether the token limit ends the decoding here.
    """
    start = loop_start(tokens, MIN_REPEATS if is_full else ENDLESS_REPEATS)
    return max(start, min_length) if start is not None and len(tokens) > min_length else None


def loop_start(tokens: Sequence[int], min_repeats: int = ENDLESS_REPEATS) -> int | None:
    """Index where the loop at the end of `tokens` starts to repeat: `tokens[:loop_start(tokens)]` has its n-gram once.

    None if the tail is not a loop. The shortest n-gram wins.
    """
    for size in range(1, min(MAX_NGRAM, len(tokens) // min_repeats) + 1):
        needed = size * max(min_repeats, -(-MIN_TOKENS // size))
        start = len(tokens) - size
        while start > 0 and tokens[start - 1] == tokens[start - 1 + size]:
            start -= 1
        if len(tokens) - start >= needed:
            return start + size
    return None
