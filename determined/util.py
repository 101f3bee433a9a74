"""Small helpers that training scripts of the reference client expect under ``determined.util``."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from determined.errors import FailedPrecondition, InvalidInput

__all__ = ["ExperimentConfig", "import_from_path", "json_encode", "match_legacy_trial_class"]

_LEGACY_TRIAL = re.compile(r"[A-Za-z0-9_.]+:[A-Za-z0-9_]+")


def json_encode(obj: Any, indent: str | None = None, sort_keys: bool = False) -> str:
    """JSON text of a value that may hold NumPy numbers, arrays, tensors and non-finite floats.

    Raises:
        TypeError: something in it has no form in JSON.
    """
    import json

    from determined.core._values import to_wire

    return json.dumps(to_wire(obj, "the value"), indent=indent, sort_keys=sort_keys)


def match_legacy_trial_class(arg: str) -> bool:
    """Whether an entrypoint names a trial class, as in ``model_def:MyTrial``, rather than a command."""
    return _LEGACY_TRIAL.fullmatch(arg) is not None


class ExperimentConfig(dict[str, Any]):
    """An experiment configuration as a dictionary, with the questions that programs ask most."""

    def debug_enabled(self) -> bool:
        """Whether ``debug`` is on."""
        return bool(self.get("debug", False))

    def slots_per_trial(self) -> int:
        """Slots that each trial holds."""
        return int(self._section("resources").get("slots_per_trial", 1))

    def experiment_seed(self) -> int:
        """Seed from which those of the trials are drawn."""
        return int(self._section("reproducibility").get("experiment_seed", 0))

    def get_searcher_metric(self) -> str:
        """Name of the metric that the search optimises.

        Raises:
            InvalidInput: there is none, or it is not text.
        """
        metric = self._section("searcher").get("metric")
        if not isinstance(metric, str):
            raise InvalidInput(f"searcher.metric is {metric!r}; set it to the name of a validation metric")
        return metric

    def get_checkpoint_storage(self) -> dict[str, Any]:
        """The ``checkpoint_storage`` section, empty if there is none."""
        return self._section("checkpoint_storage")

    def get_entrypoint(self) -> str | list[str]:
        """The command of a trial: shell text, or a list of arguments.

        Raises:
            InvalidInput: it is neither.
        """
        entrypoint = self.get("entrypoint")
        if isinstance(entrypoint, str):
            return entrypoint
        if isinstance(entrypoint, list) and all(isinstance(part, str) for part in entrypoint):
            return entrypoint
        raise InvalidInput(f"entrypoint is {entrypoint!r}; give a command as text, or a list of texts")

    def _section(self, name: str) -> dict[str, Any]:
        section = self.get(name)
        return section if isinstance(section, dict) else {}


_importing = False


@contextlib.contextmanager
def import_from_path(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block, import modules from ``path`` first; afterwards forget those that were.

    So a checkpoint's own copy of ``model_def.py`` can be imported beside the present one, under another name.
    No ``__pycache__`` is left in ``path``. Not to be nested, nor used in two threads at once.

    Raises:
        FailedPrecondition: nested, or in use in another thread; it is a RuntimeError.
    """
    global _importing
    if _importing:
        raise FailedPrecondition("import_from_path is in use already; leave the outer block first")
    folder = os.path.realpath(path)
    old_path, old_flag = list(sys.path), sys.dont_write_bytecode
    local = {name for place in ("", os.getcwd()) if place in old_path for name in _modules_under(place)}  # noqa: PTH109
    hidden = {name: sys.modules.pop(name) for name in local}
    _importing = True
    importlib.invalidate_caches()
    sys.path[:] = [folder, *(entry for entry in old_path if entry != "")]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        _importing = False
        sys.path[:], sys.dont_write_bytecode = old_path, old_flag
        for name in _modules_under(folder):
            del sys.modules[name]
        sys.modules.update(hidden)


def _modules_under(folder: str) -> list[str]:
    """Names of imported modules whose top-level file or package lies directly in ``folder``."""
    root = os.path.realpath(folder)
    tops = {
        name
        for name, module in list(sys.modules.items())
        if "." not in name and (file := getattr(module, "__file__", None)) and _home(file) == root
    }
    tops -= {"__main__", "determined"}
    return [name for name in sys.modules if name.partition(".")[0] in tops]


def _home(file: str) -> str:
    folder, name = os.path.split(os.path.realpath(file))
    return os.path.dirname(folder) if name.startswith("__init__.") else folder  # noqa: PTH120
