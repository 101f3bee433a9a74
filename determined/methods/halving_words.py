"""The reasons that successive halving gives for what it does."""

from __future__ import annotations

from determined.domain.reasons import Reason

# The names of the numbers of each kind of reason, in the order of the values.
_STARTS = ("trial", "trials")
_STOPPED = ("length", "metric", "rank", "of", "rung", "divisor", "places")
_GOES_ON = (*_STOPPED, "next_length")
_LEFT = ("rank", "of", "rung", "divisor", "places")
_FULL_LENGTH = ("length", "metric", "rank", "of")


class Words:
    """Makes the reasons of one bracket; ranks count from 1, rungs and brackets from 0.

    Args:
        divisor: one trial in so many is promoted.
        bracket: its number when there are several, else None.
    """

    def __init__(self, divisor: float, bracket: int | None) -> None:
        self.divisor = divisor
        self.more: dict[str, int] = {} if bracket is None else {"bracket": bracket}
        self._more = tuple(self.more.values())
        self._starts, self._goes_on, self._stopped, self._left, self._full_length = (
            names + tuple(self.more) for names in (_STARTS, _GOES_ON, _STOPPED, _LEFT, _FULL_LENGTH)
        )
        self._of = "" if bracket is None else f" of bracket {bracket}"
        self._within = "" if bracket is None else f" in bracket {bracket}"
        self._top = f"the top 1/{divisor:g}"

    def starts(self, cause: str, trial: int, trials: int) -> Reason:
        """A new trial, for this cause."""
        text = f"{cause}: starts trial {trial} of {trials}{self._within}"
        return Reason.of(text, self._starts, (trial, trials, *self._more))

    def first_length(self, length: int) -> Reason:
        """The first work of every trial."""
        return Reason.told(f"trains to {length} for rung 0{self._of}", length=length, rung=0, **self.more)

    def goes_on(
        self, is_own: bool, length: int, metric: float, rank: int, of: int, rung: int, places: int, next_length: int
    ) -> Reason:
        """A trial goes on because of its own result (``is_own``), or because of another's."""
        if is_own:
            why = f"{self._reached(length, metric, rank, of, rung)}, inside {self._top} ({places})"
        else:
            why = (
                f"{of} results in rung {rung}{self._of} leave room for {places}; "
                f"rank {rank} with {metric:.6g} was waiting"
            )
        numbers = (length, metric, rank, of, rung, self.divisor, places, next_length, *self._more)
        return Reason.of(f"{why}: goes on to {next_length}", self._goes_on, numbers)

    def stopped(self, length: int, metric: float, rank: int, of: int, rung: int, places: int) -> Reason:
        """A trial is closed as soon as it has reported."""
        text = f"{self._reached(length, metric, rank, of, rung)}, outside {self._top} ({places}): stopped"
        numbers = (length, metric, rank, of, rung, self.divisor, places, *self._more)
        return Reason.of(text, self._stopped, numbers)

    def left(self, rank: int, of: int, rung: int, places: int) -> Reason:
        """A trial is closed because its rung is complete and it was not promoted."""
        is_outside = rank > places
        why = f"outside {self._top} ({places})" if is_outside else "and no result is to come that could promote it"
        text = f"not promoted from rung {rung}{self._of}: rank {rank} of {of}, {why}"
        return Reason.of(text, self._left, (rank, of, rung, self.divisor, places, *self._more))

    def full_length(self, length: int, metric: float, rank: int, of: int) -> Reason:
        """A trial has brought its result to the top rung."""
        text = f"reached the full length {length} with {metric:.6g}: rank {rank} of {of}{self._within}"
        return Reason.of(text, self._full_length, (length, metric, rank, of, *self._more))

    def _reached(self, length: int, metric: float, rank: int, of: int, rung: int) -> str:
        return f"reached {length} with {metric:.6g}: rank {rank} of {of} in rung {rung}{self._of}"
