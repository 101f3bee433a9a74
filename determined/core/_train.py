"""What a trial reports about its training."""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.core._distributed import DistributedContext, DummyDistributedContext
from determined.core._values import metrics_to_wire, refuse_missing, steps_to_wire
from determined.errors import FailedPrecondition, InvalidInput, NotFound
from determined.wire.values import restore

if TYPE_CHECKING:
    from determined.core._master import Master
    from determined.core._tensorboard import Mangler, Mirror, PathSelector, TensorboardFiles

logger = logging.getLogger("determined.core")


class EarlyExitReason(enum.Enum):
    """Why a script ends before its work is done."""

    INVALID_HP = "EXITED_REASON_INVALID_HP"
    USER_REQUESTED_STOP = "EXITED_REASON_USER_REQUESTED_STOP"


class TrainContext:
    """Reports metrics and status of this trial to the master."""

    def __init__(
        self,
        master: Master,
        trial_id: int,
        run_id: int,
        experiment_id: int,
        distributed: DistributedContext,
        files: TensorboardFiles,
        mirror: Mirror | None,
    ) -> None:
        self._master = master
        self._trial_id = trial_id
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._distributed = distributed
        self._files = files
        self._mirror = mirror

    def set_status(self, status: str) -> None:
        """Show a short text about what the trial is doing."""
        self._send("runner/metadata", {"state": str(status)})

    def report_training_metrics(
        self,
        steps_completed: int,
        metrics: dict[str, Any],
        batch_metrics: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Report metrics of training up to ``steps_completed``.

        Reporting the same steps again in the same run replaces what was reported. For the chief only.

        Args:
            steps_completed: batches trained since the start of the trial.
            metrics: names and values: numbers (also of NumPy and PyTorch, also non-finite), texts, booleans, and
                lists and dictionaries of them. Raw bytes are left out with a warning.
            batch_metrics: the same for each batch; kept, but not shown.
        Raises:
            FailedPrecondition: a worker called; it is a RuntimeError.
            UnsuitableValue: a value that cannot be reported, with the name of its metric; it is a TypeError.
            InvalidInput: steps that are negative or too large; it is a ValueError.
        """
        self._check_chief("report_training_metrics")
        values: dict[str, Any] = {"avg_metrics": metrics_to_wire(metrics, "training metrics")}
        if batch_metrics is not None:
            values["batch_metrics"] = [metrics_to_wire(batch, "batch metrics") for batch in batch_metrics]
        self._report("training_metrics", steps_to_wire(steps_completed), values)

    def report_validation_metrics(self, steps_completed: int, metrics: dict[str, Any]) -> None:
        """Report metrics of a validation after ``steps_completed``.

        The search does not hear of them: give it its metric with ``SearcherOperation.report_completed``. For the
        chief only.

        Args:
            steps_completed: batches trained since the start of the trial.
            metrics: as for training.
        Raises:
            FailedPrecondition: a metric is None, or a worker called; it is a RuntimeError.
            UnsuitableValue: a value that cannot be reported, with the name of its metric; it is a TypeError.
            InvalidInput: steps that are negative or too large; it is a ValueError.
        """
        self._check_chief("report_validation_metrics")
        refuse_missing(metrics, "validation metrics")
        values = {"avg_metrics": metrics_to_wire(metrics, "validation metrics")}
        self._report("validation_metrics", steps_to_wire(steps_completed), values)

    def report_early_exit(self, reason: EarlyExitReason) -> None:
        """Say why this process is about to end; any rank may. Leaving ``core.init()`` with InvalidHP does it."""
        try:
            self._master.finish_reports()
        except Exception as error:
            # The search has to hear of the reason, whatever became of the metrics.
            logger.error("a report did not reach the master: %s", error)
        try:
            self._master.post(f"/api/v1/trials/{self._trial_id}/early_exit", {"reason": EarlyExitReason(reason).value})
        except InvalidInput as error:
            logger.warning("the master did not take the early exit of trial %d (%s)", self._trial_id, error)

    def get_experiment_best_validation(self) -> float | None:
        """The best searcher metric of any trial of the experiment so far; None when there is none yet."""
        path = f"/api/v1/experiments/{self._experiment_id}/searcher/best_searcher_validation_metric"
        try:
            return float(restore(self._master.get(path)["metric"]))
        except NotFound:
            return None

    def get_tensorboard_path(self) -> Path:
        """A local folder for TensorBoard files."""
        return self._files.folder

    def upload_tensorboard_files(
        self,
        selector: PathSelector = lambda _: True,
        mangler: Mangler = lambda path, _: path,
    ) -> None:
        """Copy new and changed files of the TensorBoard folder to checkpoint storage; in MANUAL mode only.

        Args:
            selector: says whether a file, given with its local path, is wanted.
            mangler: from a path relative to the folder, and the rank, to the relative path in storage.
        Raises:
            FailedPrecondition: in AUTO mode; it is a RuntimeError.
        """
        if self._mirror is not None:
            raise FailedPrecondition(
                "upload_tensorboard_files works in MANUAL mode only;"
                " use core.init(tensorboard_mode=core.TensorboardMode.MANUAL)"
            )
        self._files.upload(selector, mangler, self._distributed.rank)

    def _check_chief(self, call: str) -> None:
        if self._distributed.rank != 0:
            raise FailedPrecondition(
                f"{call}() was called by rank {self._distributed.rank}; call it on rank 0 only, with metrics of all"
                " ranks if need be (see DistributedContext.gather)"
            )

    def _get_last_validation(self) -> int | None:
        trial = self._master.get(f"/api/v1/trials/{self._trial_id}")["trial"]
        steps: int | None = (trial.get("latestValidation") or {}).get("totalBatches")
        return steps

    def _report(self, table: str, steps: int, values: dict[str, Any]) -> None:
        logger.info("%s after %d steps: %s", table.replace("_", " "), steps, values["avg_metrics"])
        body = {"trial_run_id": self._run_id, "steps_completed": steps, "metrics": values}
        self._send(table, body)
        if self._mirror is not None:
            self._mirror.add(steps, values["avg_metrics"])

    def _send(self, what: str, body: Any) -> None:
        self._master.report(f"/api/v1/trials/{self._trial_id}/{what}", body)


class DummyTrainContext(TrainContext):
    """Off the cluster, reports go to the log."""

    def __init__(self, tensorboard_path: Path | None = None, distributed: DistributedContext | None = None) -> None:
        self._folder = tensorboard_path
        self._distributed = distributed or DummyDistributedContext()

    def set_status(self, status: str) -> None:
        """Log the text."""
        logger.info("status: %s", status)

    def report_early_exit(self, reason: EarlyExitReason) -> None:
        """Log the reason."""
        logger.info("early exit: %s", EarlyExitReason(reason).name)

    def get_experiment_best_validation(self) -> float | None:
        """None: there is no experiment."""
        return None

    def get_tensorboard_path(self) -> Path:
        """A temporary folder, unless one was given."""
        if self._folder is None:
            import tempfile

            self._folder = Path(tempfile.mkdtemp(prefix="tensorboard-"))
        return self._folder

    def upload_tensorboard_files(
        self,
        selector: PathSelector = lambda _: True,
        mangler: Mangler = lambda path, _: path,
    ) -> None:
        """Do nothing: the files are where they are."""

    def _get_last_validation(self) -> int | None:
        return None

    def _report(self, table: str, steps: int, values: dict[str, Any]) -> None:
        logger.info("%s after %d steps: %s", table.replace("_", " "), steps, values["avg_metrics"])
