"""What a program imports at its top level, found by reading it, so that a template can have it loaded before."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

MAX_FILES = 64
"""Files of a program that are read; more only make the first run of a program wait."""
_parsing = threading.Lock()
"""Python 3.11 counts in one place for all threads how deep it is in a tree, and raises SystemError if two threads parse
at once and one of them collects garbage meanwhile; runs that were prepared at the same time were lost by that."""


def imports_of(folder: Path, words: Sequence[str]) -> tuple[str, ...]:
    """Packages that a program imports when it starts, and that are not part of it.

    Args:
        folder: the program's own folder, which it is started in.
        words: what the interpreter is given: ``(script, ...)`` or ``("-m", module, ...)``.

    Returns:
        ``package.module``, or ``package:name`` where ``name`` may be a module of it or something else, sorted.
    """
    start = _module_file(folder, words[1]) if words[0] == "-m" else folder / words[0]
    if start is None or not start.is_file():
        return ()
    roots = (start.parent, folder)
    found: set[str] = set()
    waiting, seen = [start], {start}
    while waiting and len(seen) <= MAX_FILES:
        for module, names in _top_level_imports(waiting.pop()):
            own = [file for root in roots if (file := _module_file(root, module)) is not None]
            if own:
                waiting += [file for file in own[:1] if file not in seen]
                seen.update(own[:1])
            elif not any(_module_file(root, module.partition(".")[0]) for root in roots):
                found.add(module)
                found.update(f"{module}:{name}" for name in names)
    return tuple(sorted(found))


def _top_level_imports(file: Path) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Modules that are imported when a file is executed, each with the names that are taken from it."""
    try:
        return _imports_in(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        return ()


@lru_cache(maxsize=MAX_FILES)
def _imports_in(source: bytes) -> Sequence[tuple[str, tuple[str, ...]]]:
    """The same for its text. All runs of a search have the same."""
    with _parsing:
        tree = ast.parse(source)
    return tuple(_imports_of_tree(tree))


def _imports_of_tree(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level and node.module != "__future__":
                yield node.module, tuple(alias.name for alias in node.names if alias.name != "*")
        elif isinstance(node, (ast.Try, ast.With)):
            waiting += node.body


def _module_file(root: Path, module: str) -> Path | None:
    """The file of a module below a folder."""
    place = root.joinpath(*module.split("."))
    for file in (place.with_name(f"{place.name}.py"), place / "__init__.py", place / "__main__.py"):
        if file.is_file():
            return file
    return None
