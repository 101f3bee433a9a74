"""The HTTP application: every route, the guard in front, and errors in one shape."""

from __future__ import annotations

import functools
from typing import Any, Final

from starlette.types import ASGIApp

from determined.master.api import openapi
from determined.master.api.call import Api, Call, Handled
from determined.master.api.identity import Identity
from determined.master.api.log_ring import LogRing
from determined.master.api.pages import Pages
from determined.master.api.routes import (
    allocations,
    checkpoints,
    experiment_changes,
    experiments,
    journal,
    legacy,
    login,
    logs,
    reports,
    searches,
    server,
    tasks,
    trials,
    ui,
    ui_logs,
    ui_sessions,
    users,
)
from determined.master.api.routing import Access, RouteInfo, Router, Routes
from determined.master.api.security import Guard
from determined.master.api.sending import Whole, json_answer
from determined.master.service.auth import Auth
from determined.master.service.ports import Service
from determined.storage.protocol import Store

# The busiest routes stand first: they are tried in this order. Fixed paths stand before those with a name in them.
_RESOURCES: Final = (
    reports,
    searches,
    allocations,
    checkpoints,
    experiment_changes,
    experiments,
    trials,
    journal,
    logs,
    tasks,
    login,
    ui,
    ui_logs,
    ui_sessions,
    users,
    server,
    legacy,
)


def every_route() -> list[RouteInfo]:
    """The routes of the API in the order in which they are tried."""
    return [info for resource in _RESOURCES for info in resource.routes.infos]


def create_app(
    service: Service,
    store: Store,
    auth: Auth,
    identity: Identity,
    ring: LogRing | None = None,
    pages: Pages | None = None,
) -> ASGIApp:
    """The application that serves a master.

    Args:
        ring: where the master's own log is remembered.
        pages: the web UI; that of this installation if None.
    """
    api = Api(service, store, auth, identity, ring or LogRing())
    infos = every_route()
    own = _documentation(infos, identity.version)
    return Guard(Router([*infos, *own.infos], api, pages), identity.hosts)


def _documentation(infos: list[RouteInfo], version: str) -> Routes:
    routes = Routes()

    @functools.cache
    def document() -> Whole:
        # Made when it is first wanted: a master that starts has better things to do.
        return json_answer(openapi.describe([*infos, *routes.infos], version))

    @routes.add("GET", "/openapi.json", access=Access.PUBLIC, answer=dict[str, Any])
    async def openapi_document(call: Call) -> Handled:
        """Get the description of this API."""
        return document()

    return routes
