"""Which runs can be forked from the same process: those with equal environments that load the same modules."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from determined.launchers.entrypoint import python_words
from determined.launchers.imports import imports_of
from determined.launchers.protocol import Warm
from determined.launchers.used_folders import ContextKey

_OF_A_RUN = ("DET_", "CUDA_VISIBLE_DEVICES", "C10D_PORT", "DTRAIN_SSH_PORT", "INTER_TRAIN_PROCESS_COMM_PORT")
"""Beginnings of variables that differ between runs and that nothing looks at while it is imported."""


@dataclass(frozen=True)
class Template:
    """What a process is to be like that runs are forked from.

    Attributes:
        modules: loaded before; see `determined.launchers.warm.load`.
        env: its environment, sorted; values may be secret.
    """

    modules: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(repr=False)


def template_of(
    argv: Sequence[str], warm: Warm, env: Mapping[str, str], work: Path, context: ContextKey
) -> Template | None:
    """What a prepared run can be forked from; None when its command is not for this interpreter.

    Args:
        env: the run's whole environment.
        work: its working folder, with the program.
        context: what was unpacked there.
    """
    if python_words(argv, env) is None:
        return None
    modules = _imports_of(work, warm.program, context) if warm.modules is None else warm.modules
    shared = {name: value for name, value in env.items() if name != "PWD" and not name.startswith(_OF_A_RUN)}
    shared["PYTHONPATH"] = os.pathsep.join(
        entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != env.get("DET_WORKDIR")
    )
    shared = {name: value for name, value in shared.items() if value or name != "PYTHONPATH"}
    return Template((*warm.prelude, *modules), tuple(sorted(shared.items())))


def _imports_of(work: Path, program: Sequence[str], context: ContextKey) -> tuple[str, ...]:
    """What a program imports, which is the same for all runs of a search."""
    key = context, tuple(program)
    found = _found.get(key)
    if found is None:
        found = imports_of(work, program)
        while len(_found) >= _MOST_FOUND:
            # Several threads may be here.
            _found.pop(next(iter(_found)), None)
        _found[key] = found
    return found


_MOST_FOUND = 64
_found: dict[tuple[ContextKey, tuple[str, ...]], tuple[str, ...]] = {}
