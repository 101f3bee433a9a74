"""Routes as data: path, handler, who may ask, and the shapes of request and answer.

One declaration serves three ends: it dispatches, it guards, and it documents. Handlers are plain functions from
``Call`` to a value; reading, proving, encoding and errors are done here, without further layers.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from determined.errors import PermissionDenied
from determined.master.api.bodies import MAX_BODY
from determined.master.api.call import Api, Call
from determined.master.api.errors import Fault, fault_of, fault_of_status
from determined.master.api.pages import Pages
from determined.master.api.security import SAFE_METHODS, refuse_websocket
from determined.master.api.sending import Chunks, ClientGone, Stream, Whole, json_answer, send_fault
from determined.master.api.stream import PATH, serve_stream
from determined.steps import step
from determined.wire.requests import Empty

Handler = Callable[[Call], Awaitable[Any]]
_ANSWERS: Final = (Whole, Stream, Chunks)
EMPTY: Final = Whole(b"{}")


class Access(enum.Enum):
    """Who may ask."""

    PUBLIC = "everybody, without a token"
    USER = "users"
    RUN = "users, and runs of trials for what is theirs; the handler checks that it is"


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """One route.

    Attributes:
        request, answer: shapes for the documentation; None for no body, or one without a shape.
        streams: whether the answer is a stream of ``{"result": answer}`` lines.
        limit: of the request's body, in bytes.
        parameters: names of query parameters.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    request: Any
    answer: Any
    streams: bool
    limit: int
    parameters: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]


class Routes:
    """Collects the routes of one resource."""

    def __init__(self) -> None:
        self.infos: list[RouteInfo] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        access: Access = Access.USER,
        request: Any = None,
        answer: Any = Empty,
        streams: bool = False,
        limit: int = MAX_BODY,
        parameters: Iterable[str] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as the handler of a route. Paths that begin with ``/v1`` are versioned."""
        full = f"/api{path}" if path.startswith("/v1/") else path

        def declare(handler: Handler) -> Handler:
            self.infos.append(
                RouteInfo(method, full, handler, access, request, answer, streams, limit, tuple(parameters))
            )
            return handler

        return declare


class Endpoint:
    """Serves one route; an ASGI application of its own, so that nothing stands between it and the server."""

    def __init__(self, info: RouteInfo, api: Api) -> None:
        self._handler = info.handler
        self._access = info.access
        self._limit = info.limit
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = Call(self._api, scope, receive, self._limit)
        try:
            answer = await self._answer(call)
        except ClientGone:
            return
        except Exception as error:
            await send_fault(fault_of(error), send)
            return
        finally:
            call.close()
        try:
            await answer.send(receive, send)
        except ClientGone:
            return

    async def _answer(self, call: Call) -> Whole | Stream | Chunks:
        if self._access is not Access.PUBLIC:
            credentials = call.credentials()
            principal = await self._api.auth.authenticate(credentials, self._api.service.live_run)
            if credentials.in_cookie and call.method not in SAFE_METHODS and not call.is_from_own_page:
                raise PermissionDenied(
                    "a session in a cookie changes things only from the master's own pages; send a bearer token instead"
                )
            if self._access is Access.USER and not principal.is_user:
                raise PermissionDenied(
                    "the token of a run reaches only the data of its own trial and experiment; log in as a user"
                )
            call.principal = principal
        result = await self._handler(call)
        step("master.answer")
        if isinstance(result, _ANSWERS):
            return result
        return EMPTY if result is None else json_answer(result)


class Router:
    """Finds the endpoint of a request; an ASGI application with nothing around it, since endpoints see to their errors.

    A route is looked for among those of its method that have as many parts, in the order in which they were declared.
    """

    def __init__(self, infos: Iterable[RouteInfo], api: Api, pages: Pages | None = None) -> None:
        """Args: pages: what is served where there is no route."""
        self.api = api
        self._pages = pages or Pages()
        self._routes: dict[tuple[str, int], list[tuple[re.Pattern[str], Endpoint]]] = {}
        for info in infos:
            pattern, _, _ = compile_path(info.path)
            endpoint, parts = Endpoint(info, api), info.path.count("/")
            for method in (info.method, "HEAD") if info.method == "GET" else (info.method,):
                self._routes.setdefault((method, parts), []).append((pattern, endpoint))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            if scope["path"] == PATH:
                await serve_stream(self.api, scope, receive, send)
            else:
                fault = fault_of_status(404, f"no socket is opened under {scope['path'][:200]!a}; use {PATH}")
                await refuse_websocket(fault, receive, send)
            return
        method, path = scope["method"], scope["path"]
        for pattern, endpoint in self._routes.get((method, path.count("/")), ()):
            found = pattern.match(path)
            if found is not None:
                scope["path_params"] = found.groupdict()
                await endpoint(scope, receive, send)
                return
        page = self._pages.find(path, dict(scope["headers"])) if method in ("GET", "HEAD") else None
        if page is None:
            await send_fault(self._fault(method, path), send)
        else:
            await page.send(receive, send)

    def _fault(self, method: str, path: str) -> Fault:
        parts, shown = path.count("/"), ascii(path[:200])
        known = (routes for (_, number), routes in self._routes.items() if number == parts)
        if any(pattern.match(path) for routes in known for pattern, _ in routes):
            return fault_of_status(405, f"{method[:20]} is not served under {shown}; see /openapi.json")
        return fault_of_status(404, f"there is nothing under {shown}; see /openapi.json")
