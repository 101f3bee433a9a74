"""The keepers of this master's runs, one on each node where there are any. They are made when they are needed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable

from determined.errors import Unavailable
from determined.launchers.on_ray.bridge import Bridge, Lost
from determined.launchers.on_ray.wire import Kept

SWEEP_PATIENCE_S = 60.0
"""For looking on its node whether anything is left of the runs of a dead keeper."""
_log = logging.getLogger(__name__)


class Keeper:
    """One actor, which never comes back under the same name.

    Attributes:
        name: of the actor.
        node_id: the Ray node it is on.
        runs: how many use it.
    """

    def __init__(self, name: str, node_id: str) -> None:
        self.name = name
        self.node_id = node_id
        self.runs = 0
        self.opening: asyncio.Task[None] | None = None
        self.sweeping: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Keepers:
    """Keepers by node. Call it from one event loop."""

    def __init__(self, bridge: Bridge, cluster: str, idle_s: float) -> None:
        """Nothing is made before it is needed.

        Args:
            bridge: to the cluster.
            cluster: names the folder of this master's runs on a node.
            idle_s: after so long without a run a keeper is ended, and its templates with it.
        """
        self._bridge = bridge
        self._cluster = cluster
        self._idle_s = idle_s
        self._of_node: dict[str, Keeper] = {}
        self._dismissals: set[asyncio.Task[None]] = set()

    def take_over(self, found: Iterable[Kept]) -> dict[str, Keeper]:
        """Use those of an earlier master, with all runs that they have; by name."""
        keepers: dict[str, Keeper] = {}
        for kept in found:
            keeper = keepers[kept.keeper] = self._of_node[kept.node_id] = Keeper(kept.keeper, kept.node_id)
            keeper.runs = len(kept.runs)
            if not keeper.runs:
                self._rest(keeper)
        return keepers

    def enter(self, node_id: str) -> Keeper:
        """That of a node, for one more run."""
        if (keeper := self._of_node.get(node_id)) is None:
            # Ray's names stay taken for as long as anything is known of a dead actor.
            keeper = self._of_node[node_id] = Keeper(f"keeper-{node_id[:12]}-{uuid.uuid4().hex[:12]}", node_id)
            keeper.opening = asyncio.create_task(self._open(keeper))
        keeper.runs += 1
        if keeper.timer is not None:
            keeper.timer.cancel()
        return keeper

    async def ready(self, keeper: Keeper) -> None:
        """Wait until a keeper can take orders.

        Raises:
            Lost: it is dead.
        """
        if keeper.opening is not None:
            await asyncio.shield(keeper.opening)

    def leave(self, keeper: Keeper) -> None:
        """A run of it is over."""
        keeper.runs -= 1
        if not keeper.runs and self._of_node.get(keeper.node_id) is keeper:
            self._rest(keeper)

    def lose(self, keeper: Keeper) -> None:
        """It is dead, or should be."""
        if self._of_node.get(keeper.node_id) is keeper:
            del self._of_node[keeper.node_id]
        if keeper.timer is not None:
            keeper.timer.cancel()

    async def swept(self, keeper: Keeper) -> None:
        """Wait until nothing is left of the runs of a dead keeper, as far as can be known."""
        if keeper.sweeping is None:
            keeper.sweeping = asyncio.create_task(self._sweep(keeper))
        await asyncio.shield(keeper.sweeping)

    async def close(self) -> None:
        """End those that have no runs, as far as that is quickly done."""
        for keeper in list(self._of_node.values()):
            if not keeper.runs:
                self._dismiss(keeper)
        if self._dismissals and self._bridge.is_connected:
            await asyncio.wait(self._dismissals, timeout=2.0)
        opening = [keeper.opening for keeper in self._of_node.values() if keeper.opening is not None]
        for task in (*self._dismissals, *opening):
            task.cancel()

    async def _open(self, keeper: Keeper) -> None:
        arguments = (keeper.name, keeper.node_id, self._cluster, 2 * self._idle_s)
        await self._bridge.insist(type(None), "open", *arguments)

    def _rest(self, keeper: Keeper) -> None:
        keeper.timer = asyncio.get_running_loop().call_later(self._idle_s, self._dismiss, keeper)

    def _dismiss(self, keeper: Keeper) -> None:
        self.lose(keeper)
        task = asyncio.create_task(self._bridge.insist(type(None), "dismiss", keeper.name))
        self._dismissals.add(task)
        task.add_done_callback(self._dismissals.discard)

    async def _sweep(self, keeper: Keeper) -> None:
        sweep = asyncio.ensure_future(self._bridge.do("sweep", keeper.node_id, self._cluster, keeper.name))
        _, late = await asyncio.wait({sweep}, timeout=SWEEP_PATIENCE_S)
        if late:
            sweep.cancel()
            _log.warning("keeper %s: nobody could look for left-overs on node %s", keeper.name, keeper.node_id)
            return
        try:
            sweep.result()
        except (Unavailable, Lost) as error:
            _log.warning("keeper %s: no look at left-overs: %s", keeper.name, error)
