"""Processes that can die, be stopped and go on, and that are written as generators of what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from determined.errors import StorageFailed, Unavailable
from tests.simulation.clock import Action, Clock, Timer

if TYPE_CHECKING:
    from tests.simulation.network import Network

LONGEST_PAUSE_S = 10.0


class Host:
    """Something that things happen to: while it is stopped, later; once it is dead, never."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.alive = True
        self.stopped = False
        self._due: list[Action] = []

    def later(self, delay_s: float, action: Action, label: str) -> Timer:
        return self.clock.after(delay_s, lambda: self.do(action), f"{self.name}: {label}")

    def do(self, action: Action) -> None:
        if not self.alive:
            return
        if self.stopped:
            self._due.append(action)
        else:
            action()

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        due, self._due = self._due, []
        for action in due:
            self.later(0.0, action, "catches up")

    def die(self) -> None:
        self.alive = False
        self._due.clear()


@dataclass(frozen=True)
class Sleep:
    """Wait for some time, or work for it."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """Ask the master.

    Attributes:
        kind: which request; ``about`` names who it is about, for the trace and for checks.
        body: the arguments.
    """

    kind: str
    about: tuple[int, int]
    body: Any
    timeout_s: float


Command = Sleep | Call
Script = Generator[Command, Any, Any]


class Exit(Exception):
    """Raised in a script: the process ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Died(BaseException):
    """Raised in a script: the process is dead at this very point."""


class Process(Host):
    """Runs a script; ``ended`` hears its exit code, or None if it died of a fault of its own."""

    def __init__(
        self, clock: Clock, network: Network, name: str, script: Script, ended: Callable[[int | None], None]
    ) -> None:
        super().__init__(clock, name)
        self._network = network
        self._script = script
        self._ended = ended
        self.later(0.0, self._advance, "begins")

    def die(self) -> None:
        super().die()
        self._script.close()

    def answer(self, value: Any) -> None:
        """The answer to the newest call: a value, or an exception to raise."""
        self.do(lambda: self._advance(value))

    def _advance(self, value: Any = None) -> None:
        try:
            command = self._script.throw(value) if isinstance(value, Exception) else self._script.send(value)
        except StopIteration:
            self._end(0)
        except Exit as e:
            self._end(e.code)
        except Died:
            self._end(None)
        else:
            if isinstance(command, Sleep):
                self.later(command.seconds, self._advance, "wakes")
            else:
                self._network.call(self, command)

    def _end(self, code: int | None) -> None:
        super().die()
        self._ended(code)


def patiently(call: Call) -> Script:
    """Repeat a call until there is an answer: the value is returned, a refusal is raised."""
    pause_s = 0.2
    while True:
        try:
            return (yield call)
        except (Unavailable, StorageFailed):
            yield Sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
