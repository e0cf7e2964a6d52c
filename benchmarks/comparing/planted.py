"""The self-test of `benchmarks.compare`: does it see a slowdown of 20 %, and none where nothing changed?

The slowdown is repeated work: a line of the product does a fifth of its work a second time. It is written into NEW's
worktree, whose commit is OLD's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparing.comparison import HEAD, Comparison, Limits
from benchmarks.comparing.trees import compile_sources, worktrees

PLANTS = {
    "captions": (
        "steno/captions/cues.py",
        """

def _slower(build: Callable[..., list[Cue]]) -> Callable[..., list[Cue]]:
    def built(segments: Iterable[Segment], *args: object, **options: object) -> list[Cue]:
        every = list(segments)
        build(every[: len(every) // 5], *args, **options)
        return build(every, *args, **options)

    return built


cues_of = _slower(cues_of)
""",
    ),
    "vad": (
        "steno/vad/silero.py",
        """

def _slower(step: Any) -> Any:
    count = iter(range(10**12))

    def stepped(vad: Any, frames: Any, states: Any) -> Any:
        if next(count) % 5 == 0:
            step(vad, frames, [VadState(state.values.copy()) for state in states])
        return step(vad, frames, states)

    return stepped


BatchedVad.step = _slower(BatchedVad.step)
""",
    ),
}
"""By figure: the file, and what is appended to it."""


def self_test(commit: str, limits: Limits, runs: int, figures: Sequence[str], seed: int) -> bool:
    """Compare the commit with itself, slowed down and as it is, in turn. True if each verdict was right."""
    lines, right = [], 0
    for run in range(runs):
        for name in figures:
            for is_planted in (True, False):
                comparison = _compare(commit, name, limits, random.Random(f"{seed}, {run}"), is_planted=is_planted)
                is_right = comparison.is_regression(name) == is_planted
                right += is_right
                kind = "planted" if is_planted else "unchanged"
                lines.append(f"{kind:9}  {comparison.line(name)}  {'right' if is_right else 'WRONG'}")
                print(lines[-1], flush=True)
    print(f"\n{'run':9}  {HEAD}", *sorted(lines), sep="\n")
    print(f"{right} of {len(lines)} right: a regression where 20 % were planted, none where nothing changed")
    return right == len(lines)


def plant(source: Path, name: str) -> None:
    """Make the hot path of a figure 20 % slower."""
    file, text = PLANTS[name]
    path = source / file
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def _compare(commit: str, name: str, limits: Limits, chance: random.Random, *, is_planted: bool) -> Comparison:
    with worktrees(commit, commit) as (old, new):
        if is_planted:
            plant(new.source, name)
            compile_sources(new)
        comparison = Comparison(old, new, [name], limits, chance)
        comparison.run()
    return comparison
