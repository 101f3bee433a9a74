"""An experiment: its course, its trials, its best checkpoints."""

from __future__ import annotations

import contextlib
import enum
from typing import Any

from determined.common.api.paging import read_paginated
from determined.common.api.session import Session
from determined.errors import FailedPrecondition, InvalidInput, NotFound
from determined.experimental.checkpoint import Checkpoint, searcher_metric, sort_by_metric
from determined.experimental.trial import TrialOrderBy, TrialReference, TrialSortBy
from determined.experimental.watch import RETRIES, RETRY_STATUSES, watch


class ExperimentState(enum.Enum):
    """State of an experiment; an active one is shown as the most advanced of its trials."""

    UNSPECIFIED = "STATE_UNSPECIFIED"
    ACTIVE = "STATE_ACTIVE"
    PAUSED = "STATE_PAUSED"
    STOPPING_COMPLETED = "STATE_STOPPING_COMPLETED"
    STOPPING_CANCELED = "STATE_STOPPING_CANCELED"
    STOPPING_ERROR = "STATE_STOPPING_ERROR"
    COMPLETED = "STATE_COMPLETED"
    CANCELED = "STATE_CANCELED"
    ERROR = "STATE_ERROR"
    DELETED = "STATE_DELETED"
    DELETING = "STATE_DELETING"
    DELETE_FAILED = "STATE_DELETE_FAILED"
    STOPPING_KILLED = "STATE_STOPPING_KILLED"
    QUEUED = "STATE_QUEUED"
    PULLING = "STATE_PULLING"
    STARTING = "STATE_STARTING"
    RUNNING = "STATE_RUNNING"


class ExperimentReference:
    """An experiment; get one from ``client.create_experiment`` or ``client.get_experiment``."""

    def __init__(self, experiment_id: int, session: Session) -> None:
        self._id = experiment_id
        self._session = session

    @property
    def id(self) -> int:
        """Integer given by the master."""
        return self._id

    @property
    def _path(self) -> str:
        return f"/api/v1/experiments/{self._id}"

    def activate(self) -> None:
        """Let a paused experiment go on."""
        self._session.post(f"{self._path}/activate")

    def archive(self) -> None:
        """Hide an experiment that is over from lists."""
        self._session.post(f"{self._path}/archive")

    def cancel(self) -> None:
        """End it; trials may save a checkpoint first."""
        self._session.post(f"{self._path}/cancel")

    def delete(self) -> None:
        """Delete an experiment that is over, with all that belongs to it, in the background."""
        self._session.delete(self._path)

    def kill(self) -> None:
        """End it at once."""
        self._session.post(f"{self._path}/kill")

    def pause(self) -> None:
        """Let trials save a checkpoint and stop, until it is activated again."""
        self._session.post(f"{self._path}/pause")

    def unarchive(self) -> None:
        """Show an archived experiment in lists again."""
        self._session.post(f"{self._path}/unarchive")

    def get_config(self) -> dict[str, Any]:
        """The complete configuration."""
        config: dict[str, Any] = self._session.get(self._path)["experiment"]["config"]
        return config

    def get_trials(
        self,
        sort_by: TrialSortBy = TrialSortBy.ID,
        order_by: TrialOrderBy = TrialOrderBy.ASCENDING,
    ) -> list[TrialReference]:
        """All trials."""
        params = {"sortBy": sort_by, "orderBy": order_by}
        listed = read_paginated(self._session, f"{self._path}/trials", "trials", params=params)
        return [TrialReference(int(value["id"]), self._session) for value in listed]

    def await_first_trial(self, interval: float = 0.1) -> TrialReference:
        """Wait until there is a trial; that with the lowest id.

        Args:
            interval: has no effect: the master says when there is one.
        Raises:
            FailedPrecondition: the experiment ended without one.
        """
        with contextlib.closing(watch(self._session, self._id)) as summaries:
            for summary in summaries:
                if summary.trials.total:
                    break
                if summary.is_terminal:
                    raise FailedPrecondition(f"experiment {self._id} ended as {summary.state} without any trial")
        trials = self._session.get(f"{self._path}/trials", params={"limit": 1, "sortBy": TrialSortBy.ID})["trials"]
        return TrialReference(int(trials[0]["id"]), self._session)

    def wait(self, interval: float = 5.0) -> ExperimentState:
        """Wait until the experiment is over.

        Args:
            interval: has no effect: the master says when it is.
        Returns:
            COMPLETED, CANCELED, ERROR or DELETED.
        Raises:
            InvalidInput: the experiment is paused; it is a ValueError.
            Unavailable: the master went away and did not come back.
        """
        with (
            self._session.with_retries(RETRIES, RETRY_STATUSES) as session,
            contextlib.closing(watch(session, self._id)) as summaries,
        ):
            for summary in summaries:
                if summary.state == "PAUSED":
                    raise InvalidInput(f"experiment {self._id} is paused; activate it before waiting for its end")
                last = summary
        return ExperimentState[last.state]

    def top_checkpoint(self, sort_by: str | None = None, smaller_is_better: bool | None = None) -> Checkpoint:
        """The checkpoint with the best validation metric; arguments as in ``top_n_checkpoints``.

        Raises:
            NotFound: there is none.
        """
        return self.top_n_checkpoints(1, sort_by, smaller_is_better)[0]

    def top_n_checkpoints(
        self, limit: int, sort_by: str | None = None, smaller_is_better: bool | None = None
    ) -> list[Checkpoint]:
        """The best checkpoint of each of the best trials.

        Args:
            limit: of how many trials at most.
            sort_by: name of a validation metric, in place of that of the search.
            smaller_is_better: its direction; has no effect without ``sort_by``.
        Raises:
            NotFound: there is none.
        """
        params = {"states": ["STATE_COMPLETED"]}
        listed = read_paginated(self._session, f"{self._path}/checkpoints", "checkpoints", params=params)
        found = [Checkpoint.from_json(value, self._session) for value in listed]
        if not found:
            raise NotFound(f"experiment {self._id} has no completed checkpoint")
        metric, smaller = (sort_by, bool(smaller_is_better)) if sort_by else searcher_metric(found)
        best: dict[int | None, Checkpoint] = {}
        for checkpoint in sort_by_metric(found, metric, smaller):
            best.setdefault(checkpoint.training.trial_id if checkpoint.training else None, checkpoint)
        return list(best.values())[:limit]

    def __repr__(self) -> str:
        return f"Experiment(id={self._id})"


Experiment = ExperimentReference
