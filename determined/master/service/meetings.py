"""The start line of a run: its members meet there, and each is told who the others are and which one it is.

A run on one node has one member, which passes at once. The members of a run on several are held until all of them wait.
Then the run counts as seen. A member that asks once more after that, because its master died before it could answer,
finds it so and passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from determined.domain.ids import member_id
from determined.domain.states import RunPhase
from determined.errors import InvalidInput, StaleRun, Unavailable
from determined.launchers.protocol import ClusterLauncher, Launcher, Member
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub
from determined.master.service.ports import Meeting, RunKey

_ALONE = "127.0.0.1"


@dataclass(slots=True)
class _Gathering:
    """Members of one run that wait.

    Attributes:
        waiting: number of a member -> how many of its calls wait; a connection that was cut may not be gone yet.
        is_complete: all have been here at once.
    """

    waiting: dict[int, int] = field(default_factory=dict)
    is_complete: bool = False


class Meetings:
    """All start lines."""

    def __init__(self, commits: Commits, hub: Hub, launcher: Launcher) -> None:
        self.commits = commits
        self.hub = hub
        self.launcher = launcher
        self._gatherings: dict[str, _Gathering] = {}

    async def meet(self, run: RunKey, name: str) -> Meeting:
        """See ``Service.meet``."""
        members = await self._members(run)
        number = _number(run, name, len(members))
        if len(members) > 1 and not await self._has_passed(run):
            await self._all_there(run, number, len(members))
        return Meeting(members, number)

    async def _members(self, run: RunKey) -> Sequence[Member]:
        if isinstance(self.launcher, ClusterLauncher):
            members = await self.launcher.members(run.allocation_id)
            if len(members) > 1:
                return members
        lane = self.commits.lanes.get(run.experiment_id)
        record = None if lane is None else lane.runs.get(run.trial_id)
        return (Member(_ALONE, 0 if record is None else len(record.slot_ids)),)

    async def _has_passed(self, run: RunKey) -> bool:
        lane = await self.commits.lane(run.experiment_id)
        if lane is None:
            raise StaleRun(f"run {run.run_id} of trial {run.trial_id} is over")
        _, live = lane.engine.current_run(run.trial_id, run.run_id)
        return live.phase is RunPhase.RUNNING

    async def _all_there(self, run: RunKey, number: int, count: int) -> None:
        """Hold a member until all are held.

        Raises:
            StaleRun: the run is over.
            Unavailable: the master is stopping.
        """
        topic = ("members", run.allocation_id)
        gathering = self._gatherings.setdefault(run.allocation_id, _Gathering())
        gathering.waiting[number] = gathering.waiting.get(number, 0) + 1
        try:
            # A run that ends tells those who wait for its preemption.
            with self.hub.listen(topic, ("preempt", run.trial_id)) as news:
                if len(gathering.waiting) == count:
                    gathering.is_complete = True
                    self.hub.tell(topic)
                while not gathering.is_complete and not await self._has_passed(run):
                    if not await news.wait():
                        raise Unavailable("the master is stopping; try again once it is back")
        finally:
            gathering.waiting[number] -= 1
            if not gathering.waiting[number]:
                del gathering.waiting[number]
            if not gathering.waiting and self._gatherings.get(run.allocation_id) is gathering:
                del self._gatherings[run.allocation_id]


def _number(run: RunKey, name: str, count: int) -> int:
    """Which member it is that calls.

    Raises:
        InvalidInput: none has this name.
    """
    if count == 1:
        # Clients of other makes give it names of their own.
        return 0
    names = [member_id(run.allocation_id, number, count) for number in range(count)]
    if name not in names:
        raise InvalidInput(
            f"{name!r} is no member of run {run.allocation_id}; its members are {', '.join(names)},"
            " as DET_RESOURCES_ID tells each of them"
        )
    return names.index(name)
