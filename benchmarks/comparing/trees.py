"""Two commits as git worktrees in a temporary folder, removed at the end however it comes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
GIT_S = 60.0
COMPILE_S = 300.0


class UnknownCommitError(Exception):
    """A name that git cannot resolve to a commit."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A commit that is checked out in `folder`."""

    commit: str
    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "src"


def commit_of(name: str, repository: Path = ROOT) -> str:
    """The commit that a name stands for, as 40 digits."""
    try:
        return _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except subprocess.CalledProcessError as error:
        raise UnknownCommitError(f"{name!r} is not a commit of this repository") from error


@contextlib.contextmanager
def worktrees(*commits: str, repository: Path = ROOT) -> Iterator[list[Tree]]:
    """Check out each commit, compiled; the folders and git's notes of them are gone at the end, also on Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="steno-compare-", ignore_cleanup_errors=True) as folder:
        trees = [Tree(commit, Path(folder) / f"tree-{n}") for n, commit in enumerate(commits)]
        try:
            for tree in trees:
                _git(repository, "worktree", "add", "--quiet", "--detach", str(tree.folder), tree.commit)
                compile_sources(tree)
            yield trees
        finally:
            with _uninterrupted():
                for tree in trees:
                    with contextlib.suppress(subprocess.CalledProcessError):
                        _git(repository, "worktree", "remove", "--force", str(tree.folder))
                _git(repository, "worktree", "prune")


def compile_sources(tree: Tree) -> None:
    """Cache the bytecode, so that no start of a process pays for it."""
    if tree.source.is_dir():
        command = [sys.executable, "-m", "compileall", "-q", str(tree.source)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=COMPILE_S)


def different_dependencies(old: Tree, new: Tree) -> list[str]:
    """The lines of `pyproject.toml` that only one of the two has, each with a sign as in a diff."""
    before, after = _dependencies(old), _dependencies(new)
    return [f"- {line}" for line in sorted(before - after)] + [f"+ {line}" for line in sorted(after - before)]


def _dependencies(tree: Tree) -> set[str]:
    try:
        project: dict[str, Any] = tomllib.loads((tree.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError):
        return set()
    extras = project.get("optional-dependencies", {})
    return {
        *project.get("dependencies", ()),
        *(line for name, extra in extras.items() if name != "dev" for line in extra),
    }


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not stop the cleaning up of the first."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True, timeout=GIT_S
    )
    return done.stdout
