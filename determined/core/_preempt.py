"""Whether this run has been asked to stop: a thread of its own waits for the signal, once somebody has asked."""

from __future__ import annotations

import enum
import logging
import threading
from typing import TYPE_CHECKING

from determined.core._distributed import DistributedContext
from determined.errors import DeterminedError, FailedPrecondition

if TYPE_CHECKING:
    from determined.core._master import Master

logger = logging.getLogger("determined.core")

_POLL_S = 60
_ANSWER_MARGIN_S = 10.0
_FIRST_ANSWER_S = 10.0


class PreemptMode(enum.Enum):
    """Who calls ``should_preempt()``, and who asks the master."""

    WorkersAskChief = "WORKERS_ASK_CHIEF"
    """All processes call it in step; the chief asks the master, and all get its answer."""
    ChiefOnly = "CHIEF_ONLY"
    """Only the chief may call it."""
    WorkersAskMaster = "WORKERS_ASK_MASTER"
    """Each process asks the master for itself; answers may differ for a moment."""


class _Watcher(threading.Thread):
    """Asks the master again and again, each time for as long as it will hold the answer."""

    def __init__(self, master: Master, allocation_id: str) -> None:
        # A daemon, since a blocked read cannot be interrupted and must not keep the script from ending.
        super().__init__(name="preemption-watcher", daemon=True)
        self._master = master
        self._path = f"/api/v1/allocations/{allocation_id}/signals/preemption"
        self._first_answer = threading.Event()
        self._closed = threading.Event()
        self._raised = False
        self._begun = False
        self._beginning = threading.Lock()

    def run(self) -> None:
        try:
            self._raised = self._ask(0)
        except DeterminedError as error:
            logger.warning("the first question for a preemption signal failed (%s); going on", error)
        finally:
            self._first_answer.set()
        failures = 0
        while not self._raised and not self._closed.is_set():
            try:
                self._raised = self._ask(_POLL_S)
                failures = 0
            except DeterminedError as error:
                if failures == 0 and not self._closed.is_set():
                    logger.warning("asking for a preemption signal failed (%s); trying again", error)
                self._closed.wait(self._master.policy.pause(failures))
                failures += 1

    def _ask(self, hold_s: int) -> bool:
        within = hold_s + _ANSWER_MARGIN_S if hold_s else _FIRST_ANSWER_S
        answer = self._master.get_once(self._path, params={"timeout_seconds": hold_s}, timeout_s=within)
        return isinstance(answer, dict) and answer.get("preempt") is True

    def should_preempt(self) -> bool:
        """Whether the signal has been raised; waits for the master's first answer only.

        The first caller starts the thread: many scripts never ask, and need neither it nor its connection.
        """
        if not self._first_answer.is_set():
            with self._beginning:
                if not self._begun:
                    self.start()
                    self._begun = True
            self._first_answer.wait()
        return self._raised

    def close(self) -> None:
        """Ask no more; a question that is out may still run to its end."""
        self._closed.set()


class PreemptContext:
    """Tells a training script when to save and leave: its experiment was paused, or its slots are wanted."""

    def __init__(
        self,
        master: Master,
        allocation_id: str,
        dist: DistributedContext,
        preempt_mode: PreemptMode = PreemptMode.WorkersAskChief,
    ) -> None:
        self._master = master
        self._allocation_id = allocation_id
        self._dist = dist
        self._mode = PreemptMode(preempt_mode)
        self._started = False
        self._acknowledged = False
        asks = dist.rank == 0 or self._mode is PreemptMode.WorkersAskMaster
        self._watcher = _Watcher(master, allocation_id) if asks else None

    def start(self) -> PreemptContext:
        """Allow ``should_preempt``. ``with core.init()`` does this.

        Raises:
            FailedPrecondition: started before; it is a RuntimeError.
        """
        if self._started:
            raise FailedPrecondition("PreemptContext.start() was called twice; core.init() starts it already")
        self._started = True
        return self

    def close(self) -> None:
        """Watch no longer."""
        if self._watcher is not None:
            self._watcher.close()

    def __enter__(self) -> PreemptContext:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def should_preempt(self, auto_ack: bool = True) -> bool:
        """Whether to save a checkpoint and exit now; cheap, and waits only on its first call.

        Args:
            auto_ack: tell the master, on the first True, that this process will exit with work left. With
                False, call ``acknowledge_preemption_signal`` before exiting.
        Raises:
            FailedPrecondition: not started, or called by a worker in ``ChiefOnly`` mode; it is a RuntimeError.
        """
        self._check_caller()
        out = False if self._watcher is None else self._watcher.should_preempt()
        if out and auto_ack and not self._acknowledged:
            self.acknowledge_preemption_signal()
        if self._mode is PreemptMode.WorkersAskChief:
            out = bool(self._dist.broadcast(out))
        return out

    def acknowledge_preemption_signal(self) -> None:
        """Tell the master that this process exits with work left, and wants to be started again later."""
        self._master.signal(f"/api/v1/allocations/{self._allocation_id}/signals/ack_preemption")
        self._acknowledged = True

    def _check_caller(self) -> None:
        if not self._started:
            raise FailedPrecondition("should_preempt() was called before start(); use `with core.init() as context`")
        if self._mode is PreemptMode.ChiefOnly and self._dist.rank != 0:
            raise FailedPrecondition(
                f"should_preempt() was called by rank {self._dist.rank} in mode ChiefOnly; call it on rank 0 only"
            )


class DummyPreemptContext(PreemptContext):
    """Off the cluster nobody asks a script to stop."""

    def __init__(self, dist: DistributedContext, preempt_mode: PreemptMode = PreemptMode.WorkersAskChief) -> None:
        self._dist = dist
        self._mode = PreemptMode(preempt_mode)
        self._started = False
        self._watcher = None

    def should_preempt(self, auto_ack: bool = True) -> bool:
        """False; processes that must call it in step on the cluster must do so here, too."""
        self._check_caller()
        if self._mode is PreemptMode.WorkersAskChief:
            self._dist.broadcast(False)
        return False

    def acknowledge_preemption_signal(self) -> None:
        """Do nothing."""
