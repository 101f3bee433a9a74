"""The HTTP application: every route, the guard in front, and errors in one shape."""

from __future__ import annotations

import functools
from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from determined.master.api import openapi
from determined.master.api.call import Api, Call, Handled
from determined.master.api.errors import Fault, fault_of, fault_of_status
from determined.master.api.identity import Identity
from determined.master.api.log_ring import LogRing
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
    users,
)
from determined.master.api.routing import Access, RouteInfo, Routes, starlette_routes
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
    users,
    server,
    legacy,
)


def every_route() -> list[RouteInfo]:
    """The routes of the API in the order in which they are tried."""
    return [info for resource in _RESOURCES for info in resource.routes.infos]


def create_app(service: Service, store: Store, auth: Auth, identity: Identity, ring: LogRing | None = None) -> FastAPI:
    """The application that serves a master.

    Args:
        ring: where the master's own log is remembered.
    """
    app = FastAPI(
        title="determined-search",
        version=identity.version or "0",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api = Api(service, store, auth, identity, ring or LogRing())
    infos = every_route()
    own = _documentation(infos, identity.version)
    app.router.routes.extend(starlette_routes([*infos, *own.infos], api))
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_error)
    app.add_middleware(Guard, hosts=identity.hosts)
    return app


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


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = ascii(request.url.path[:200])
    if status == 405:
        message = f"{request.method[:20]} is not served under {path}; see /openapi.json"
    elif status == 404:
        message = f"there is nothing under {path}; see /openapi.json"
    else:
        message = f"{request.method[:20]} {path} failed"
    return _response(fault_of_status(status, message))


async def _on_error(request: Request, error: Exception) -> Response:
    return _response(fault_of(error))


def _response(fault: Fault) -> Response:
    return Response(fault.body(), fault.status, media_type="application/json")
