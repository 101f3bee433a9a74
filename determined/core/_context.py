"""``core.init()``: one context for a training script, on the cluster or off it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from determined._info import TRIAL_TASK, ClusterInfo, get_cluster_info
from determined.core._checkpoint import CheckpointContext, DummyCheckpointContext
from determined.core._distributed import DistributedContext, DummyDistributedContext
from determined.core._preempt import DummyPreemptContext, PreemptContext, PreemptMode
from determined.core._searcher import DummySearcherContext, SearcherContext, configured_unit
from determined.core._storage import Storage
from determined.core._storage_config import default_storage, storage_from_argument, storage_of_run
from determined.core._tensorboard import Mirror, TensorboardFiles, TensorboardMode, tensorboard_prefix
from determined.core._train import DummyTrainContext, EarlyExitReason, TrainContext
from determined.errors import InvalidHP, InvalidInput

logger = logging.getLogger("determined.core")

_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "HOROVOD_SIZE")
"""Where launchers say how many processes they have started."""

StorageArgument = str | os.PathLike[str] | Mapping[str, Any] | None


class Context:
    """The parts of the Core API in one object, for a ``with`` block around the training.

    Attributes:
        checkpoint: stores and restores checkpoints.
        distributed: ranks of the processes of the trial.
        preempt: tells when to stop.
        searcher: what the search wants from this trial.
        train: reports metrics.
    """

    def __init__(
        self,
        checkpoint: CheckpointContext,
        distributed: DistributedContext | None = None,
        preempt: PreemptContext | None = None,
        train: TrainContext | None = None,
        searcher: SearcherContext | None = None,
        *,
        on_close: tuple[Callable[[], None], ...] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.distributed = distributed or DummyDistributedContext()
        self.preempt = preempt or DummyPreemptContext(self.distributed)
        self.train = train or DummyTrainContext(distributed=self.distributed)
        self.searcher = searcher or DummySearcherContext(self.distributed)
        self._on_close = on_close

    def __enter__(self) -> Context:
        self.preempt.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        failures: list[Exception] = []
        with contextlib.ExitStack() as stack:
            # In reverse order; each runs whatever the others do.
            for close in reversed((self.preempt.close, self.distributed.close, *self._on_close)):
                stack.callback(_note_failure, close, failures)
            if isinstance(value, InvalidHP):
                _note_failure(lambda: self.train.report_early_exit(EarlyExitReason.INVALID_HP), failures)
        is_good_end = value is None or isinstance(value, InvalidHP) or _is_exit_with_0(value)
        if failures and is_good_end:
            raise failures[0]
        for failure in failures:
            # What the script itself has failed of is what its user has to see.
            logger.error("closing the context failed, too: %s", failure)
        if isinstance(value, InvalidHP):
            logger.info("the script cannot train these hyperparameters (%s); exiting with code 0", value)
            sys.exit(0)


def _note_failure(call: Callable[[], None], failures: list[Exception]) -> None:
    try:
        call()
    except Exception as error:
        failures.append(error)


def _is_exit_with_0(value: BaseException) -> bool:
    return isinstance(value, SystemExit) and value.code in (0, None)


def init(
    *,
    distributed: DistributedContext | None = None,
    checkpoint_storage: StorageArgument = None,
    preempt_mode: PreemptMode = PreemptMode.WorkersAskChief,
    tensorboard_mode: TensorboardMode = TensorboardMode.AUTO,
    background_reports: bool = False,
) -> Context:
    """The context of this process; use it as ``with core.init() as context``.

    Off the cluster the same script works: there is one operation of length 1, reports go to the log, and
    checkpoints go to a folder of the user.

    Args:
        distributed: ranks of this process; needed when the trial has several processes. One process that drives all
            slots of its trial needs none.
        checkpoint_storage: where checkpoints go instead of the configured place: a path, a URI such as
            ``s3://bucket/prefix`` or ``gs://bucket/prefix``, or a dictionary like the ``checkpoint_storage``
            section of a configuration, except ``shared_fs``.
        preempt_mode: who calls ``should_preempt``.
        tensorboard_mode: who writes TensorBoard files.
        background_reports: do not let training wait for the master: reports of metrics, progress and status are sent by
            a thread, in order, up to 1,000 of them late. Every other call waits for them first, and so does the end of
            the block, so that a checkpoint or a completed operation never overtakes the metrics before it. A report
            that the master refuses is raised by the next call.
    Raises:
        InvalidInput: several processes without ``distributed``, or a bad ``checkpoint_storage``; it is a ValueError.
    """
    mode, tensorboard = PreemptMode(preempt_mode), TensorboardMode(tensorboard_mode)
    info = get_cluster_info()
    if info is None:
        context = _dummy_init(distributed=distributed, checkpoint_storage=checkpoint_storage, preempt_mode=mode)
    else:
        if distributed is None:
            _refuse_unless_alone(info)
        ranks = distributed or DummyDistributedContext()
        storage = storage_from_argument(checkpoint_storage)
        if info.task_type == TRIAL_TASK:
            context = _trial_context(info, ranks, storage, mode, tensorboard, background_reports)
        else:
            context = _off_cluster(ranks, storage, mode, None)
    _print_stacks_on_sigusr1()
    return context


def _refuse_unless_alone(info: ClusterInfo) -> None:
    """Several processes without ranks would each take themselves for the chief, and report everything twice."""
    machines = len(info.container_addrs)
    counts = {name: os.environ[name] for name in _COUNTS if os.environ.get(name, "").isdecimal()}
    several = next((f"{name} is {count}" for name, count in counts.items() if int(count) > 1), "")
    if machines > 1:
        several = f"it runs on {machines} machines"
    if several:
        raise InvalidInput(
            f"this trial has several processes ({several}) and core.init() was given no distributed context; use"
            " core.init(distributed=core.DistributedContext.from_torch_distributed()) under"
            " determined.launch.torch_distributed, determined.launch.multi and torchrun, from_horovod(hvd) or"
            " from_deepspeed() under those, or core.DistributedContext(...) with ranks of your own"
        )


def _dummy_init(
    *,
    distributed: DistributedContext | None = None,
    checkpoint_storage: StorageArgument = None,
    tensorboard_path: Path | None = None,
    preempt_mode: PreemptMode = PreemptMode.WorkersAskChief,
) -> Context:
    ranks = distributed or DummyDistributedContext()
    return _off_cluster(ranks, storage_from_argument(checkpoint_storage), preempt_mode, tensorboard_path)


def _off_cluster(
    ranks: DistributedContext, storage: Storage | None, mode: PreemptMode, tensorboard_path: Path | None
) -> Context:
    if storage is None:
        storage = default_storage()
        logger.info("no checkpoint_storage was given; checkpoints go to %r", storage)
    return Context(
        DummyCheckpointContext(ranks, storage),
        ranks,
        DummyPreemptContext(ranks, mode),
        DummyTrainContext(tensorboard_path, ranks),
        DummySearcherContext(ranks),
    )


def init_trial(info: ClusterInfo) -> Context:
    """The context of a trial with one process that has no part in anything else."""
    ranks = DummyDistributedContext()
    return _trial_context(info, ranks, None, PreemptMode.WorkersAskChief, TensorboardMode.MANUAL, False)


def _trial_context(
    info: ClusterInfo,
    ranks: DistributedContext,
    storage: Storage | None,
    mode: PreemptMode,
    tensorboard: TensorboardMode,
    background_reports: bool,
) -> Context:
    # Imported here since HTTP takes most of the time that importing the Core API would take.
    from determined.core._background import Background
    from determined.core._master import Master

    trial = info.trial
    if trial._debug:
        logging.getLogger("determined").setLevel(logging.DEBUG)
    master = Master(info.master_url, info.session_token, background=Background() if background_reports else None)
    configured = storage_of_run(info)
    prefix = tensorboard_prefix(info.cluster_id, trial.experiment_id, trial.trial_id)
    files = TensorboardFiles(configured, prefix)
    mirror = Mirror(files) if tensorboard is TensorboardMode.AUTO else None
    return Context(
        CheckpointContext(ranks, storage or configured, master, info.task_id, info.allocation_id, mirror),
        ranks,
        PreemptContext(master, info.allocation_id, ranks, mode),
        TrainContext(master, trial.trial_id, trial._trial_run_id, trial.experiment_id, ranks, files, mirror),
        SearcherContext(master, ranks, trial.trial_id, info.allocation_id, configured_unit(trial._config)),
        on_close=(*(() if mirror is None else (mirror.close,)), files.remove, master.close),
    )


def _print_stacks_on_sigusr1() -> None:
    if not hasattr(signal, "SIGUSR1"):
        return
    import faulthandler

    # Passing the signal on to its default action would end the process.
    chain = callable(signal.getsignal(signal.SIGUSR1))
    try:
        faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True, chain=chain)
    except (AttributeError, OSError, ValueError, RuntimeError) as error:
        logger.debug("SIGUSR1 will not print stack traces (%s)", error)
