"""Checks the shape of `src/steno`: one meaning for each name, no circular imports, no file that is too long.

    python tests/check_structure.py

Part of `make check`. It reads the source and imports nothing of it. A name that stands twice on purpose is in one of
the lists below, with the reason.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
MAX_LINES = 350

SAME_ROLE_IN_SIBLINGS = {
    "base": "the protocols of a package",
    "registry": "what a package offers, by name",
    "backend": "a backend's implementation of its protocol",
    "installed": "whether a backend can run here",
    "factory": "creates a backend from the options of the settings",
    "model": "a network and its weights",
    "routes": "the addresses of a package of the server",
    "archive": "the archive command, beside the package of archives",
    "align": "the align command, beside the pipeline that aligns what was recognised",
    "jobs": "the jobs command, beside the package of stored jobs",
    "live": "the live command, beside the live routes",
    "models": "the models command, beside the models route",
    "serve": "the serve command, beside what it runs",
    "worker": "the worker command, beside the package of the worker process",
    "sphinx": "the backend, and the aligner that it also is",
    "prompt": "what a model reads: Qwen3-ASR's, and the one of the chat dataset",
    "qwen": "the backend, and the aligner of the same family",
}
"""Modules and packages that may share a name: each plays the same part in its package."""

SAME_MEANING = {
    "Final": "an event of the session, and the client's form of it",
    "Partial": "an event of the session, and the client's form of it",
    "SpeakersChanged": "an event of the live stream, and the client's form of it",
}
"""Classes that may share a name."""


def main() -> int:
    modules = dict(_modules())
    problems = [
        *_long_files(modules),
        *_repeated("class", _classes(modules), SAME_MEANING),
        *_repeated("module", _module_names(modules), SAME_ROLE_IN_SIBLINGS),
        *_cycles(modules),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(modules)} modules, {len(problems)} problems")
    return 1 if problems else 0


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _long_files(modules: Mapping[str, Path]) -> Iterator[str]:
    for path in modules.values():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            yield f"{path}: {lines} lines; at most {MAX_LINES}: look for the seam"


def _classes(modules: Mapping[str, Path]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for module, path in modules.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module)
    return found


def _module_names(modules: Mapping[str, Path]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules:
        found[module.rpartition(".")[2]].append(module)
    return found


def _repeated(kind: str, found: Mapping[str, list[str]], allowed: Iterable[str]) -> Iterator[str]:
    for name in allowed:
        if len(found.get(name, ())) < 2:
            yield f"{kind} name {name} no longer stands twice: take it off the list"
    for name, where in sorted(found.items()):
        if len(where) > 1 and name not in allowed:
            yield f"{kind} name {name} has {len(where)} meanings: {', '.join(where)}"


def _cycles(modules: Mapping[str, Path]) -> Iterator[str]:
    """Imports at the top of a module and those for type checking alike: both tie two files together."""
    imports = {module: set(_imports(module, path, modules)) for module, path in modules.items()}
    for group in _strongly_connected(imports):
        if len(group) > 1:
            yield f"circular imports: {', '.join(sorted(group))}"


def _imports(module: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = [*tree.body, *(inner for node in tree.body if isinstance(node, ast.If) for inner in node.body)]
    for node in tops:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in modules else node.module
                if target in modules and target != module:
                    yield target
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def _strongly_connected(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """Tarjan's algorithm (https://doi.org/10.1137/0201010)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for target in edges[node]:
            if target not in order:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], order[target])
        if lowest[node] == order[node]:
            at = stack.index(node)
            groups.append(set(stack[at:]))
            del stack[at:]

    for node in edges:
        if node not in order:
            visit(node)
    return groups


if __name__ == "__main__":
    sys.exit(main())
