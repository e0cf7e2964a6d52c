"""`benchmarks.compare`: its statistics, its worktrees, its processes; no time of this machine is judged."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing.comparison import Comparison, Limits
from benchmarks.comparing.paired_run import LacksInterfaceError, Pairs, WorkloadFailedError, WorkloadProcess
from benchmarks.comparing.planted import PLANTS, plant
from benchmarks.comparing.ratio import MIN_PAIRS, RatioInterval, SpeedChange, interval_of
from benchmarks.comparing.trees import Tree, UnknownCommitError, commit_of, different_dependencies, worktrees

ROOT = Path(__file__).parent.parent.parent
HERE = Tree("0" * 40, ROOT)


@given(
    ratio=st.floats(0.5, 2.0),
    noise=st.floats(0.001, 0.05),
    pairs=st.integers(MIN_PAIRS, 60),
    seed=st.integers(0, 2**32),
)
def test_the_interval_is_around_the_median_and_scales_with_the_ratio(
    ratio: float, noise: float, pairs: int, seed: int
) -> None:
    chance = random.Random(seed)
    errors = [chance.gauss(0, noise) for _ in range(pairs)]
    plain = interval_of(errors)
    found = interval_of([math.log(ratio) + error for error in errors])
    assert plain is not None
    assert found is not None
    assert found.low <= found.ratio <= found.high
    assert found.ratio / plain.ratio == pytest.approx(ratio)
    assert found.half_width == pytest.approx(plain.half_width, abs=1e-9)


def test_the_interval_encloses_a_known_ratio_as_often_as_it_claims() -> None:
    """With noise of heavy tails and a disturbance in every tenth pair."""
    chance = random.Random(1)

    def disturbed() -> float:
        return math.log(1.2) + chance.gauss(0, 0.02) * (chance.choice((-20, 20)) if chance.random() < 0.1 else 1)

    for pairs in (8, 12, 25):
        found = [interval_of([disturbed() for _ in range(pairs)]) for _ in range(2000)]
        missed = sum(not (each is not None and each.low <= 1.2 <= each.high) for each in found)
        assert missed / 2000 <= 0.016  # 0.01, and 2.7 standard deviations


def test_fewer_than_eight_pairs_have_no_interval() -> None:
    assert interval_of([0.0] * (MIN_PAIRS - 1)) is None
    assert interval_of([]) is None


def test_one_disturbed_pair_does_not_move_the_interval() -> None:
    quiet = [0.01 * n for n in range(-6, 7)]
    found, disturbed = interval_of(quiet), interval_of([*quiet[:-1], 3.0])
    assert found is not None
    assert disturbed is not None
    assert (disturbed.ratio, disturbed.low) == (found.ratio, found.low)
    assert disturbed.high < 1.07


@pytest.mark.parametrize(
    ("interval", "change", "is_regression"),
    [
        (RatioInterval(1.2, 1.12, 1.3, 8), SpeedChange.SLOWER, True),
        (RatioInterval(1.2, 1.08, 1.3, 8), SpeedChange.SLOWER, False),
        (RatioInterval(1.2, 0.99, 1.5, 8), SpeedChange.UNKNOWN, False),
        (RatioInterval(0.8, 0.7, 0.9, 8), SpeedChange.FASTER, False),
    ],
)
def test_a_regression_is_an_interval_beyond_the_threshold(
    interval: RatioInterval, change: SpeedChange, is_regression: bool
) -> None:
    assert interval.change is change
    assert interval.is_regression(0.1) is is_regression
    assert not interval.is_within(0.1)


def test_an_interval_within_the_threshold_is_no_regression() -> None:
    found = RatioInterval(1.01, 0.97, 1.05, 8)
    assert (found.change, found.is_regression(0.1), found.is_within(0.1)) == (SpeedChange.UNKNOWN, False, True)


def test_a_pair_counts_once_whatever_happens_within_it() -> None:
    pairs = Pairs("vad", old_s=[[1.0, 1.0, 9.0], [2.0]], new_s=[[1.2, 1.2, 1.0], [1.0]])
    assert pairs.log_ratios == pytest.approx([math.log(1.2), math.log(0.5)])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, of which the second has one dependency more."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for needed in ('["numpy"]', '["numpy", "scipy"]'):
        (folder / "pyproject.toml").write_text(f"[project]\nname = 'x'\ndependencies = {needed}\n")
        git(folder, "add", "pyproject.toml")
        git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", needed)
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True, timeout=30
    ).stdout


def test_worktrees_are_the_commits_and_are_gone_after_ctrl_c(repository: Path) -> None:
    commits = commit_of("HEAD~1", repository), commit_of("HEAD", repository)
    seen: list[Path] = []

    def interrupted() -> None:
        with worktrees(*commits, repository=repository) as (old, new):
            seen.extend([old.folder, new.folder])
            assert different_dependencies(old, new) == ["+ scipy"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.exists() for path in seen] == [False, False]
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_an_unknown_commit_is_named(repository: Path) -> None:
    with pytest.raises(UnknownCommitError, match="'no-such-branch' is not a commit"):
        commit_of("no-such-branch", repository)


def test_a_workload_measures_its_own_tree() -> None:
    with WorkloadProcess("vad", HERE, ROOT, seed=1) as process:
        process.wait_until_ready()
        assert 0 < process.measure() < 60


def test_a_workload_that_dies_between_two_measurements_is_a_failure_and_no_regression() -> None:
    with WorkloadProcess("vad", HERE, ROOT, seed=1) as process:
        process.wait_until_ready()
        process._process.kill()
        process._process.wait()
        with pytest.raises(WorkloadFailedError, match="the process ended"):
            process.measure()


def test_a_figure_without_enough_pairs_was_not_measured() -> None:
    comparison = Comparison(HERE, HERE, ["vad"], Limits())
    assert comparison.unmeasured == ["vad"]
    assert "0 pairs are too few" in comparison.line("vad")


def test_what_old_lacks_is_unknown_and_what_new_lacks_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "src" / "steno").mkdir(parents=True)
    (tmp_path / "src" / "steno" / "__init__.py").touch()
    lacking = Tree("0" * 40, tmp_path)
    with pytest.raises(LacksInterfaceError, match=r"000000000 lacks .* 'steno\.vad'"):
        Pairs("vad").add(lacking, HERE, ROOT, random.Random(1))
    comparison = Comparison(lacking, HERE, ["vad"], Limits())
    comparison.run()
    assert "unknown: 000000000 lacks" in comparison.line("vad")
    assert (comparison.failures, comparison.regressions) == ([], [])
    comparison = Comparison(HERE, lacking, ["vad"], Limits())
    comparison.run()
    assert (comparison.failures, comparison.regressions) == (["vad"], [])


def test_a_source_that_is_not_the_trees_is_refused(tmp_path: Path) -> None:
    with (
        WorkloadProcess("vad", Tree("0" * 40, tmp_path), ROOT, seed=1) as process,
        pytest.raises(WorkloadFailedError, match="was imported instead of"),
    ):
        process.wait_until_ready()


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_slowdown_still_compiles(tmp_path: Path, name: str) -> None:
    file = PLANTS[name][0]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text((ROOT / "src" / file).read_text(encoding="utf-8"), encoding="utf-8")
    plant(tmp_path, name)
    compile((tmp_path / file).read_text(encoding="utf-8"), file, "exec")
    assert "_slower(" in (tmp_path / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["HEAD"], ["HEAD", "no-such-commit"], ["--self-test", "--figures", "start"]])
def test_misuse_exits_with_2(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments], cwd=ROOT, capture_output=True, timeout=60
    )
    assert ended.returncode == 2
