"""The population of a population-based training: its members, their ranks, and what is said of them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from determined.domain.reasons import Reason
from determined.methods.rungs import plain


class Parent(msgspec.Struct, frozen=True):
    """The trial that a member was copied from, and the point that it had."""

    number: int
    point: dict[str, Any]


class Member(msgspec.Struct):
    """A trial of the population.

    Attributes:
        number: of the trial in the search, from 0; what is said of it counts from 1.
        point: its hyperparameters.
        metric: what it reported in this round; NaN before that, and when its hyperparameters are invalid.
        has_result: this round need not wait for it any more.
        ended: it has ended early.
    """

    number: int
    point: dict[str, Any]
    parent: Parent | None = None
    metric: float = math.nan
    has_result: bool = False
    ended: bool = False

    def to_json(self) -> dict[str, Any]:
        """The member as JSON-able values."""
        return {**msgspec.to_builtins(self), "metric": plain(self.metric)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Member:
        """The member that ``to_json`` described."""
        return msgspec.convert({**saved, "metric": float(saved["metric"])}, cls)


class Ranking:
    """A round's members, best first; those without a number for a metric come last, and of equal ones the older first.

    Args:
        sign: 1 if smaller metrics are better, else -1.
        length: what the round trained to.
    """

    def __init__(self, members: Mapping[uuid.UUID, Member], sign: float, length: int) -> None:
        self.sign = sign
        self.length = length
        self.members = sorted(members.items(), key=lambda item: (self._loss(item[1]), item[1].number))
        self.ranks = {member.number: rank for rank, (_, member) in enumerate(self.members, 1)}

    def _loss(self, member: Member) -> float:
        return math.inf if math.isnan(member.metric) else self.sign * member.metric

    def parents(self, most: int) -> list[Member]:
        """At most so many of the best; only members that have a metric that is a number, and not the worst possible."""
        return [member for _, member in self.members[:most] if self._loss(member) < math.inf]

    def standing(self, member: Member, then: str) -> Reason:
        """Where a member stands, and what comes of it."""
        return Reason(
            "reached {length} with {metric}: rank {rank} of {of}: {then}",
            length=self.length,
            metric=member.metric,
            rank=self.ranks[member.number],
            of=len(self.ranks),
            then=then,
        )

    def copied(self, loser: Member, parent: Member) -> Reason:
        """Why there is a copy of a parent."""
        return Reason(
            "replaces trial {trial} (rank {rank} of {of}) with a copy of trial {parent} (rank {parent_rank} with "
            "{parent_metric})",
            trial=loser.number + 1,
            rank=self.ranks[loser.number],
            of=len(self.ranks),
            parent=parent.number + 1,
            parent_rank=self.ranks[parent.number],
            parent_metric=parent.metric,
        )
