"""Repetition loops: a token decoder that writes the same n-gram again and again until its token limit.

Small and large recognisers alike do so on music, noise and several voices at once. The thresholds follow Qwen's own
clean-up of texts (`qwen-asr`, `detect_and_fix_repetitions`), which takes twenty repetitions of a character, or of a
short pattern, for a loop.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_NGRAM = 24
"""Tokens. Loops over whole sentences have been seen (`You're the one who's not here.`)."""
ENDLESS_REPEATS = 20
"""As many are a loop wherever they stand: decoding ends. As in `qwen-asr`."""
MIN_REPEATS = 6
"""As many are a loop where the token limit ended the decoding: the model did not stop by itself."""
MIN_TOKENS = 20
"""A loop is as long as this at least: `no, no, no, no, no` is speech."""


def cut_at(tokens: Sequence[int], *, kept: int, is_full: bool) -> int | None:
    """How many of `tokens` stay, where they end in a loop; None where they do not.

    Args:
        kept: tokens that stay, loop or not.
        is_full: whether the token limit ends the decoding here.
    """
    start = loop_start(tokens, MIN_REPEATS if is_full else ENDLESS_REPEATS)
    return max(start, kept) if start is not None and len(tokens) > kept else None


def loop_start(tokens: Sequence[int], min_repeats: int = ENDLESS_REPEATS) -> int | None:
    """Where the loop that `tokens` ends with begins to repeat: `tokens[:loop_start(tokens)]` has its n-gram once.

    None where the tail is no loop. The shortest n-gram wins.
    """
    for size in range(1, min(MAX_NGRAM, len(tokens) // min_repeats) + 1):
        needed = size * max(min_repeats, -(-MIN_TOKENS // size))
        start = len(tokens) - size
        while start > 0 and tokens[start - 1] == tokens[start - 1 + size]:
            start -= 1
        if len(tokens) - start >= needed:
            return start + size
    return None
