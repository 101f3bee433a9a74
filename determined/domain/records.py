"""What the system remembers about things, as values: the rows that people query.

Free-form JSON (hyperparameters, metrics, configuration, metadata) is held as JSON text, exactly as it came, so
that integers stay integers and nothing is parsed that nobody asked for.
"""

from __future__ import annotations

import uuid

import msgspec

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may log in. ``password_hash`` is a slow hash; "" admits the empty password only."""

    id: UserId
    username: str
    password_hash: str
    admin: bool = False
    active: bool = True
    display_name: str = ""
    remote: bool = False
    modified_at: float = 0.0


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A login. Only the SHA-256 of the token is stored; ``expires_at`` None means never."""

    digest: str
    user_id: UserId
    created_at: float
    expires_at: float | None


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One search under one configuration.

    Attributes:
        config: the complete configuration with defaults and later patches, as JSON text.
        original_config: the text as submitted.
        context: name of the uploaded model definition (SHA-256 of its archive), "" for none.
        client_key, submission: what makes a repeated submission recognisable ("" key: not asked for).
        epoch: how many search runners have attached; an older one is fenced off.
        warm_start: checkpoint that trials start from, as the configuration asked, None for none.
        uncollected: the experiment is over, and what its policy does not keep has not all been deleted yet.
        progress: 0..1, None before the search first says.
        best_metric: of the searcher metric, over finite validations of trials that were not rolled back.
    """

    id: ExperimentId
    owner_id: UserId
    name: str
    state: ExperimentState
    config: str
    original_config: str
    searcher_type: str
    metric: str
    smaller_is_better: bool
    context: str
    job_id: str
    created_at: float
    description: str = ""
    labels: tuple[str, ...] = ()
    notes: str = ""
    archived: bool = False
    ended_at: float | None = None
    progress: float | None = None
    resource_pool: str = "default"
    project_id: int = 1
    forked_from: int | None = None
    client_key: str = ""
    submission: str = ""
    epoch: int = 0
    warm_start: str | None = None
    num_trials: int = 0
    best_trial_id: int | None = None
    best_metric: float | None = None
    checkpoint_count: int = 0
    checkpoint_size: int = 0
    message: str = ""
    uncollected: bool = False


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One hyperparameter point, across its runs.

    Attributes:
        run_id: of the newest run, 0 before the first.
        phase: of the live run, None when there is none.
        total_batches: largest steps of live (not rolled back) reports.
        units: latest progress in the experiment's unit.
        best_validation, latest_validation: ids of ``Metrics`` rows that hold the searcher metric.
        best_metric, latest_metric: their searcher metric; best is over finite values only.
    """

    id: TrialId
    experiment_id: ExperimentId
    request_id: uuid.UUID
    state: TrialState
    hparams: str
    seed: int
    created_at: float
    ended_at: float | None = None
    run_id: RunId = RunId(0)
    phase: RunPhase | None = None
    restarts: int = 0
    closed: bool = False
    runner_state: str = ""
    warm_start: str | None = None
    total_batches: int = 0
    units: float = 0.0
    best_validation: int | None = None
    best_metric: float | None = None
    latest_validation: int | None = None
    latest_metric: float | None = None
    checkpoint_count: int = 0
    checkpoint_size: int = 0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One life of a trial's process.

    Attributes:
        lines: log lines stored so far; the launcher delivers from there on.
        code: exit code, None while it lives or when nobody saw the end.
    """

    allocation_id: str
    experiment_id: ExperimentId
    trial_id: TrialId
    run_id: RunId
    agent: str
    slot_ids: tuple[int, ...]
    granted_at: float
    seen_at: float | None = None
    ended_at: float | None = None
    code: int | None = None
    reason: str = ""
    lines: int = 0


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """One report of a trial.

    Attributes:
        id: 0 before it is stored.
        group: ``training``, ``validation``, or a name of the user's own.
        metrics: JSON text of the averaged metrics (an object); non-finite numbers as strings.
        batch_metrics: JSON text of a list, "" for none.
        searcher_metric: the searched metric when it is in ``metrics`` and finite, else None.
        archived: superseded by a later run that went back.
    """

    experiment_id: ExperimentId
    trial_id: TrialId
    run_id: RunId
    group: str
    steps: int
    at: float
    metrics: str
    batch_metrics: str = ""
    has_searcher_metric: bool = False
    searcher_metric: float | None = None
    archived: bool = False
    id: int = 0


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A registered checkpoint. ``resources``: JSON object path -> size in bytes; ``metadata``: JSON object."""

    uuid: str
    experiment_id: ExperimentId
    trial_id: TrialId
    run_id: RunId
    task_id: str
    allocation_id: str
    state: CheckpointState
    steps: int
    reported_at: float
    resources: str
    metadata: str
    size: int = 0


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a trial's log; ``level`` "" when the line named none; ``id`` 0 before it is stored."""

    trial_id: TrialId
    run_id: RunId
    allocation_id: str
    at: float
    text: str
    level: str = ""
    rank: int | None = None
    stdtype: str = ""
    source: str = ""
    agent_id: str = ""
    container_id: str = ""
    id: int = 0


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of an experiment. ``format`` is the version of ``body``'s encoding."""

    experiment_id: ExperimentId
    seq: int
    at: float
    kind: str
    format: int
    body: bytes


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an experiment's queue; ``seq`` is the journal row that caused it."""

    experiment_id: ExperimentId
    id: int
    seq: int
    body: bytes
