"""A master whose runs only exist: ``python -m bench.hold_master FIFO ARGUMENTS...``.

It is the real one but for its launcher, which writes the identity of each run into a named pipe, a line of JSON, for
clients that report in its name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from determined.launchers.protocol import LauncherListener, RunSpec, Slot, SlotKind
from determined.master import app
from determined.master.__main__ import main


class HoldingLauncher:
    """Starts nothing, and says who it would have been."""

    name = "holding"

    def __init__(self, path: str, slots: int) -> None:
        self._told = Path(path).open("w")  # noqa: SIM115 - for as long as the master lives
        self._slots = tuple(Slot(number, SlotKind.CPU, f"client {number}") for number in range(slots))

    def slots(self) -> Sequence[Slot]:
        """As many as the master was started with."""
        return self._slots

    async def open(self, listener: LauncherListener) -> None:
        """Nothing will ever be told."""

    async def start(self, spec: RunSpec) -> None:
        """Tell what the process would find in its environment."""
        env = spec.env
        run: dict[str, Any] = {"trial": int(env["DET_TRIAL_ID"]), "run": int(env["DET_TRIAL_RUN_ID"])}
        run |= {"token": env["DET_SESSION_TOKEN"], "allocation": spec.allocation_id}
        self._told.write(json.dumps(run) + "\n")
        self._told.flush()

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """This master starts only once."""
        return False

    async def kill(self, allocation_id: str) -> None:
        """There is nothing to kill."""

    async def remove(self, allocation_id: str) -> None:
        """There is nothing of it left."""

    async def close(self) -> None:
        """The pipe ends with the master."""


if __name__ == "__main__":
    fifo, *arguments = sys.argv[1:]
    setattr(app, "LocalLauncher", lambda data, slots: HoldingLauncher(fifo, slots or 2))  # noqa: B010
    sys.exit(main(arguments))
