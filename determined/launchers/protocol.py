"""The contract between the master and whatever runs processes for it.

A launcher runs *allocations*: one run of one trial. It never decides: it starts, kills and reports. Everything it
reports may come twice (after a restart of the master), so log lines carry their index and exits are idempotent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable


class SlotKind(str, enum.Enum):
    """What a slot stands for."""

    CPU = "CPU"
    CUDA = "CUDA"


@dataclass(frozen=True)
class Slot:
    """One device, or one share of the machine's cores, that a run can hold."""

    id: int
    kind: SlotKind
    name: str
    uuid: str = ""


@dataclass(frozen=True)
class Warm:
    """What the processes are to have loaded that Python programs are forked from.

    Attributes:
        program: what the interpreter is given, ``(script, ...)`` or ``("-m", module, ...)``, which is read for what it
            imports. It differs from the command of the run where that only prepares the program.
        modules: to load instead of what the program imports.
        prelude: to load in any case.
    """

    program: tuple[str, ...]
    modules: tuple[str, ...] | None = None
    prelude: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """Everything needed to start one run; complete, so that nothing has to be asked for later.

    Attributes:
        allocation_id: names the run, and the lock by which it is known to live. Starting it twice starts it once.
        argv: the entrypoint as a list of arguments; a shell text comes as ``("sh", "-c", text)``.
        env: additions to the launcher's own environment; values are secret (tokens).
        context: gzipped tar of the model definition, or None for an empty working folder.
        slot_ids: slots of this launcher that the run holds; () for none.
        info_files: file name -> JSON text, written to the folder that ``DET_INFO_DIR`` names.
        genuine_paths: make the fixed paths of the genuine trial library work (``/run/determined`` and
            ``/determined_shared_fs``), in a mount namespace of the run's own.
        shared_fs_host_path: what ``/determined_shared_fs`` is bound to with ``genuine_paths``.
        warm: how a Python program may be forked from a process that has its modules loaded; None: it is started in an
            interpreter of its own.
    """

    allocation_id: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    context: Path | None = None
    slot_ids: tuple[int, ...] = ()
    info_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    genuine_paths: bool = False
    shared_fs_host_path: str | None = None
    warm: Warm | None = None


@dataclass(frozen=True)
class LogLine:
    """One line of a run's output, without its newline.

    Attributes:
        at: when the line was read, seconds since the epoch.
        stdtype: ``stdout`` or ``stderr``.
    """

    at: float
    stdtype: str
    text: str


@dataclass(frozen=True)
class RunExit:
    """How a run ended.

    Attributes:
        code: exit code; a signal counts as 128 + its number; None when nobody saw the end
            (shim killed, machine rebooted): a failure of the system, not of the trial.
        at: when, seconds since the epoch.
        reason: a sentence for people when ``code`` is None or the run could not be started.
    """

    code: int | None
    at: float
    reason: str = ""


class LauncherListener(Protocol):
    """What the master does with a launcher's news; each call returns once the news is durable."""

    async def on_running(self, allocation_id: str) -> None:
        """The run's process exists."""

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        """Lines ``first, first + 1, ...`` of the run (counted from 0); lines already known are skipped."""

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        """The run's last process is gone and all of its lines have been delivered."""


@dataclass(frozen=True)
class Machine:
    """One of the machines that a launcher has runs on.

    Attributes:
        held: which of its slots are held, and by which runs.
    """

    id: str
    addresses: tuple[str, ...]
    slots: tuple[Slot, ...]
    held: Mapping[int, str]


@dataclass(frozen=True)
class Member:
    """One of the nodes that a run is on.

    Attributes:
        address: at which the other nodes reach it.
        slots: that the run holds there.
    """

    address: str
    slots: int


class Launcher(Protocol):
    """Runs allocations. All calls come from the master's event loop."""

    name: str

    def slots(self) -> Sequence[Slot]:
        """Slots of this launcher, fixed while the master lives."""

    async def open(self, listener: LauncherListener) -> None:
        """Begin to report to ``listener``; called once, before any other call but ``slots``."""

    async def start(self, spec: RunSpec) -> None:
        """Start a run in the background. Repeating it for an allocation that was started changes nothing.

        A run that cannot be started is reported through ``on_exit``, never raised.
        """

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """After a restart of the master: take up a run that may still be alive.

        Returns:
            True when the run was started before (its logs from ``lines_known`` on and its exit will be
            reported, at once if it is over); False when it never was, so that it must be started.
        """

    async def kill(self, allocation_id: str) -> None:
        """Kill every process of the run, grandchildren included; its exit is reported as usual.

        Repeating it kills again; an unknown or ended run is ignored.
        """

    async def remove(self, allocation_id: str) -> None:
        """Forget an ended run and delete what it left on disk."""

    async def close(self) -> None:
        """Stop reporting. Runs go on."""


@runtime_checkable
class ClusterLauncher(Protocol):
    """What a launcher of many machines does besides; that of one machine has nothing to say here."""

    async def machines(self) -> Sequence[Machine]:
        """Machines that are there now."""

    def when_machines_change(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` whenever others are there, as far as the cluster tells by itself."""

    async def members(self, allocation_id: str) -> Sequence[Member]:
        """The nodes that a run is on, that of the chief first; waits until it has its places.

        Raises:
            NotFound: the launcher does not know the run, or it is over.
        """

    def is_crowded(self) -> bool:
        """Whether a run that was started waits for a place, so that processes without work should give way."""

    async def settle(self, live: Collection[str]) -> None:
        """After a restart, once the master knows all of its live runs: end what others have left behind.

        Args:
            live: allocation ids of all runs that the master has started and not seen the end of.
        """
