"""From slots to what Ray is asked for, and from what Ray has given to the members of a run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from determined.errors import Unavailable
from determined.launchers.on_ray.parts import divide
from determined.launchers.on_ray.wire import Bundle, Node, Place, Reservation
from determined.launchers.protocol import Member, SlotKind

ALONE = "127.0.0.1"


def place_for(slots: int, kind: SlotKind, nodes: Sequence[Node]) -> Place:
    """Which bundles a run needs.

    Args:
        nodes: those that are there; they do not matter for a run of one slot or none.
    """
    is_gpu = kind is SlotKind.CUDA
    shares = divide(slots, [int(node.gpus if is_gpu else node.cpus) for node in nodes])
    return Place(tuple(Bundle(gpus=share) if is_gpu else Bundle(cpus=share) for share in shares))


def shares_of(place: Place) -> tuple[int, ...]:
    """How many slots each part of a run holds."""
    return tuple(bundle.cpus + bundle.gpus for bundle in place.bundles)


def members_of(reservation: Reservation, nodes: Sequence[Node]) -> tuple[Member, ...]:
    """Where the parts of a run are, in their order.

    Args:
        nodes: those that are there; they do not matter for a run of one part, which needs to reach only itself.

    Raises:
        Unavailable: a node of it is gone.
    """
    shares = shares_of(reservation.place)
    if len(shares) == 1:
        return (Member(ALONE, shares[0]),)
    addresses = {node.id: node.address for node in nodes}
    if gone := [seat.node_id for seat in reservation.seats if seat.node_id not in addresses]:
        raise Unavailable(f"node {gone[0]} of the run is gone; the run is ended on its other nodes")
    return tuple(Member(addresses[seat.node_id], share) for seat, share in zip(reservation.seats, shares, strict=True))
