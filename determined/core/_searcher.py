"""The orders of the search for this trial: train up to a length, validate, report; then the next."""

from __future__ import annotations

import enum
import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from determined.core._distributed import DistributedContext
from determined.core._values import length_to_wire, to_wire
from determined.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    from determined.core._master import Master

logger = logging.getLogger("determined.core")


class Unit(enum.Enum):
    """What lengths count."""

    EPOCHS = "EPOCHS"
    RECORDS = "RECORDS"
    BATCHES = "BATCHES"


class SearcherMode(enum.Enum):
    """Who iterates over ``operations()``."""

    WorkersAskChief = "WORKERS_ASK_CHIEF"
    """All processes, in step; the chief asks the master."""
    ChiefOnly = "CHIEF_ONLY"
    """The chief alone."""


def configured_unit(config: Mapping[str, Any]) -> Unit | None:
    """The unit of lengths that a configuration names, if any."""
    searcher = config.get("searcher")
    if not isinstance(searcher, Mapping):
        return None
    name = searcher.get("unit")
    if name is None and isinstance(length := searcher.get("max_length"), Mapping) and len(length) == 1:
        name = next(iter(length))
    return next((unit for unit in Unit if unit.name.lower() == name), None)


class SearcherOperation:
    """One order: train until ``length``, validate, and report the searcher's metric.

    The length is absolute, counted from the start of the trial, so that a script which was restarted from a
    checkpoint needs no bookkeeping: it trains while its own count is below the length.
    """

    def __init__(self, master: Master, trial_id: int, length: int, is_chief: bool) -> None:
        self._master = master
        self._trial_id = trial_id
        self._length = length
        self._is_chief = is_chief
        self._completed = False
        self._is_last = False

    @property
    def length(self) -> int:
        """The amount of training, from the start of the trial, after which to validate and report."""
        return self._length

    def report_progress(self, length: float) -> None:
        """Say how far training has come, in the unit of ``length``.

        Raises:
            FailedPrecondition: after completion with another value, or not on the chief; it is a RuntimeError.
            UnsuitableValue: not a finite number; it is a TypeError.
        """
        self._check_chief("report_progress")
        number = length_to_wire(length, "the length of report_progress")
        if self._completed and number != self._length:
            raise FailedPrecondition(
                f"progress {number} was reported after the operation of length {self._length} was completed;"
                " report progress before report_completed"
            )
        self._send_progress(number)

    def report_completed(self, searcher_metric: Any) -> None:
        """Give the search its metric, and so complete the operation.

        Args:
            searcher_metric: usually a float; a custom search method may expect any JSON value.
        Raises:
            FailedPrecondition: reported before, or not on the chief; it is a RuntimeError.
            UnsuitableValue: no JSON value; it is a TypeError.
            InvalidInput: None, which no search method can use.
        """
        self._check_chief("report_completed")
        if self._completed:
            raise FailedPrecondition(
                f"the operation of length {self._length} was completed twice; take the next one from operations()"
            )
        metric = to_wire(searcher_metric, "the searcher metric")
        if metric is None:
            raise InvalidInput("the searcher metric is None; give the value that the search optimises")
        # What has failed before is raised now, while this operation can still be completed by another call.
        self._finish_reports()
        self._completed = True
        self._is_last = self._send_completed(metric)

    def _check_chief(self, call: str) -> None:
        if not self._is_chief:
            raise FailedPrecondition(f"{call} was called by a worker; call it on rank 0 only")

    def _finish_reports(self) -> None:
        self._master.finish_reports()

    def _send_progress(self, length: float) -> None:
        # Under a name of its own, so that the master knows it again when its answer was lost and it comes once more.
        self._master.report(f"/api/v1/trials/{self._trial_id}/progress", length, {"report": uuid.uuid4().hex})

    def _send_completed(self, metric: Any) -> bool:
        body = {"op": {"length": self._length}, "searcherMetric": metric}
        answer = self._master.post(f"/api/v1/trials/{self._trial_id}/searcher/completed_operation", body)
        return isinstance(answer, dict) and answer.get("done") is True


class SearcherContext:
    """The operations of the search for this trial."""

    def __init__(
        self,
        master: Master,
        dist: DistributedContext,
        trial_id: int,
        allocation_id: str,
        units: Unit | None = None,
    ) -> None:
        self._master = master
        self._dist = dist
        self._trial_id = trial_id
        self._allocation_id = allocation_id
        self._units = units

    def operations(
        self, searcher_mode: SearcherMode = SearcherMode.WorkersAskChief, auto_ack: bool = True
    ) -> Iterator[SearcherOperation]:
        """Iterate over the operations of this trial; ends when there is none at present.

        The next operation is asked for only after the one before was completed. The answer may take a while:
        the master holds the question when a decision is near, so that the process can go on without a restart.

        Args:
            searcher_mode: who iterates.
            auto_ack: at the end, tell the master that this process exits and may be started again.
        Raises:
            FailedPrecondition: an operation was left uncompleted, or a worker iterates in ``ChiefOnly`` mode; it
                is a RuntimeError.
        """
        mode = SearcherMode(searcher_mode)
        if mode is SearcherMode.ChiefOnly and self._dist.rank != 0:
            raise FailedPrecondition(
                f"operations() was called by rank {self._dist.rank} in mode ChiefOnly; iterate on rank 0 only"
            )
        is_over = False
        while True:
            # When the last answer has told that nothing is to come, only the other ranks still have to hear of it.
            length = self._next_length() if self._dist.rank == 0 and not is_over else None
            if mode is SearcherMode.WorkersAskChief:
                length = self._dist.broadcast(length)
            if length is None:
                break
            operation = self._operation(length)
            yield operation
            if operation._is_chief and not operation._completed:
                raise FailedPrecondition(
                    f"the operation of length {length} was left uncompleted; call report_completed() on each one"
                )
            is_over = operation._is_last
        if auto_ack and self._dist.rank == 0:
            self.acknowledge_out_of_ops()

    def acknowledge_out_of_ops(self) -> None:
        """Tell the master that this process exits since there is nothing to do, and may be started again."""
        self._master.signal(f"/api/v1/allocations/{self._allocation_id}/signals/ack_preemption")

    def get_configured_units(self) -> Unit | None:
        """What lengths count, as far as the configuration says."""
        return self._units

    def _next_length(self) -> int | None:
        answer = self._master.get(f"/api/v1/trials/{self._trial_id}/searcher/operation")
        return None if answer["completed"] else int(answer["op"]["validateAfter"]["length"])

    def _operation(self, length: int) -> SearcherOperation:
        return SearcherOperation(self._master, self._trial_id, length, self._dist.rank == 0)


class DummySearcherOperation(SearcherOperation):
    """An operation that nobody but the log hears of."""

    def __init__(self, length: int, is_chief: bool) -> None:
        self._length = length
        self._is_chief = is_chief
        self._completed = self._is_last = False

    def _finish_reports(self) -> None:
        """There are none."""

    def _send_progress(self, length: float) -> None:
        logger.info("progress: %s of %s", length, self._length)

    def _send_completed(self, metric: Any) -> bool:
        logger.info("operation of length %s completed; searcher metric %s", self._length, metric)
        return False


class DummySearcherContext(SearcherContext):
    """Off the cluster there is one operation, of length 1, in epochs."""

    def __init__(self, dist: DistributedContext, length: int = 1) -> None:
        self._dist = dist
        self._lengths: list[int] = []
        self._length = length
        self._units = Unit.EPOCHS

    def operations(
        self, searcher_mode: SearcherMode = SearcherMode.WorkersAskChief, auto_ack: bool = True
    ) -> Iterator[SearcherOperation]:
        """Iterate over the one operation."""
        self._lengths = [self._length]
        return super().operations(searcher_mode, auto_ack)

    def acknowledge_out_of_ops(self) -> None:
        """Do nothing."""

    def _next_length(self) -> int | None:
        return self._lengths.pop() if self._lengths else None

    def _operation(self, length: int) -> SearcherOperation:
        return DummySearcherOperation(length, self._dist.rank == 0)
