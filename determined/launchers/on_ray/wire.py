"""What the master, the driver and the keepers on the nodes say to each other. No pickle: the master reads this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from determined.launchers.protocol import LogLine, RunExit, RunSpec


class ContextPlace(msgspec.Struct, frozen=True):
    """Where a node finds the model definition of a run.

    Attributes:
        url: answers ``{"b64Tgz": ...}`` to the headers.
        headers: secret.
        sha256: of the archive, in hex; nodes keep it under this name.
        name: of the file, for people.
    """

    url: str
    headers: Mapping[str, str]
    sha256: str
    name: str


class Order(msgspec.Struct, frozen=True):
    """A run, complete: its keeper starts it although no master lives any more.

    Attributes:
        cluster: names the folder of this master's runs on a node.
        python: the master's interpreter, in whose place a node puts its own.
    """

    allocation_id: str
    cluster: str
    argv: Sequence[str]
    env: Mapping[str, str]
    info_files: Mapping[str, str]
    python: str
    slots: int = 0
    context: ContextPlace | None = None

    def spec(self, python: str, context: Path | None, env: Mapping[str, str]) -> RunSpec:
        """The order for the launcher of a node.

        Args:
            python: the node's interpreter.
            context: the archive on the node.
            env: variables that only the node knows.
        """
        argv = tuple(python if word == self.python else word for word in self.argv)
        return RunSpec(self.allocation_id, argv, {**self.env, **env}, context, info_files=self.info_files)


class Place(msgspec.Struct, frozen=True):
    """What Ray is asked for: one actor on one node with so many CPUs or GPUs."""

    cpus: int = 0
    gpus: int = 0


class News(msgspec.Struct, frozen=True):
    """What a keeper answers when there is something to tell.

    Attributes:
        node_id: the Ray node.
        folder: the run's folder there.
        running: the run's process exists, or did.
        first: number of the first line.
        end: how the run ended; told with or after its last line.
    """

    node_id: str
    folder: str
    running: bool
    slots: int = 0
    first: int = 0
    lines: Sequence[LogLine] = ()
    end: RunExit | None = None


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
