"""Composition root: builds clock, store, launcher, service and API, and serves them until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from determined import files
from determined._version import __version__
from determined.errors import DeterminedError, FailedPrecondition, InvalidInput, Unavailable
from determined.launchers.local import LocalLauncher
from determined.master.api.app import create_app
from determined.master.api.identity import Identity as ApiIdentity
from determined.master.api.log_ring import LogRing
from determined.master.api.security import allowed_hosts
from determined.master.api.serving import server_config
from determined.master.local_login import write_local_login
from determined.master.service.auth import Auth
from determined.master.service.contexts import Contexts
from determined.master.service.runs import Identity
from determined.master.service.service import MasterService
from determined.steps import step
from determined.storage.sql import SqlStore

log = logging.getLogger("determined.master")

STOP_WITHIN_S = 3
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Options:
    """How a master is started.

    Attributes:
        data: folder of everything durable; locked by the running master.
        open_mode: users log in with the empty password; loopback only.
        slots: CPU slots to offer; None for as many as there are cores, at least two.
        ready_fd: where to write one JSON line once serving, or once it is clear that it cannot be.
        local_login: put a token for the local user into the client's own token file.
        url: where trials and clients reach this master, when that is not its own address: behind a proxy, say.
        warm_start: trials start warm unless their configuration says otherwise.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    open_mode: bool = False
    slots: int | None = None
    ready_fd: int | None = None
    local_login: bool = True
    url: str | None = None
    warm_start: bool = True


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, made first so that its port is known to everybody.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full: event loops send small answers at once only on sockets that say that they speak TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as e:
        sock.close()
        raise Unavailable(f"cannot listen on {host}:{port} ({e.strerror}); choose another port with --port") from e
    sock.set_inheritable(False)
    return sock


def read_secret(data: Path) -> bytes:
    """The key that signs run tokens; made at the first start, readable by the owner only."""
    path = data / "secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        files.replace_file(path, secrets.token_bytes(32), "master.secret", 0o600)
        return path.read_bytes()


class _Server(uvicorn.Server):
    """Says when it serves, and ends all waits when it is to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: MasterService,
        ring: LogRing,
        ready: dict[str, object],
        options: Options,
        link: str | None,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._ring = ring
        self._ready = ready
        self._options = options
        self._link = link

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            files.replace_file(
                self._options.data / "master.json", json.dumps(self._ready).encode(), "master.serve", 0o600
            )
            say(self._options.ready_fd, {**self._ready, "link": self._link})
            log.info("serving on %s (data in %s)", self._ready["url"], self._options.data)
            if self._link is not None and self._options.ready_fd is None:
                # Not into the log, which every user may read.
                print(f"Web UI: {self._link} (works once, for ten minutes; then `det ui`)", file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.hub.close()
        self._ring.finish()
        await super().shutdown(sockets)


def say(fd: int | None, message: object) -> None:
    """One JSON line to whoever waits for this master to serve."""
    if fd is None:
        return
    with os.fdopen(fd, "w") as f:
        f.write(json.dumps(message) + "\n")


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        DeterminedError: it cannot be served; nothing was changed.
    """
    if options.open_mode and options.host not in LOOPBACK:
        raise InvalidInput(f"--open lets anybody in, so it is for loopback only, not for {options.host}")
    files.make_folder(options.data, "master.data", 0o700)
    lock = FileLock(options.data / "master.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FailedPrecondition(
            f"another master runs on {options.data}; stop it with `det deploy local cluster-down`, "
            "or choose another folder with --data"
        ) from None
    sock = bind(options.host, options.port)
    store = SqlStore(f"sqlite:///{options.data / 'master.db'}")
    try:
        await store.open()
        try:
            await _serve_on(options, sock, store)
        finally:
            await store.close()
    finally:
        sock.close()
        lock.release()


async def _serve_on(options: Options, sock: socket.socket, store: SqlStore) -> None:
    port = sock.getsockname()[1]
    shown = "127.0.0.1" if options.host in ("0.0.0.0", "::", *LOOPBACK) else options.host  # noqa: S104
    own_url = f"http://{shown}:{port}"
    url = own_url if options.url is None else options.url.rstrip("/")
    cluster_id = await store.get_meta("cluster_id", str(uuid.uuid4()))
    master_id = str(uuid.uuid4())
    launcher = LocalLauncher(options.data, options.slots)
    auth = Auth(store, await asyncio.to_thread(read_secret, options.data), options.open_mode)
    checkpoints = options.data / "checkpoints"
    files.make_folder(checkpoints, "master.checkpoints", 0o700)
    storage = {"type": "shared_fs", "host_path": str(checkpoints.resolve())}
    service = MasterService(
        store=store,
        launcher=launcher,
        contexts=Contexts(options.data / "contexts"),
        mint=auth,
        identity=Identity(master_id, cluster_id, url),
        checkpoint_storage=storage,
        warm_trials=options.warm_start,
    )
    boot = await auth.bootstrap()
    step("master.recover.before")
    await service.start()
    step("master.recover.after")
    if options.local_login:
        names = [*(f"http://{name}:{port}" for name in ("127.0.0.1", "localhost")), *({url} - {own_url})]
        await asyncio.to_thread(write_local_login, names, boot.local_user.username, boot.local_token)
    if boot.password is not None:
        files.replace_file(options.data / "password", f"{boot.password}\n".encode(), "master.password", 0o600)
    identity = ApiIdentity(
        master_id=master_id,
        cluster_id=cluster_id,
        version=__version__,
        agent_id=launcher.name,
        hosts=allowed_hosts(options.host, [url]),
        config={"checkpoint_storage": storage, "resource_manager": {"type": "agent"}},
    )
    ring = LogRing()
    logging.getLogger().addHandler(ring)
    app = create_app(service, store, auth, identity, ring)
    ready: dict[str, object] = {"url": own_url, "pid": os.getpid(), "version": __version__, "data": str(options.data)}
    # Only for whoever started this master, who is handed the local user's token too.
    link = f"{own_url}/open?key={auth.keys.make(boot.local_user.id)}" if options.local_login else None
    config = server_config(app, timeout_graceful_shutdown=STOP_WITHIN_S, backlog=1024)
    try:
        await _Server(config, service, ring, ready, options, link).serve(sockets=[sock])
    finally:
        await service.stop()
        auth.close()
        logging.getLogger().removeHandler(ring)
        files.remove(options.data / "master.json", "master.leave")


def run(options: Options) -> int:
    """Serve, and turn what stops it into an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # It tells of each page that begins or ends to listen.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(options))
    except DeterminedError as e:
        say(options.ready_fd, {"error": str(e)})
        print(f"determined.master: {e}", file=sys.stderr)
        return 1
    return 0
