"""Lets Hypothesis choose what happens in many worlds, and shorten the choices of one that shows a fault."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from determined.workshop.check.moves import VALUES, Chooser, Move, Setting, possible
from determined.workshop.check.play import Outcome
from determined.workshop.check.world import World

Player = Callable[[Setting, Chooser], Outcome]

MOST_MOVES = 40
MOST_SHRINKS = 60
"""Worlds that are tried to find a shorter one than the first that showed a fault."""
_HEAD, _EACH = 4, 3
_SIZE = _HEAD + _EACH * MOST_MOVES
"""A world is drawn as one row of bytes. Were each choice a draw, Hypothesis would copy some over others, which makes
worlds alike; and a draw takes longer than what follows from a choice."""

_CALM = {"answer": 6, "validate": 8, "leave": 4, "progress": 2}
_PROFILES: tuple[Mapping[str, int], ...] = (
    _CALM,
    {**_CALM, "crash": 2, "stop": 2, "invalid": 2, "kill": 1},
    {"answer": 1, "validate": 8, "leave": 4, "progress": 1, "crash": 1, "invalid": 1, "kill": 1},
    {"answer": 6, "validate": 4, "leave": 3, "progress": 8, "crash": 4, "repeat": 2},
    {**_CALM, "crash": 1, "stop": 1, "invalid": 1, "kill": 1, "workers": 2, "pause": 1, "activate": 4},
    {**_CALM, "progress": 4, "repeat": 2, "kill": 1, "pause": 1, "activate": 2, "cancel": 1, "end": 1},
)
"""How often each verb is chosen, in worlds of different characters; the calm one comes first."""
_OFTEN = 4
_WORKERS = (4, 2, 1, 8)


class _Enough(BaseException):
    """Ends Hypothesis at once; it lets through what is no Exception."""


class Exploration:
    """The worlds of one check.

    Attributes:
        worlds: that were played to their end.
        failed: the best world that shows a fault: of one kind, and the shortest of these.
    """

    def __init__(self, play: Player, max_work: int) -> None:
        self.play = play
        self.max_work = max_work
        self.worlds: list[Outcome] = []
        self.work = 0
        self.failed: Outcome | None = None
        self._shrinks = 0

    def run(self, examples: int, seed: int | None) -> None:
        """Play so many worlds, fewer when they are long, or until one shows a fault."""
        import hypothesis.errors
        from hypothesis import strategies

        rows = strategies.binary(min_size=_SIZE, max_size=_SIZE)

        test = hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            derandomize=seed is None,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
            verbosity=hypothesis.Verbosity.quiet,
        )(hypothesis.given(rows)(lambda row: self._explore(row)))
        if seed is not None:
            test = hypothesis.seed(seed)(test)
        try:
            with _no_files():
                test()
        except (_Enough, _Found):
            pass
        except hypothesis.errors.Flaky:
            # The world that failed does not fail again. It is kept here, and what that means is found out elsewhere.
            if self.failed is None:
                raise

    def _explore(self, row: bytes) -> None:
        drawn = _Drawn(row)
        # Where processes fail often, trials go on all the same, or there would not be much of a search.
        restarts = 1 if drawn.weights.get("crash", 0) >= _OFTEN else row[1] % 2
        outcome = self.play(Setting(_WORKERS[row[0] % len(_WORKERS)], restarts), drawn)
        self.work += outcome.work
        if self.failed is not None:
            self._shrinks += 1
        if outcome.finding is None:
            self._count(outcome)
        elif self._is_better(outcome):
            self.failed = outcome
        if self._shrinks > MOST_SHRINKS or self.work > self.max_work:
            raise _Enough
        if outcome.finding is not None and self.failed is not None and outcome.finding.kind is _kind(self.failed):
            raise _Found

    def _count(self, outcome: Outcome) -> None:
        if self.failed is None:
            self.worlds.append(outcome)

    def _is_better(self, outcome: Outcome) -> bool:
        if self.failed is None:
            return True
        return _kind(outcome) is _kind(self.failed) and outcome.size < self.failed.size


class _Found(AssertionError):
    """A world shows the fault."""


class _Drawn:
    """Chooses by a row of bytes; zeros make the simplest choices."""

    def __init__(self, row: bytes) -> None:
        self.weights = _PROFILES[row[2] % len(_PROFILES)]
        self.left = row[3] % (MOST_MOVES + 1)
        self.bytes = iter(row[_HEAD:])

    def __call__(self, world: World) -> Move | None:
        if not self.left:
            return None
        self.left -= 1
        which, who, what = itertools.islice(self.bytes, _EACH)
        found = possible(world)
        verbs = [verb for verb in found for _ in range(self.weights.get(verb, 0))]
        if not verbs:
            return None
        verb = verbs[which % len(verbs)]
        values = VALUES.get(verb, (0.0,))
        return Move(verb, found[verb][who % len(found[verb])], values[what % len(values)])


def _kind(outcome: Outcome) -> object:
    return None if outcome.finding is None else outcome.finding.kind


@contextmanager
def _no_files() -> Iterator[None]:
    """Hypothesis keeps its caches where they vanish, not in the working directory."""
    from hypothesis import configuration

    before = vars(configuration).get("__hypothesis_home_directory")
    with tempfile.TemporaryDirectory(prefix="det-check-") as name:
        configuration.set_hypothesis_home_dir(name)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(before)
