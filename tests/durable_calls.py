"""Refuses calls that change files without a named step: ``python -m tests.durable_calls``.

A change that has no name cannot be crashed, so nobody knows what its half leaves behind. Changes go through
``determined.files``, or stand in a function that passes a literal ``step("...")`` or ``files.action("...")``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "determined"
OS_CALLS = frozenset(
    [
        *("fdatasync", "fsync", "ftruncate", "link", "makedirs", "mkdir", "mkfifo", "remove", "removedirs"),
        *("rename", "renames", "replace", "rmdir", "symlink", "truncate", "unlink"),
    ]
)
SHUTIL_CALLS = frozenset(["copy", "copy2", "copyfile", "copytree", "move", "rmtree"])
PATH_CALLS = frozenset(
    ["hardlink_to", "mkdir", "rename", "rmdir", "symlink_to", "touch", "unlink", "write_bytes", "write_text"]
)
EXEMPT = {
    "files.py": "is where the steps are",
    "testing/": "is no part of a running system",
    "launchers/namespaces.py": "writes to /proc and to mounts of its own run",
    "launchers/child.py": "opens /dev/null",
    "launchers/news.py": "writes to a FIFO",
    "exec/rendezvous.py": "scratch of one run, made anew for the next",
    "core/_remote_storage.py": "scratch of one run; what counts is in the object store",
    "common/objects/store.py": "downloads to where its caller asked for it",
    "core/_tensorboard.py": "scratch of one run",
    "core/_files.py": "copies into unfinished folders, which files.move publishes",
    "experimental/": "downloads to where a person asked for them, whole or not at all",
    "cli/": "writes what a person asked for to where they asked",
    "workshop/": "runs beside searches; writes what a person asked for, and scratch",
    "launchers/spool.py": "appends output; the shim names its steps around it",
    "launchers/sweep.py": "opens lock files, which hold nothing",
    "common/local_files.py": "a log for people",
    "launchers/forker.py": "a log for people",
    "launchers/local.py:_refuse": "a log for people",
    "launchers/on_ray/node.py:_lock": "opens lock files, which hold nothing",
}
"""Modules and functions that need no steps, and why."""


def offences(path: Path, name: str) -> Iterator[str]:
    """A line for each unnamed change of files in one module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in _functions(tree):
        if _names_a_step(function) or f"{name}:{getattr(function, 'name', '')}" in EXEMPT:
            continue
        for call in _own_calls(function):
            if what := _change(call):
                yield f"{name}:{call.lineno}: {what} changes files without a named step; use determined.files"


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _own_calls(function: ast.AST) -> Iterator[ast.Call]:
    """Calls of a function or module, without those of the functions in it."""
    for child in ast.iter_child_nodes(function):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _own_calls(child)


def _names_a_step(function: ast.AST) -> bool:
    if isinstance(function, ast.Module):
        return False
    return any(_called(call) in ("step", "action") and _is_literal(call) for call in _own_calls(function))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_literal(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], (ast.Constant, ast.JoinedStr))


def _change(call: ast.Call) -> str:
    """What a call does to files, "" for nothing."""
    name, owner = _called(call), ""
    if isinstance(call.func, ast.Attribute):
        owner = call.func.value.id if isinstance(call.func.value, ast.Name) else "?"
    if owner == "os" and (name in OS_CALLS or (name == "open" and _opens_for_writing(call))):
        return f"os.{name}"
    if owner == "shutil" and name in SHUTIL_CALLS:
        return f"shutil.{name}"
    if owner not in ("", "os", "shutil") and (name in PATH_CALLS or (name == "replace" and _is_path_replace(call))):
        return f"Path.{name}" if owner != "files" else ""
    if name == "open" and owner not in ("os", "tarfile") and _has_writing_mode(call, 1 if owner == "" else 0):
        return "open"
    return ""


def _opens_for_writing(call: ast.Call) -> bool:
    return any(word in ast.unparse(call) for word in ("O_WRONLY", "O_RDWR", "O_CREAT"))


def _has_writing_mode(call: ast.Call, place: int) -> bool:
    given = [*call.args[place : place + 1], *(k.value for k in call.keywords if k.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in given)


def _is_path_replace(call: ast.Call) -> bool:
    # A text's `replace` has two arguments, that of structs and datetimes has keywords.
    return len(call.args) == 1 and not call.keywords


def is_exempt(name: str) -> bool:
    """Whether a whole module, or the folder that it is in, needs no steps."""
    return any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in EXEMPT)


def main() -> int:
    """Print every offence in the package."""
    names = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    found = [line for name in names if not is_exempt(name) for line in offences(PACKAGE / name, name)]
    print("\n".join(found) or f"{len(names)} modules: every change of files has a named step")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
