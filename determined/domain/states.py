"""States of experiments, trials and runs, and every arrow between them.

An arrow that is not in a table here does not exist: asking for it raises ``IllegalTransition`` and changes
nothing. The diagrams in ``docs/states.md`` are drawn from these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from determined.errors import IllegalTransition


class _Named(str, enum.Enum):
    """An enumeration whose members equal the texts that they stand for."""

    # That of Enum is written in Python, and states are looked up in tables all the time.
    __hash__ = str.__hash__


class ExperimentState(_Named):
    """State of a search; the value is its name on the wire without the ``STATE_`` prefix."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPING_COMPLETED = "STOPPING_COMPLETED"
    STOPPING_CANCELED = "STOPPING_CANCELED"
    STOPPING_KILLED = "STOPPING_KILLED"
    STOPPING_ERROR = "STOPPING_ERROR"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    DELETING = "DELETING"
    DELETE_FAILED = "DELETE_FAILED"
    DELETED = "DELETED"

    @property
    def is_running(self) -> bool:
        """The search may still be given operations."""
        return self in _E_RUNNING

    @property
    def is_stopping(self) -> bool:
        """On the way to a terminal state; waits for live runs."""
        return self in _E_STOPPING

    @property
    def is_terminal(self) -> bool:
        """Over: nothing of it runs and nothing will."""
        return self in _E_TERMINAL


class TrialState(_Named):
    """State of a trial: the experiment's names without those of deletion."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPING_COMPLETED = "STOPPING_COMPLETED"
    STOPPING_CANCELED = "STOPPING_CANCELED"
    STOPPING_KILLED = "STOPPING_KILLED"
    STOPPING_ERROR = "STOPPING_ERROR"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"

    @property
    def is_stopping(self) -> bool:
        """Waits only for its run to end."""
        return self in _T_STOPPING

    @property
    def is_terminal(self) -> bool:
        """Over for good."""
        return self in _T_TERMINAL


class RunPhase(_Named):
    """How far one run of a trial has come; a trial without a run has none of these."""

    QUEUED = "QUEUED"
    """Waits for slots."""
    STARTING = "STARTING"
    """Has its slots; the intent to start it is committed; its process may or may not exist yet."""
    RUNNING = "RUNNING"
    """Its process has been seen alive."""


class CheckpointState(_Named):
    """State of a checkpoint's files."""

    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    DELETED = "DELETED"


_E = ExperimentState
_T = TrialState
_E_RUNNING = frozenset({_E.ACTIVE, _E.PAUSED})
_E_STOPPING = frozenset({_E.STOPPING_COMPLETED, _E.STOPPING_CANCELED, _E.STOPPING_KILLED, _E.STOPPING_ERROR})
_E_TERMINAL = frozenset({_E.COMPLETED, _E.CANCELED, _E.ERROR, _E.DELETING, _E.DELETE_FAILED, _E.DELETED})
_T_STOPPING = frozenset({_T.STOPPING_COMPLETED, _T.STOPPING_CANCELED, _T.STOPPING_KILLED, _T.STOPPING_ERROR})
_T_TERMINAL = frozenset({_T.COMPLETED, _T.CANCELED, _T.ERROR})

EXPERIMENT_TRANSITIONS: Mapping[ExperimentState, frozenset[ExperimentState]] = {
    _E.ACTIVE: frozenset({_E.PAUSED}) | _E_STOPPING,
    _E.PAUSED: frozenset({_E.ACTIVE}) | _E_STOPPING,
    _E.STOPPING_CANCELED: frozenset({_E.CANCELED, _E.STOPPING_KILLED, _E.STOPPING_ERROR}),
    _E.STOPPING_KILLED: frozenset({_E.CANCELED, _E.STOPPING_ERROR}),
    # The arrow to STOPPING_KILLED lets a user end a trial that hangs after the search has shut down.
    _E.STOPPING_COMPLETED: frozenset({_E.COMPLETED, _E.STOPPING_KILLED, _E.STOPPING_ERROR}),
    _E.STOPPING_ERROR: frozenset({_E.ERROR}),
    _E.COMPLETED: frozenset({_E.DELETING}),
    _E.CANCELED: frozenset({_E.DELETING}),
    _E.ERROR: frozenset({_E.DELETING}),
    _E.DELETE_FAILED: frozenset({_E.DELETING}),
    _E.DELETING: frozenset({_E.DELETED, _E.DELETE_FAILED}),
    _E.DELETED: frozenset(),
}

TRIAL_TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = {
    _T.ACTIVE: frozenset({_T.PAUSED, _T.ERROR, _T.COMPLETED}) | _T_STOPPING,
    _T.PAUSED: frozenset({_T.ACTIVE, _T.ERROR}) | _T_STOPPING,
    _T.STOPPING_COMPLETED: frozenset(
        {_T.STOPPING_CANCELED, _T.STOPPING_KILLED, _T.STOPPING_ERROR, _T.COMPLETED, _T.ERROR}
    ),
    _T.STOPPING_CANCELED: frozenset({_T.STOPPING_KILLED, _T.STOPPING_ERROR, _T.CANCELED, _T.ERROR}),
    _T.STOPPING_KILLED: frozenset({_T.STOPPING_ERROR, _T.CANCELED, _T.ERROR}),
    _T.STOPPING_ERROR: frozenset({_T.ERROR}),
    _T.COMPLETED: frozenset(),
    _T.CANCELED: frozenset(),
    _T.ERROR: frozenset(),
}

EXPERIMENT_OUTCOME: Mapping[ExperimentState, ExperimentState] = {
    _E.STOPPING_COMPLETED: _E.COMPLETED,
    _E.STOPPING_CANCELED: _E.CANCELED,
    _E.STOPPING_KILLED: _E.CANCELED,
    _E.STOPPING_ERROR: _E.ERROR,
}
"""The terminal state that each stopping state ends in."""

TRIAL_OUTCOME: Mapping[TrialState, TrialState] = {
    _T.STOPPING_COMPLETED: _T.COMPLETED,
    _T.STOPPING_CANCELED: _T.CANCELED,
    _T.STOPPING_KILLED: _T.CANCELED,
    _T.STOPPING_ERROR: _T.ERROR,
}

STOPPING_SEVERITY: Mapping[TrialState, int] = {
    _T.STOPPING_COMPLETED: 1,
    _T.STOPPING_CANCELED: 2,
    _T.STOPPING_KILLED: 3,
    _T.STOPPING_ERROR: 4,
}
"""A request for a less severe stopping state than the present one is ignored."""

RUN_TRANSITIONS: Mapping[RunPhase, frozenset[RunPhase]] = {
    RunPhase.QUEUED: frozenset({RunPhase.STARTING}),
    RunPhase.STARTING: frozenset({RunPhase.RUNNING}),
    RunPhase.RUNNING: frozenset(),
}
"""A run ends by ceasing to exist; how it ended is in its ``RunExited`` fact."""

S = TypeVar("S", ExperimentState, TrialState, RunPhase)


def check_transition(table: Mapping[S, frozenset[S]], what: str, number: int, old: S, new: S, advice: str = "") -> None:
    """Refuse an arrow that the table does not have.

    Args:
        what, number: name and id of the thing that moves.

    Raises:
        IllegalTransition: naming the thing, both states and what would have been allowed.
    """
    if new in table[old]:
        return
    allowed = ", ".join(sorted(s.value for s in table[old])) or "none"
    hint = f"; {advice}" if advice else ""
    raise IllegalTransition(f"{what} {number} cannot go from {old.value} to {new.value} (allowed: {allowed}){hint}")
