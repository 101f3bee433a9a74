"""Population-based training: bad members of a population are replaced by changed copies of good ones."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.hparams import sample
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState, SearchMethod
from determined.domain.space import SpaceLike, as_space
from determined.errors import InvalidInput
from determined.methods.arguments import at_least, check_flags, number_of
from determined.methods.draws import Draws
from determined.methods.explore import changes, explore
from determined.methods.population import Member, Parent, Ranking


class PBTSearch(SearchMethod):
    """A population trains in rounds; after each, the worst members end and copies of the best take their places.

    A copy starts from its parent's newest checkpoint (exploit), with hyperparameters that differ a little from the
    parent's (explore); see ``explore``. Its lengths go on counting where the parent's stopped: round k ends at
    ``max_length * k / num_rounds``, counted from the beginning of the oldest ancestor. So a training script has to save
    a checkpoint before it reports that an operation is completed, and to take the number of its steps from the
    checkpoint, whichever trial that came from.

    A member that ends early is the worst of its round. One with invalid hyperparameters is replaced at once: by another
    copy of the same parent, or in the first round by another random point. When no member of a round has a metric,
    those that ended are replaced by random points.

    Source: Jaderberg et al., Population Based Training of Neural Networks, 2017, Algorithm 1, with truncation selection
    (section 4.1.1). There each member compares itself when it is ready; here all wait for the end of the round, so that
    members are compared at equal lengths, and a parent's newest checkpoint is the one that its metric belongs to.

    State: the members with their points, metrics and parents; the round; how many trials were started.
    Cost: O(1) per event, O(population log population) at the end of a round; O(population) for a snapshot.

    Args:
        space: what points are drawn from, and changed within.
        max_length: how long the last round trains to, in the experiment's unit.
        population_size: how many trials train at a time, at least 2.
        num_rounds: how many times the population is compared, the last one included.
        truncate_fraction: which share of the population is replaced after a round, and which share may become parents;
            at least one member, 0 for none; at most a half.
        resample_probability: how likely a hyperparameter of a copy is drawn anew.
        perturb_factor: by which part a number of a copy grows or shrinks otherwise.
        smaller_is_better: direction of the metric.
        seed: the same seed makes the same draws.

    Raises:
        InvalidInput: an argument is out of range.
    """

    auto_shutdown = True
    deterministic = True

    def __init__(
        self,
        space: SpaceLike,
        max_length: int,
        population_size: int,
        num_rounds: int,
        *,
        truncate_fraction: float = 0.2,
        resample_probability: float = 0.2,
        perturb_factor: float = 0.2,
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, max_length=max_length, num_rounds=num_rounds)
        at_least(2, population_size=population_size)
        check_flags(smaller_is_better=smaller_is_better)
        if num_rounds > max_length:
            raise InvalidInput(f"{num_rounds} rounds do not fit into a max_length of {max_length}; use fewer")
        _check_share("truncate_fraction", truncate_fraction, 0.5)
        _check_share("resample_probability", resample_probability, 1)
        _check_share("perturb_factor", perturb_factor, 0.99)
        self.space = as_space(space)
        self.max_length = max_length
        self.population_size = population_size
        self.num_rounds = num_rounds
        self.replaced = max(int(population_size * truncate_fraction), 1) if truncate_fraction else 0
        self.resample_probability = resample_probability
        self.perturb_factor = perturb_factor
        self.sign = 1.0 if smaller_is_better else -1.0
        self.draws = Draws(seed)
        self._request_id = self.draws.request_ids("trial")
        self.members: dict[uuid.UUID, Member] = {}
        self.created = 0
        self.round = 1
        self.results = 0

    # What it hears

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The first population."""
        size = self.population_size
        return [
            op
            for number in range(1, size + 1)
            for op in self._random_point(Reason("member {member} of {of}", member=number, of=size))
        ]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """Nothing to do."""
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """The next round, if this was the last result of the present one.

        Raises:
            InvalidInput: the metric is no number.
        """
        member = self.members.get(request_id)
        if member is None:
            return []
        member.metric = number_of(metric)
        return self._count(member)

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """The same, or another trial in the place of one with invalid hyperparameters."""
        member = self.members.get(request_id)
        if member is None:
            return []
        member.ended = True
        is_invalid = exited_reason is ExitedReason.INVALID_HP
        if member.has_result:
            if is_invalid:
                member.metric = math.nan
            return []
        if is_invalid:
            del self.members[request_id]
            why = Reason("replaces trial {trial}, whose hyperparameters are invalid", trial=member.number + 1)
            return self._random_point(why) if member.parent is None else self._copy(member.parent, why)
        return self._count(member)

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """Nothing to do, unless somebody else has closed a member: then it counts as ended early."""
        member = self.members.get(request_id)
        if member is None or member.ended:
            return []
        return self.on_trial_exited_early(state, request_id, ExitedReason.USER_CANCELED)

    def progress(self, state: SearcherState) -> float:
        """Results over those of all rounds."""
        return ((self.round - 1) * self.population_size + self.results) / (self.num_rounds * self.population_size)

    # How it decides

    @property
    def length(self) -> int:
        """Where the present round ends."""
        return self.max_length * self.round // self.num_rounds

    def _count(self, member: Member) -> list[Operation]:
        member.has_result = True
        self.results += 1
        return self._judge() if self.results == self.population_size else []

    def _judge(self) -> list[Operation]:
        """Rank the population, and begin the next round, if there is one."""
        ranking = Ranking(self.members, self.sign, self.length)
        self.results, self.round = 0, self.round + 1
        if self.round > self.num_rounds:
            self.members = {}
            return [
                Close(request_id, ranking.standing(member, "the last round is over"))
                for request_id, member in ranking.members
                if not member.ended
            ]
        parents = ranking.parents(max(self.replaced, 1))
        safe = len(ranking.members) - (self.replaced if parents else 0)
        losers = [item for rank, item in enumerate(ranking.members) if rank >= safe or item[1].ended]
        operations = [op for request_id, loser in losers for op in self._replace(request_id, loser, parents, ranking)]
        for request_id, member in ranking.members:
            if request_id in self.members:
                why = ranking.standing(member, f"goes on to {self.length}")
                operations.append(ValidateAfter(request_id, self.length, why))
                member.metric, member.has_result = math.nan, False
        return operations

    def _replace(
        self, request_id: uuid.UUID, loser: Member, parents: list[Member], ranking: Ranking
    ) -> list[Operation]:
        del self.members[request_id]
        operations: list[Operation] = []
        if not loser.ended:
            why = ranking.standing(loser, f"its place goes to trial {self.created + 1}")
            operations.append(Close(request_id, why))
        if not parents:
            text = "replaces trial {trial}, which ended early; no member has a metric to go by"
            return self._random_point(Reason(text, trial=loser.number + 1))
        parent = parents[self.draws(f"parent {self.created}").randrange(len(parents))]
        return operations + self._copy(Parent(parent.number, parent.point), ranking.copied(loser, parent))

    # New members

    def _random_point(self, reason: Reason) -> list[Operation]:
        return self._create(sample(self.space, self.draws(f"point {self.created}")), None, reason)

    def _copy(self, parent: Parent, reason: Reason) -> list[Operation]:
        rng = self.draws(f"copy {self.created}")
        point = explore(self.space, parent.point, rng, self.resample_probability, self.perturb_factor)
        changed = changes(parent.point, point)
        told = Reason.told(f"{reason}; what changes: {changed}", **reason.numbers, changes=changed)
        return self._create(point, parent, told)

    def _create(self, point: dict[str, Any], parent: Parent | None, reason: Reason) -> list[Operation]:
        request_id = self._request_id(self.created)
        self.members[request_id] = Member(self.created, point, parent)
        self.created += 1
        source = None if parent is None else self._request_id(parent.number)
        length = Reason("round {round} of {rounds}", round=self.round, rounds=self.num_rounds)
        return [
            Create(request_id, point, reason=reason, source_trial=source),
            ValidateAfter(request_id, self.length, length),
        ]

    # Its state

    def summary(self) -> Mapping[str, Any]:
        """Which round it is, and how many of the population have brought their results to it."""
        return {
            "round": min(self.round, self.num_rounds),
            "rounds": self.num_rounds,
            "population": self.population_size,
            "results": self.results,
        }

    def snapshot(self) -> Mapping[str, Any]:
        """The members in their order, and the counts."""
        return {
            "members": [member.to_json() for member in self.members.values()],
            "created": self.created,
            "round": self.round,
            "results": self.results,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave."""
        members = [Member.from_json(member) for member in saved["members"]]
        self.members = {self._request_id(member.number): member for member in members}
        self.created, self.round, self.results = saved["created"], saved["round"], saved["results"]


def _check_share(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise InvalidInput(f"{name} must be a number from 0 to {most:g}, got {value!r}")
