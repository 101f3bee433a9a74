"""The reasons that successive halving gives for what it does."""

from __future__ import annotations

from determined.domain.reasons import Reason


class Words:
    """Makes the reasons of one bracket; ranks count from 1, rungs and brackets from 0.

    Args:
        divisor: one trial in so many is promoted.
        bracket: its number when there are several, else None.
    """

    def __init__(self, divisor: float, bracket: int | None) -> None:
        self.divisor = divisor
        self.more: dict[str, int] = {} if bracket is None else {"bracket": bracket}
        of, within = ("", "") if bracket is None else (" of bracket {bracket}", " in bracket {bracket}")
        reached = "reached {length} with {metric}: rank {rank} of {of} in rung {rung}" + of
        top = "the top 1/{divisor} ({places})"
        self._went_on = f"{reached}, inside {top}: goes on to {{next_length}}"
        self._stopped = f"{reached}, outside {top}: stopped"
        self._waited = (
            "{of} results in rung {rung}" + of + " leave room for {places}; rank {rank} with {metric} was waiting: "
            "goes on to {next_length}"
        )
        self._left = "not promoted from rung {rung}" + of + ": rank {rank} of {of}, "
        self._outside = f"{self._left}outside {top}"
        self._unlucky = f"{self._left}and no result is to come that could promote it"
        self._full = "reached the full length {length} with {metric}: rank {rank} of {of}" + within
        self._starts = ": starts trial {trial} of {trials}" + within
        self._first = "trains to {length} for rung {rung}" + of

    def starts(self, cause: str, trial: int, trials: int) -> Reason:
        """A new trial, for this cause."""
        return Reason(cause + self._starts, trial=trial, trials=trials, **self.more)

    def first_length(self, length: int) -> Reason:
        """The first work of every trial."""
        return Reason(self._first, length=length, rung=0, **self.more)

    def goes_on(
        self, is_own: bool, length: int, metric: float, rank: int, of: int, rung: int, places: int, next_length: int
    ) -> Reason:
        """A trial goes on because of its own result (``is_own``), or because of another's."""
        return Reason(
            self._went_on if is_own else self._waited,
            length=length,
            metric=metric,
            rank=rank,
            of=of,
            rung=rung,
            divisor=self.divisor,
            places=places,
            next_length=next_length,
            **self.more,
        )

    def stopped(self, length: int, metric: float, rank: int, of: int, rung: int, places: int) -> Reason:
        """A trial is closed as soon as it has reported."""
        return Reason(
            self._stopped,
            length=length,
            metric=metric,
            rank=rank,
            of=of,
            rung=rung,
            divisor=self.divisor,
            places=places,
            **self.more,
        )

    def left(self, rank: int, of: int, rung: int, places: int) -> Reason:
        """A trial is closed because its rung is complete and it was not promoted."""
        text = self._outside if rank > places else self._unlucky
        return Reason(text, rank=rank, of=of, rung=rung, divisor=self.divisor, places=places, **self.more)

    def full_length(self, length: int, metric: float, rank: int, of: int) -> Reason:
        """A trial has brought its result to the top rung."""
        return Reason(self._full, length=length, metric=metric, rank=rank, of=of, **self.more)
