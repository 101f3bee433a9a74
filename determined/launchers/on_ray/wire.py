"""What the master, the driver and the keepers on the nodes say to each other. No pickle: the master reads this."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from determined.launchers.protocol import LogLine, RunExit, RunSpec, Warm

CERTIFICATE_VARIABLE = "DET_MASTER_CERT_FILE"


class ContextPlace(msgspec.Struct, frozen=True):
    """Where a node finds the model definition of a run.

    Attributes:
        url: answers ``{"b64Tgz": ...}`` to the headers.
        headers: secret.
        sha256: of the archive, in hex; nodes keep it under this name.
        name: of the file, for people.
        server_name: name in the server's certificate, if it is not that of the url.
    """

    url: str
    headers: Mapping[str, str]
    sha256: str
    name: str
    server_name: str | None = None


class Bundle(msgspec.Struct, frozen=True):
    """What a run holds of one node; nothing of either for a run without slots."""

    cpus: int = 0
    gpus: int = 0


class Place(msgspec.Struct, frozen=True):
    """What Ray is asked for. Runs with equal places can have each other's reservations.

    Attributes:
        bundles: one for each node that the run is to be on.
    """

    bundles: tuple[Bundle, ...]

    @property
    def slots(self) -> int:
        """How many slots a run holds there."""
        return sum(bundle.cpus + bundle.gpus for bundle in self.bundles)


class Seat(msgspec.Struct, frozen=True):
    """Where Ray has put a bundle.

    Attributes:
        node_id: the Ray node.
        gpus: those that Ray chose there, for ``CUDA_VISIBLE_DEVICES``.
    """

    node_id: str
    gpus: str = ""


class Reservation(msgspec.Struct, frozen=True):
    """Resources that Ray keeps for us; a placement group of this name.

    Attributes:
        seats: one for each bundle of the place, in their order.
    """

    name: str
    place: Place
    seats: tuple[Seat, ...]


class Order(msgspec.Struct, frozen=True):
    """A run, complete: its keeper starts it although no master lives any more.

    Attributes:
        reservation: what it holds; its keeper tells it to the next master.
        python: the master's interpreter, in whose place a node puts its own.
        certificate: what the master's certificate is checked against, as PEM text; None for what the node trusts.
        warm: what it may be forked from.
        seat: which one of the reservation this is for.
    """

    allocation_id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    info_files: Mapping[str, str]
    python: str
    reservation: Reservation
    context: ContextPlace | None = None
    certificate: str | None = None
    warm: Warm | None = None
    seat: int = 0

    def spec(self, python: str, context: Path | None, env: Mapping[str, str]) -> RunSpec:
        """The order for the launcher of a node.

        Args:
            python: the node's interpreter.
            context: the archive on the node.
            env: variables that only the node knows.
        """
        argv = tuple(python if word == self.python else word for word in self.argv)
        info_files = dict(self.info_files)
        if "cluster.json" in info_files:
            info_files["cluster.json"] = _with_variables(info_files["cluster.json"], env)
        return RunSpec(self.allocation_id, argv, {**self.env, **env}, context, info_files=info_files, warm=self.warm)


_INFO_OF_VARIABLE = {"DET_AGENT_ID": "agent_id", CERTIFICATE_VARIABLE: "master_cert_file"}


def _with_variables(text: str, env: Mapping[str, str]) -> str:
    """An info file that says the same as the variables."""
    info = json.loads(text)
    info |= {key: env[name] for name, key in _INFO_OF_VARIABLE.items() if name in env and key in info}
    return json.dumps(info)


class News(msgspec.Struct, frozen=True):
    """What a keeper answers when there is something to tell of a run.

    Attributes:
        running: the run's process exists, or did.
        first: number of the first line.
        end: how the run ended; told with or after its last line.
    """

    running: bool
    first: int = 0
    lines: Sequence[LogLine] = ()
    end: RunExit | None = None


class KeptRun(msgspec.Struct, frozen=True):
    """A run that has a keeper, whether it is over or not; one that is over needs its reservation no more."""

    allocation_id: str
    reservation: Reservation
    is_over: bool = False


class Kept(msgspec.Struct, frozen=True):
    """A keeper that is alive, with its runs."""

    keeper: str
    node_id: str
    runs: tuple[KeptRun, ...]


class Node(msgspec.Struct, frozen=True):
    """A live machine of the cluster."""

    id: str
    address: str
    host: str
    cpus: float
    gpus: float


class Request(msgspec.Struct, frozen=True):
    """The master asks the driver to do something, by the name of a method of `determined.launchers.on_ray.driver`."""

    number: int
    method: str
    arguments: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        number: of the request; 0 for the driver's own beginning.
        problem: None when it worked; ``lost``: the actor is dead; ``failed``: try again.
    """

    number: int
    result: bytes = b""
    problem: str | None = None
    text: str = ""


HEADER_BYTES = 4


def frame(message: Request | Reply) -> bytes:
    """A message with its length before it."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(HEADER_BYTES, "big") + data
