"""One authenticated, kept-alive way to a master, for every client of it."""

from __future__ import annotations

import json as jsonlib
import os
import threading
from collections.abc import Collection, Generator, Mapping
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from determined._version import __version__
from determined.common.api import errors
from determined.common.api.connections import CONNECT_TIMEOUT_S, open_pool
from determined.common.api.direct import Answer, BrokenOff, Direct, NotConnected, is_direct
from determined.common.api.ndjson import objects_of
from determined.common.api.retries import retry_policy
from determined.common.util import canonical_master_url
from determined.steps import step
from determined.wire.values import protect

if TYPE_CHECKING:
    import urllib3

    from determined.common.api.certs import Cert

_ABSENT: Any = object()


def segment(value: object) -> str:
    """A value from outside as one segment of a URL path."""
    text = str(value)
    # "." and ".." would be resolved away by whatever reads the URL.
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


class Session:
    """Calls to one master with one identity.

    Safe to use from several threads, and after a fork: a child process opens connections of its own.

    Args:
        master_url: as in ``canonical_master_url``.
        token: of a user; sent as a bearer token.
        allocation_token: of a running trial; enough by itself.
        user: whose token it is, for those who ask; not sent.
        cert: what to check the certificate of an ``https`` master against; None for the system's.
        max_retries: how often a call is sent again after its connection failed; 0 for never. ``DET_RETRY_CONFIG``
            may override the details. Every call that is made with retries must be safe to receive twice.
    """

    def __init__(
        self,
        master_url: str,
        *,
        token: str | None = None,
        allocation_token: str | None = None,
        user: str | None = None,
        cert: Cert | None = None,
        max_retries: int = 0,
    ) -> None:
        self._url = canonical_master_url(master_url)
        self._token = token
        self._allocation_token = allocation_token
        self._user = user
        self._cert = cert
        self._max_retries = max_retries
        self._retry_statuses: tuple[int, ...] = ()
        self._lock = threading.Lock()
        self._direct: Direct | None = None
        self._pool: urllib3.PoolManager | None = None
        self._pool_pid = 0

    @property
    def master_url(self) -> str:
        """Canonical address of the master, with no slash at its end."""
        return self._url

    @property
    def user(self) -> str | None:
        """Whose token is sent, when known."""
        return self._user

    @property
    def token(self) -> str | None:
        """The user token that is sent."""
        return self._token

    def with_retries(self, max_retries: int, statuses: Collection[int] = ()) -> Session:
        """The same identity with retries, also after answers with one of ``statuses``. To be closed by itself."""
        other = Session(
            self._url,
            token=self._token,
            allocation_token=self._allocation_token,
            user=self._user,
            cert=self._cert,
            max_retries=max_retries,
        )
        other._retry_statuses = tuple(statuses)
        return other

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """Read something; the parsed JSON answer."""
        return self._call("GET", path, _ABSENT, params, timeout_s)

    def post(
        self,
        path: str,
        *,
        json: Any = _ABSENT,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Do something; the parsed JSON answer. Without ``json`` no body is sent; None is sent as ``null``."""
        return self._call("POST", path, json, params, timeout_s)

    def patch(
        self,
        path: str,
        *,
        json: Any = _ABSENT,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Change something; the parsed JSON answer."""
        return self._call("PATCH", path, json, params, timeout_s)

    def delete(
        self,
        path: str,
        *,
        json: Any = _ABSENT,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Remove something; the parsed JSON answer."""
        return self._call("DELETE", path, json, params, timeout_s)

    def get_raw(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        accept: str = "*/*",
        timeout_s: float | None = None,
    ) -> bytes:
        """Read something that is not JSON, whole."""
        return self._send("GET", path, _ABSENT, params, timeout_s, accept=accept).data

    def blocks(
        self, path: str, *, params: Mapping[str, Any] | None = None, accept: str = "*/*", size: int = 1 << 20
    ) -> Generator[bytes, None, None]:
        """Read something large piece by piece, as it arrives.

        Raises:
            MasterNotFoundException: the answer broke off.
        """
        import urllib3

        what = f"GET {self._url}{path}"
        response = self._ask_library(what, "GET", path + _query(params), None, None, accept=accept, stream=True)
        try:
            while block := response.read1(size):
                yield block
        except urllib3.exceptions.HTTPError as error:
            raise errors.MasterNotFoundException(
                f"the answer to GET {self._url}{path} broke off ({error}); try again"
            ) from error
        finally:
            response.close()

    def stream(self, path: str, params: Mapping[str, Any] | None = None) -> Generator[Any, None, None]:
        """Follow a stream of JSON lines: each line as an object, unchanged, as soon as it is there.

        Closing the iterator ends the stream.

        Raises:
            APIException: the master refused, or ended the stream with an error.
            MasterNotFoundException: the stream broke off.
        """
        return objects_of(self.blocks(path, params=params), f"GET {self._url}{path}")

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
            direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()
        # Connections of a parent process are the parent's to close.
        if pool is not None and self._pool_pid == os.getpid():
            pool.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({self._url!r}, user={self._user!r})"

    def _call(
        self, method: str, path: str, body: Any, params: Mapping[str, Any] | None, timeout_s: float | None
    ) -> Any:
        data = self._send(method, path, body, params, timeout_s).data
        try:
            return jsonlib.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.not_json(f"{method} {self._url}{path}", data) from error

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, Any] | None,
        timeout_s: float | None,
        *,
        accept: str = "application/json",
    ) -> Answer:
        what = f"{method} {self._url}{path}"
        target = path + _query(params)
        data = None if body is _ABSENT else _encode(what, body)
        step("call.before")
        answer = self._ask_directly(what, method, target, data, timeout_s, accept)
        if answer is None:
            response = self._ask_library(what, method, target, data, timeout_s, accept=accept, stream=False)
            answer = Answer(response.status, response.data)
        step("call.after")
        if answer.status >= 300:
            raise errors.from_answer(answer.status, answer.data, what)
        return answer

    def _ask_directly(
        self, what: str, method: str, target: str, data: bytes | None, timeout_s: float | None, accept: str
    ) -> Answer | None:
        """The answer to a request that needs nothing special; None for another, or if there is nobody to ask."""
        if self._max_retries:
            return None
        with self._lock:
            if self._direct is None and is_direct(self._url):
                self._direct = Direct(self._url, self._headers())
            direct = self._direct
        if direct is None or not direct.can_send(target):
            return None
        try:
            return direct.request(method, target, accept, data, timeout_s)
        except NotConnected:
            # Whoever tries it again finds the words for it.
            return None
        except (TimeoutError, BrokenOff) as error:
            # Only now: it loads what a call that is answered does not need.
            from determined.common.api.unreachable import unreachable

            raise unreachable(self._url, what, error, timeout_s) from error

    def _ask_library(
        self,
        what: str,
        method: str,
        target: str,
        data: bytes | None,
        timeout_s: float | None,
        *,
        accept: str,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        headers = {**self._headers(), "Accept": accept}
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._connections().request(
                method,
                self._url + target,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=timeout_s),
                retries=retry_policy(self._max_retries, self._retry_statuses),
                redirect=False,
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as error:
            from determined.common.api.unreachable import unreachable

            raise unreachable(self._url, what, error, timeout_s) from error
        if stream and response.status >= 300:
            answer = response.data
            response.release_conn()
            raise errors.from_answer(response.status, answer, what)
        return response

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"determined-search/{__version__}"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._allocation_token is not None:
            headers["Grpc-Metadata-x-allocation-token"] = f"Bearer {self._allocation_token}"
        return headers

    def _connections(self) -> urllib3.PoolManager:
        with self._lock:
            # A forked child must not talk through sockets that its parent still uses.
            if self._pool is None or self._pool_pid != os.getpid():
                self._pool, self._pool_pid = open_pool(self._url, self._cert), os.getpid()
            return self._pool


def _query(params: Mapping[str, Any] | None) -> str:
    pairs = [(key, _text(item)) for key, value in (params or {}).items() for item in _items(value)]
    return f"?{urlencode(pairs)}" if pairs else ""


def _items(value: Any) -> Collection[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value) if isinstance(value, Enum) else str(value)


def _encode(what: str, body: Any) -> bytes:
    try:
        return jsonlib.dumps(protect(body), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.BadRequestException(
            f"{what} was not sent: its content cannot be written as JSON ({error}); use plain numbers, text, lists"
            " and dictionaries"
        ) from error
