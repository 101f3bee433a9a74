"""Runs of trials: start line, preemption, and the end."""

from __future__ import annotations

from typing import Final

from determined.master.api.access import run_in_path
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Access, Routes
from determined.wire.reports import Preemption, Rendezvous, RendezvousInfo

routes = Routes()
MAX_WAIT_S: Final = 300.0


@routes.add(
    "GET",
    "/v1/allocations/{allocation_id}/signals/preemption",
    access=Access.RUN,
    answer=Preemption,
    parameters=["timeoutSeconds"],
)
async def preemption(call: Call) -> Handled:
    """Ask whether the run shall save its work and exit; held until it shall, or until the time is up."""
    timeout_s = call.query.number("timeoutSeconds", 0.0, 0.0, MAX_WAIT_S)
    run = await run_in_path(call)
    if timeout_s == 0.0:
        return Preemption(preempt=await call.service.preemption(run, 0.0))
    async with call.connected():
        return Preemption(preempt=await call.service.preemption(run, timeout_s))


@routes.add("POST", "/v1/allocations/{allocation_id}/signals/ack_preemption", access=Access.RUN)
async def acknowledge_preemption(call: Call) -> Handled:
    """Say that the run's process will exit although work may be left."""
    await call.service.acknowledge_exit(await run_in_path(call))


@routes.add("POST", "/v1/allocations/{allocation_id}/signals/pending_preemption", access=Access.RUN)
async def announce_preemption(call: Call) -> Handled:
    """Say that the run's slots are about to be taken away."""
    await call.service.request_preemption(await run_in_path(call))


@routes.add(
    "GET",
    "/v1/allocations/{allocation_id}/resources/{resources_id}/rendezvous",
    access=Access.RUN,
    answer=Rendezvous,
)
async def rendezvous(call: Call) -> Handled:
    """Meet the other members of the run: held until all of them are here. A run on one node has a single one."""
    run = await run_in_path(call)
    async with call.connected():
        met = await call.service.meet(run, call.path("resources_id"))
    # Durable before anybody is answered: a member that has to ask again finds the others gone on.
    await call.service.run_seen(run)
    addresses = [member.address for member in met.members]
    slots = [member.slots for member in met.members]
    return Rendezvous(rendezvous_info=RendezvousInfo(addresses=addresses, rank=met.number, slots=slots))


@routes.add("POST", "/v1/allocations/{allocation_id}/ready", access=Access.RUN)
async def ready(call: Call) -> Handled:
    """Say that the run has passed the start line."""
    await call.service.run_seen(await run_in_path(call))


@routes.add("POST", "/v1/allocations/{allocation_id}/waiting", access=Access.RUN)
async def waiting(call: Call) -> Handled:
    """Say that the run waits for its other members; they meet at the rendezvous, so nothing changes."""
    await run_in_path(call)
