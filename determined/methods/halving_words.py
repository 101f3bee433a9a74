"""The reasons that successive halving gives for what it does."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from determined.domain.reasons import Explanation, Number, Reason


class Words(msgspec.Struct, frozen=True):
    """What the reasons of one bracket have in common; in all of them ranks count from 1, rungs and brackets from 0.

    Attributes:
        divisor: one trial in so many is promoted.
        bracket: its number when there are several, else None.
        lengths: of its rungs.
        trials: how many it starts.
    """

    divisor: float
    bracket: int | None
    lengths: tuple[int, ...]
    trials: int

    @property
    def more(self) -> Mapping[str, Number]:
        """What each reason tells beside its own numbers."""
        return {} if self.bracket is None else {"bracket": self.bracket}

    @property
    def of(self) -> str:
        """Which bracket a rung is one of."""
        return "" if self.bracket is None else f" of bracket {self.bracket}"

    @property
    def within(self) -> str:
        """Which bracket a trial is in."""
        return "" if self.bracket is None else f" in bracket {self.bracket}"

    @property
    def top(self) -> str:
        """Those that are promoted."""
        return f"the top 1/{self.divisor:g}"

    def starts(self, cause: str, trial: int) -> Explanation:
        """Why there is a new trial, which counts from 1."""
        return Starts(self, cause, trial)

    def first_length(self) -> Reason:
        """The first work of every trial."""
        length = self.lengths[0]
        return Reason.told(f"trains to {length} for rung 0{self.of}", length=length, rung=0, **self.more)


class _Worded(Explanation, msgspec.Struct, frozen=True, gc=False, eq=False):
    words: Words


class Starts(_Worded, frozen=True, gc=False, eq=False):
    """A new trial, for this cause."""

    cause: str
    trial: int

    @property
    def numbers(self) -> Mapping[str, Number]:
        """Which trial of how many."""
        return {"trial": self.trial, "trials": self.words.trials, **self.words.more}

    def __str__(self) -> str:
        return f"{self.cause}: starts trial {self.trial} of {self.words.trials}{self.words.within}"


class _Ranked(_Worded, frozen=True, gc=False, eq=False):
    """About a trial with this rank among the results of a rung, of which there are ``among``."""

    rung: int
    rank: int
    among: int


class _Judged(_Ranked, frozen=True, gc=False, eq=False):
    """About a trial below the top; ``places`` of its rung are inside the top share."""

    metric: float
    places: int

    @property
    def numbers(self) -> Mapping[str, Number]:
        """What was compared with what."""
        return {
            "length": self.words.lengths[self.rung],
            "metric": self.metric,
            "rank": self.rank,
            "of": self.among,
            "rung": self.rung,
            "divisor": self.words.divisor,
            "places": self.places,
            **self._where_to(),
            **self.words.more,
        }

    def _where_to(self) -> Mapping[str, Number]:
        return {}

    def _reached(self) -> str:
        length, of = self.words.lengths[self.rung], self.words.of
        return f"reached {length} with {self.metric:.6g}: rank {self.rank} of {self.among} in rung {self.rung}{of}"


class GoesOn(_Judged, frozen=True, gc=False, eq=False):
    """A trial goes on because of its own result."""

    def __str__(self) -> str:
        return f"{self._reached()}, inside {self.words.top} ({self.places}): goes on to {self._next}"

    @property
    def _next(self) -> int:
        return self.words.lengths[self.rung + 1]

    def _where_to(self) -> Mapping[str, Number]:
        return {"next_length": self._next}


class GoesOnLate(GoesOn, frozen=True, gc=False, eq=False):
    """A trial goes on because of another's result."""

    def __str__(self) -> str:
        return (
            f"{self.among} results in rung {self.rung}{self.words.of} leave room for {self.places}; "
            f"rank {self.rank} with {self.metric:.6g} was waiting: goes on to {self._next}"
        )


class Stopped(_Judged, frozen=True, gc=False, eq=False):
    """A trial is closed as soon as it has reported."""

    def __str__(self) -> str:
        return f"{self._reached()}, outside {self.words.top} ({self.places}): stopped"


class Left(_Ranked, frozen=True, gc=False, eq=False):
    """A trial is closed because its rung is complete and it was not promoted."""

    places: int

    @property
    def numbers(self) -> Mapping[str, Number]:
        """Its place among the results."""
        return {
            "rank": self.rank,
            "of": self.among,
            "rung": self.rung,
            "divisor": self.words.divisor,
            "places": self.places,
            **self.words.more,
        }

    def __str__(self) -> str:
        is_outside = self.rank > self.places
        outside = f"outside {self.words.top} ({self.places})"
        why = outside if is_outside else "and no result is to come that could promote it"
        return f"not promoted from rung {self.rung}{self.words.of}: rank {self.rank} of {self.among}, {why}"


class FullLength(_Ranked, frozen=True, gc=False, eq=False):
    """A trial has brought its result to the top rung."""

    metric: float

    @property
    def numbers(self) -> Mapping[str, Number]:
        """Its result and its place among the others."""
        length = self.words.lengths[self.rung]
        return {"length": length, "metric": self.metric, "rank": self.rank, "of": self.among, **self.words.more}

    def __str__(self) -> str:
        length, within = self.words.lengths[self.rung], self.words.within
        return f"reached the full length {length} with {self.metric:.6g}: rank {self.rank} of {self.among}{within}"
