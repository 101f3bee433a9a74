"""How the server in front of the API is set up, the same wherever it runs."""

from __future__ import annotations

from typing import Any

import uvicorn
from starlette.types import ASGIApp

from determined.master.api.gathering import GatheringProtocol


def server_config(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """The settings of a server for the application; ``more`` are further ones."""
    return uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        # Nothing here asks where a request came from, and headers that claim to know are not to be believed.
        proxy_headers=False,
        server_header=False,
        http=GatheringProtocol,
        ws="wsproto",
        # Pages say nothing, and what they are told is encoded once for all of them.
        ws_max_size=4096,
        ws_per_message_deflate=False,
        **more,
    )
