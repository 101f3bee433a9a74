"""Which checkpoints of an experiment that is over may go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A COMPLETED checkpoint. ``metric``: the searcher metric validated at its steps, None if none or not finite."""

    uuid: str
    trial_id: int
    steps: int
    reported_at: float
    metric: float | None


@dataclass(frozen=True, slots=True)
class Policy:
    """How many to keep: best of the experiment, best of each trial, newest of each trial."""

    experiment_best: int = 0
    trial_best: int = 1
    trial_latest: int = 1


def doomed(
    candidates: Iterable[Candidate], policy: Policy, smaller_is_better: bool, needed: frozenset[str]
) -> list[str]:
    """Uuids of the checkpoints that no rule keeps.

    Args:
        needed: checkpoints that something else refers to; never doomed.
    """
    every = list(candidates)
    keep = set(needed)
    sign = 1.0 if smaller_is_better else -1.0
    by_trial: dict[int, list[Candidate]] = defaultdict(list)
    for c in every:
        by_trial[c.trial_id].append(c)
    for group in by_trial.values():
        newest = sorted(group, key=lambda c: (c.steps, c.reported_at), reverse=True)
        keep |= {c.uuid for c in newest[: policy.trial_latest]}
        keep |= {c.uuid for c in _best(group, sign)[: policy.trial_best]}
    keep |= {c.uuid for c in _best(every, sign)[: policy.experiment_best]}
    return [c.uuid for c in every if c.uuid not in keep]


def _best(group: Iterable[Candidate], sign: float) -> list[Candidate]:
    ranked = [(sign * c.metric, c.steps, c.uuid, c) for c in group if c.metric is not None]
    return [c for *_, c in sorted(ranked, key=lambda r: r[:3])]
