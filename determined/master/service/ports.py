"""What the API may ask of the service, and the values that pass between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from determined.domain.facts import Verb
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Operation
from determined.domain.records import Experiment, LogRecord, Run, Trial, User
from determined.launchers.protocol import Member
from determined.storage.protocol import LogFilter

if TYPE_CHECKING:
    from determined.master.ui.broadcast import Broadcast
    from determined.master.ui.feed import Feed


@dataclass(frozen=True, slots=True)
class RunKey:
    """One run of one trial, as its token proves it."""

    experiment_id: ExperimentId
    trial_id: TrialId
    run_id: RunId
    allocation_id: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """The members of a run.

    Attributes:
        number: which of them is told this.
    """

    members: Sequence[Member]
    number: int


@dataclass(frozen=True, slots=True)
class ContextFile:
    """One member of an uploaded model definition. ``content`` is None for a folder."""

    path: str
    content: bytes | None
    mode: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a new experiment, as it came."""

    config: str
    files: Sequence[ContextFile] = field(default_factory=tuple)
    activate: bool = True
    validate_only: bool = False
    parent_id: int | None = None
    project_id: int | None = None
    template: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer; ``experiment`` is None when it was only to be checked, not ``is_new`` when it existed before."""

    experiment: Experiment | None
    config: Mapping[str, Any]
    warnings: Sequence[str]
    over_capacity: bool
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class EventsAnswer:
    """Queued events as wire JSON, or the state that says why there are none (without prefix ``STATE_``)."""

    events: Sequence[msgspec.Raw] = ()
    inactive_state: str | None = None


@dataclass(frozen=True, slots=True)
class NextOperation:
    """The current operation of a trial; ``length`` 0 when it never had one."""

    length: int
    completed: bool


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot and the run that holds it, if any."""

    id: int
    kind: str
    name: str
    uuid: str
    allocation_id: str | None


@dataclass(frozen=True, slots=True)
class MachineView:
    """A machine that runs trials, and its slots."""

    id: str
    addresses: tuple[str, ...]
    slots: Sequence[SlotView]


@dataclass(frozen=True, slots=True)
class AllocationView:
    """A run that waits for slots or lives."""

    key: RunKey
    slots: int
    slot_ids: tuple[int, ...]
    state: str
    registered_at: float
    waiting_for: str
    priority: int


class Service(Protocol):
    """Everything that changes state or waits for it. Reads go to the store."""

    @property
    def feed(self) -> Feed:
        """Large reads of the web UI."""

    async def summary(self, experiment_id: ExperimentId) -> tuple[int | None, Mapping[str, Any] | None]:
        """Where a search stands in its method's words, and after which event it said so; None if it said nothing."""

    @property
    def broadcast(self) -> Broadcast:
        """Who listens to changes."""

    def tell_of_logs(self, runs: Iterable[Run]) -> None:
        """Lines of these runs were stored that the launcher did not bring: wake those who follow them."""

    # Experiments
    async def submit(self, user: User, submission: Submission) -> Submitted: ...
    async def command(self, experiment_id: ExperimentId, verb: Verb) -> None: ...
    async def patch_experiment(self, experiment_id: ExperimentId, changes: Mapping[str, Any]) -> Experiment:
        """Changes: any of name, description, labels, notes, max_slots, weight, priority, save_experiment_best,
        save_trial_best, save_trial_latest."""

    async def archive(self, experiment_id: ExperimentId, archived: bool) -> None: ...
    async def delete_experiment(self, experiment_id: ExperimentId) -> None: ...
    async def model_definition(self, experiment_id: ExperimentId) -> bytes:
        """The model definition as a gzipped tar."""

    # Custom search
    async def attach(self, experiment_id: ExperimentId, runner: str = "") -> int: ...
    async def fetch_events(self, experiment_id: ExperimentId) -> EventsAnswer: ...
    async def post_operations(
        self,
        experiment_id: ExperimentId,
        operations: Sequence[Operation],
        trigger: int | None,
        epoch: int | None,
        summary: bytes | None = None,
    ) -> None: ...

    # Trials
    async def kill_trial(self, trial_id: TrialId) -> None: ...
    async def cancel_trial(self, trial_id: TrialId) -> None: ...
    async def next_operation(self, run: RunKey) -> NextOperation: ...
    async def report_progress(self, run: RunKey, units: float, report: str) -> None: ...
    async def report_completed(self, run: RunKey, length: int, metric: Any) -> bool: ...
    async def report_invalid_hp(self, run: RunKey) -> None: ...
    async def report_metrics(
        self,
        run: RunKey,
        group: str,
        trial_run_id: int,
        steps: int,
        metrics: Mapping[str, Any],
        batch_metrics: Sequence[Any] | None,
    ) -> None: ...
    async def report_checkpoint(
        self, run: RunKey, uuid: str, task_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]
    ) -> None: ...
    async def set_runner_state(self, run: RunKey, state: str) -> None: ...
    async def delete_checkpoints(self, uuids: Sequence[str]) -> None: ...

    # Allocations
    async def run_seen(self, run: RunKey) -> None: ...
    async def preemption(self, run: RunKey, timeout_s: float) -> bool: ...
    async def acknowledge_exit(self, run: RunKey) -> None: ...
    async def request_preemption(self, run: RunKey) -> None: ...
    def live_run(self, allocation_id: str) -> RunKey | None:
        """The run of this name if it has a process now."""

    def allocations(self) -> Sequence[AllocationView]: ...
    async def machines(self) -> Sequence[MachineView]:
        """Machines that are there now, and who holds their slots."""

    async def meet(self, run: RunKey, name: str) -> Meeting:
        """Wait at the start line until all members of the run are there.

        Args:
            name: of the member that calls, its ``DET_RESOURCES_ID``.
        Raises:
            InvalidInput: the run has no such member.
            StaleRun: the run is over.
            Unavailable: nobody can tell yet where the members are.
        """

    def experiment_wire_state(self, experiment: Experiment) -> str:
        """The state with its sub-state: QUEUED, STARTING or RUNNING instead of ACTIVE; no prefix."""

    async def story(self, trial: Trial) -> list[str]:
        """The life of a trial in sentences."""

    # Streams
    def follow_logs(self, trial_id: TrialId, where: LogFilter) -> AsyncIterator[Sequence[LogRecord]]:
        """All matching lines, then new ones, until the trial is over and all of its lines are out."""

    def watch(self, experiment_id: ExperimentId, follow: bool) -> AsyncIterator[Mapping[str, Any]]:
        """Summaries of a search's progress: one at once, then after changes, until it is over."""
