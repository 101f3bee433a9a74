"""A trial: its logs, its checkpoints, its end."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

from determined.common.api import logs
from determined.common.api.paging import read_paginated
from determined.common.api.session import Session
from determined.errors import InvalidInput, NotFound
from determined.experimental.checkpoint import Checkpoint, get_checkpoint, searcher_metric, sort_by_metric
from determined.experimental.metrics import (
    TrainingMetrics,
    ValidationMetrics,
    stream_training_metrics,
    stream_validation_metrics,
)


class LogLevel(enum.Enum):
    """Level of a log line."""

    TRACE = "LOG_LEVEL_TRACE"
    DEBUG = "LOG_LEVEL_DEBUG"
    INFO = "LOG_LEVEL_INFO"
    WARNING = "LOG_LEVEL_WARNING"
    ERROR = "LOG_LEVEL_ERROR"
    CRITICAL = "LOG_LEVEL_CRITICAL"


class CheckpointSortBy(enum.Enum):
    """What a list of checkpoints is sorted by."""

    END_TIME = "SORT_BY_END_TIME"
    STATE = "SORT_BY_STATE"
    UUID = "SORT_BY_UUID"
    BATCH_NUMBER = "SORT_BY_BATCH_NUMBER"


class CheckpointOrderBy(enum.Enum):
    """Direction of a sorted list of checkpoints."""

    ASC = "ORDER_BY_ASC"
    DESC = "ORDER_BY_DESC"


class TrialSortBy(enum.Enum):
    """What a list of trials is sorted by."""

    UNSPECIFIED = "SORT_BY_UNSPECIFIED"
    ID = "SORT_BY_ID"
    START_TIME = "SORT_BY_START_TIME"
    END_TIME = "SORT_BY_END_TIME"
    STATE = "SORT_BY_STATE"
    BEST_VALIDATION_METRIC = "SORT_BY_BEST_VALIDATION_METRIC"
    LATEST_VALIDATION_METRIC = "SORT_BY_LATEST_VALIDATION_METRIC"
    BATCHES_PROCESSED = "SORT_BY_BATCHES_PROCESSED"
    DURATION = "SORT_BY_DURATION"
    RESTARTS = "SORT_BY_RESTARTS"
    CHECKPOINT_SIZE = "SORT_BY_CHECKPOINT_SIZE"


class TrialOrderBy(enum.Enum):
    """Direction of a sorted list of trials."""

    ASCENDING = "ORDER_BY_ASC"
    ASC = "ORDER_BY_ASC"
    DESCENDING = "ORDER_BY_DESC"
    DESC = "ORDER_BY_DESC"


class TrialReference:
    """A trial of an experiment; get one from ``client.get_trial`` or an experiment.

    Attributes:
        id: integer given by the master.
    """

    def __init__(self, trial_id: int, session: Session) -> None:
        self.id = trial_id
        self._session = session

    def logs(
        self,
        follow: bool = False,
        *,
        head: int | None = None,
        tail: int | None = None,
        container_ids: Sequence[str] | None = None,
        rank_ids: Sequence[int] | None = None,
        stdtypes: Sequence[str] | None = None,
        min_level: LogLevel | None = None,
    ) -> Iterator[str]:
        """Log lines, oldest first, each with its line end.

        Args:
            follow: go on with new lines until the trial has ended.
            head, tail: only so many from the start, or from the end. At most one of these three.
            container_ids, rank_ids, stdtypes: only lines from those.
            min_level: only lines of that level or above.
        """
        wanted = logs.LogFilter(
            follow=follow,
            head=head,
            tail=tail,
            container_ids=container_ids,
            rank_ids=rank_ids,
            stdtypes=stdtypes,
            min_level=None if min_level is None else min_level.name,
        )
        for line in logs.trial_logs(self._session, self.id, wanted):
            yield line["message"]

    def kill(self) -> None:
        """End the trial at once; the search is told."""
        self._session.post(f"/api/v1/trials/{self.id}/kill")

    def cancel(self) -> None:
        """Let the trial save a checkpoint and end; the search is told as if it had been killed.

        Returns when the master has taken note. Until its process has left, for an hour at most, the trial is
        ``STOPPING_CANCELED``. Masters of other makes do not know this call.
        """
        self._session.post(f"/api/v1/trials/{self.id}/cancel")

    def top_checkpoint(self, sort_by: str | None = None, smaller_is_better: bool | None = None) -> Checkpoint:
        """The checkpoint with the best validation metric; arguments as in ``select_checkpoint``."""
        return self.select_checkpoint(best=True, sort_by=sort_by, smaller_is_better=smaller_is_better)

    def select_checkpoint(
        self,
        latest: bool = False,
        best: bool = False,
        uuid: str | None = None,
        sort_by: str | None = None,
        smaller_is_better: bool | None = None,
    ) -> Checkpoint:
        """One checkpoint of this trial.

        Args:
            latest: the one with the most training.
            best: the one with the best metric.
            uuid: the one of that name. Exactly one of these three.
            sort_by, smaller_is_better: the metric for ``best``, in place of that of the search; both or none.

        Raises:
            InvalidInput: any other combination of arguments.
            NotFound: there is no such checkpoint.
        """
        if latest + best + (uuid is not None) != 1:
            raise InvalidInput("give exactly one of latest, best and uuid")
        if (sort_by is None) != (smaller_is_better is None) or (sort_by is not None and not best):
            raise InvalidInput("sort_by and smaller_is_better go together, and with best only")
        if uuid is not None:
            return get_checkpoint(self._session, uuid)
        if latest:
            found = self.get_checkpoints(CheckpointSortBy.BATCH_NUMBER, CheckpointOrderBy.DESC)
        else:
            order = CheckpointOrderBy.ASC if smaller_is_better else CheckpointOrderBy.DESC
            found = self.get_checkpoints(sort_by, None if sort_by is None else order)
        if not found:
            raise NotFound(f"trial {self.id} has no checkpoint")
        return found[0]

    def get_checkpoints(
        self,
        sort_by: str | CheckpointSortBy | None = None,
        order_by: CheckpointOrderBy | None = None,
    ) -> list[Checkpoint]:
        """All checkpoints of this trial.

        Args:
            sort_by: a field, or the name of a validation metric; without it that of the search, best first.
            order_by: the direction; both or none. Checkpoints without the metric come last in any.
        """
        if (sort_by is None) != (order_by is None):
            raise InvalidInput("sort_by and order_by go together; give both or none")
        by_field = isinstance(sort_by, CheckpointSortBy)
        params = {"sortBy": sort_by, "orderBy": order_by} if by_field else {}
        path = f"/api/v1/trials/{self.id}/checkpoints"
        listed = read_paginated(self._session, path, "checkpoints", params=params)
        found = [Checkpoint.from_json(value, self._session) for value in listed]
        if by_field or not found:
            return found
        if sort_by is None:
            return sort_by_metric(found, *searcher_metric(found))
        return sort_by_metric(found, str(sort_by), order_by is CheckpointOrderBy.ASC)

    def stream_training_metrics(self) -> Iterator[TrainingMetrics]:
        """Reports of training metrics, by run and steps."""
        return stream_training_metrics(self._session, [self.id])

    def stream_validation_metrics(self) -> Iterator[ValidationMetrics]:
        """Reports of validation metrics, by run and steps."""
        return stream_validation_metrics(self._session, [self.id])

    def __repr__(self) -> str:
        return f"Trial(id={self.id})"


Trial = TrialReference
