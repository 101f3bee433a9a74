"""The life of one trial, told from the facts: for messages about its state, and for people who wonder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from determined.domain import facts
from determined.domain.facts import Fact, Verb
from determined.domain.ids import RequestId, TrialId
from determined.domain.operations import Close, Create, Progress, Shutdown, ValidateAfter
from determined.domain.reasons import Explanation

_Line = tuple[float, str, str]
"""When, what, and "" or the subject under which further lines like it are counted instead of repeated."""


def story(history: Iterable[Fact], trial_id: TrialId) -> list[str]:
    """Numbered sentences, in order; empty when the trial never was.

    Args:
        history: the facts of its experiment from the first on; times are told from there.
    """
    start, lines = 0.0, []
    teller = _Teller(trial_id)
    for number, fact in enumerate(history):
        start = fact.at if number == 0 else start
        lines += [(fact.at - start, *line) for line in teller.tell(fact)]
    return [f"{number}. {text}" for number, text in enumerate(_joined(lines), 1)]


def _joined(lines: list[_Line]) -> Iterator[str]:
    """Runs of lines on one subject become one line: the last, with their number."""
    # Lines without a subject stay alone: each is a group of its own.
    alone = itertools.count()
    for _, group in itertools.groupby(lines, key=lambda line: line[2] or next(alone)):
        members = list(group)
        at, text, subject = members[-1]
        times = f" ({len(members)} {subject})" if len(members) > 1 else ""
        yield f"After {at:.1f} s {text}{times}."


class _Teller:
    def __init__(self, trial_id: TrialId) -> None:
        self.trial_id = trial_id
        self.request_id: RequestId | None = None
        self.is_over = False

    def tell(self, fact: Fact) -> Iterator[tuple[str, str]]:
        if isinstance(fact, facts.OperationsPosted):
            for text in self._operations(fact):
                yield text, ""
        self.is_over = self.is_over or _ends_the_search(fact)
        if self.request_id is not None:
            if isinstance(fact, facts.ExperimentCommanded):
                yield f"a user asked to {fact.verb.value} the experiment", ""
            elif isinstance(fact, facts.MethodFailed):
                yield f"the search method failed: {fact.message}", ""
            elif getattr(fact, "trial_id", None) == self.trial_id:
                yield _TELL[type(fact)](fact), _SUBJECTS.get(type(fact), "")

    def _operations(self, fact: facts.OperationsPosted) -> Iterator[str]:
        # What is posted after the end of the search is not applied.
        next_id = fact.first_trial_id
        for op in fact.operations:
            if self.is_over:
                return
            if isinstance(op, Create):
                if next_id == self.trial_id:
                    self.request_id = op.request_id
                next_id = TrialId(next_id + 1)
            self.is_over = isinstance(op, Shutdown)
            if self.request_id is None:
                continue
            if isinstance(op, Shutdown):
                yield "the search method ended the search" + _why(op.reason)
            elif not isinstance(op, Progress) and op.request_id == self.request_id:
                yield _ordered(op)


def _ends_the_search(fact: Fact) -> bool:
    if isinstance(fact, facts.ExperimentCommanded):
        return fact.verb in (Verb.CANCEL, Verb.KILL)
    return isinstance(fact, facts.MethodFailed)


def _ordered(op: Create | ValidateAfter | Close) -> str:
    if isinstance(op, Create):
        return f"the search method created it with {op.hparams}{_source(op)}" + _why(op.reason)
    if isinstance(op, ValidateAfter):
        return f"the search method asked it to train to {op.length} and validate" + _why(op.reason)
    return "the search method closed it" + _why(op.reason)


def _source(op: Create) -> str:
    if op.source_trial is not None:
        return f", starting from the newest checkpoint of the trial with request id {op.source_trial}"
    return f", starting from checkpoint {op.checkpoint}" if op.checkpoint else ""


def _why(reason: str | Explanation | None) -> str:
    return f" ({reason})" if reason else ""


def _exited(fact: facts.RunExited) -> str:
    how = "ended, and nobody saw how" if fact.code is None else f"exited with code {fact.code}"
    return f"run {fact.run_id} {how}" + _why(fact.reason)


def _granted(fact: facts.SlotsGranted) -> str:
    where = f"slots {', '.join(map(str, fact.slot_ids))}" if fact.slot_ids else "a place without slots"
    return f"run {fact.run_id} got {where} on {fact.agent} and was started"


_TELL: dict[type[Fact], Callable[[Any], str]] = {
    facts.TrialKillRequested: lambda f: "a user asked to kill it",
    facts.TrialCancelRequested: lambda f: "a user asked to cancel it",
    facts.SlotsGranted: _granted,
    facts.RunSeen: lambda f: f"run {f.run_id} passed the start line",
    facts.RunExited: _exited,
    facts.ProgressReported: lambda f: f"run {f.run_id} reported progress up to {f.units:g}",
    facts.OperationCompleted: lambda f: f"run {f.run_id} completed {f.length} with metric {f.metric!r}",
    facts.EarlyExitReported: lambda f: f"run {f.run_id} said that its hyperparameters are invalid",
    facts.ExitAcknowledged: lambda f: f"run {f.run_id} said that it would exit",
    facts.PreemptionRequested: lambda f: (
        f"run {f.run_id} was asked to make room for a more important one"
        if f.for_priority
        else f"run {f.run_id} was to be preempted by the platform"
    ),
    facts.MetricsReported: lambda f: f"run {f.run_id} reported {f.group} metrics at step {f.steps}",
    facts.CheckpointReported: lambda f: f"run {f.run_id} saved checkpoint {f.uuid} at step {f.steps}",
    facts.DeadlinePassed: lambda f: f"run {f.run_id} was out of time ({f.kind.value})",
}
_SUBJECTS: dict[type[Fact], str] = {facts.ProgressReported: "reports", facts.MetricsReported: "metric reports"}
