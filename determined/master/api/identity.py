"""Who this master is, as its API tells; made once at the start."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from determined.master.api.security import Hosts

PROTOCOL_VERSION: Final = "0.22.2"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this master is.

    Attributes:
        master_id: of this data folder.
        cluster_id: a uuid that never changes.
        version: our own.
        protocol_version: what clients compare with their own.
        hosts: names under which the master may be asked.
        config: the master's configuration without secrets; ``checkpoint_storage`` is shown to clients.
        started_at: seconds since the epoch.
    """

    master_id: str
    cluster_id: str
    version: str = ""
    protocol_version: str = PROTOCOL_VERSION
    cluster_name: str = ""
    hosts: Hosts = field(default_factory=Hosts)
    config: Mapping[str, Any] = field(default_factory=dict)
    started_at: float = field(default_factory=time.time)
