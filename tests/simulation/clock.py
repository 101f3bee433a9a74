"""Virtual time, one source of chance, and a trace that tells whether two plays were the same."""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from hashlib import blake2b

Action = Callable[[], object]
TIMER, DELIVERY, FACT = "timer", "delivery", "fact"
REMEMBERED = 60
"""Lines of the trace that a failure shows."""


class Timer:
    """Something that will happen; cancelled, it will not."""

    __slots__ = ("action", "kind", "label")

    def __init__(self, action: Action, label: str, kind: str) -> None:
        self.action: Action | None = action
        self.label = label
        self.kind = kind

    def cancel(self) -> None:
        self.action = None


class Clock:
    """A heap of what is to happen, in an order that depends on the seed alone.

    Attributes:
        now: virtual seconds.
        random: everything that is left to chance is drawn from here.
        counts: simulated events by kind.
        lines: the newest lines of the trace; all of them, if ``keep_all`` was given.
    """

    def __init__(self, seed: int, keep_all: bool = False) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.lines: deque[tuple[float, str, str]] = deque(maxlen=None if keep_all else REMEMBERED)
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = 0
        self._trace = blake2b(digest_size=16)

    def after(self, delay_s: float, action: Action, label: str, kind: str = TIMER) -> Timer:
        """Let something happen later; of what is due at one moment, the earlier asked for comes first."""
        timer = Timer(action, label, kind)
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._number, timer))
        return timer

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        while self._heap:
            at, _, timer = heapq.heappop(self._heap)
            action = timer.action
            if action is not None:
                self.now = at
                self.note(timer.kind, timer.label)
                action()
                return True
        return False

    def note(self, kind: str, text: str) -> None:
        """Count one event, and make it part of the trace."""
        self.counts[kind] += 1
        self.lines.append((self.now, kind, text))
        self._trace.update(f"{self.now:.6f} {kind} {text}\n".encode())

    @property
    def trace(self) -> str:
        """Equal for plays in which the same happened at the same times."""
        return self._trace.hexdigest()

    @property
    def total(self) -> int:
        """How many events there were."""
        return self.counts.total()
