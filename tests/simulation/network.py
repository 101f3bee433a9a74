"""Calls between processes and the master: lost, answered into the void, repeated, late, out of order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from determined.errors import Unavailable
from tests.simulation.clock import DELIVERY, Clock, Timer
from tests.simulation.processes import Call, Process

Answer = Callable[[Any], None]


class Server(Protocol):
    """Who answers calls."""

    alive: bool

    def receive(self, call: Call, answer: Answer) -> None:
        """Answer now or later, with a value or an exception."""


@dataclass(frozen=True)
class Weather:
    """Chances of what can befall one message. ``late_s``: how late the late ones are at most."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    late_s: float = 5.0


FAIR = Weather()


@dataclass(eq=False)
class _Open:
    process: Process
    call: Call
    timeout: Timer | None = None
    is_over: bool = False


class Network:
    """Delivers calls to whichever master lives at that moment."""

    def __init__(self, clock: Clock, weather: Weather) -> None:
        self.clock = clock
        self.weather = weather
        self.server: Server | None = None
        self._open: dict[int, _Open] = {}
        self._number = 0

    def call(self, process: Process, call: Call) -> None:
        """Send a call; the process hears the first answer, or that there was none in time."""
        self._number += 1
        number, open_call = self._number, _Open(process, call)
        self._open[number] = open_call
        label = f"{process.name}: no answer to {call.kind}"
        open_call.timeout = self.clock.after(call.timeout_s, lambda: self._fail(number, "no answer in time"), label)
        chance, weather = self.clock.random.random, self.weather
        if chance() >= weather.lose_request:
            self._send(number, open_call)
        if chance() < weather.repeat:
            self._send(number, open_call)

    def reset(self) -> None:
        """The master is gone: most callers notice at once, the others wait until their time is over."""
        for number in list(self._open):
            if self.clock.random.random() < 0.8:
                self._later(number, "connection reset", "is reset")

    def _send(self, number: int, open_call: _Open) -> None:
        call = open_call.call
        label = f"{open_call.process.name}: {call.kind} {call.about} arrives"
        self.clock.after(self._delay(), lambda: self._arrive(number, open_call), label, DELIVERY)

    def _delay(self) -> float:
        chance = self.clock.random.random
        if chance() < self.weather.late:
            return chance() * self.weather.late_s
        return 0.001 + 0.01 * chance()

    def _arrive(self, number: int, open_call: _Open) -> None:
        server = self.server
        if server is None or not server.alive:
            self._later(number, "connection refused", "is refused")
        else:
            server.receive(open_call.call, lambda value: self._answer(number, open_call, value))

    def _answer(self, number: int, open_call: _Open, value: Any) -> None:
        if open_call.is_over or self.clock.random.random() < self.weather.lose_answer:
            return
        label = f"{open_call.process.name}: answer to {open_call.call.kind} {_told(value)}"
        self.clock.after(self._delay(), lambda: self._finish(number, value), label, DELIVERY)

    def _later(self, number: int, message: str, label: str) -> None:
        name = self._open[number].process.name if number in self._open else "nobody"
        self.clock.after(0.005, lambda: self._fail(number, message), f"{name}: {label}", DELIVERY)

    def _fail(self, number: int, message: str) -> None:
        self._finish(number, Unavailable(message))

    def _finish(self, number: int, value: Any) -> None:
        open_call = self._open.pop(number, None)
        if open_call is None:
            return
        open_call.is_over = True
        if open_call.timeout is not None:
            open_call.timeout.cancel()
        open_call.process.answer(value)


def _told(value: Any) -> str:
    return type(value).__name__ if isinstance(value, (Exception, list)) else repr(value)
