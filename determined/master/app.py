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
from urllib.parse import urlsplit

import uvicorn
from filelock import FileLock, Timeout

from determined import files
from determined._version import __version__
from determined.common.api.certs import shown_fingerprint
from determined.errors import DeterminedError, FailedPrecondition
from determined.launchers.local import LocalLauncher
from determined.launchers.on_ray.launcher import DEFAULT_IDLE_S, DEFAULT_SLOTS, RayLauncher, RayOptions
from determined.launchers.protocol import Launcher, SlotKind
from determined.master.api.app import create_app
from determined.master.api.identity import Identity as ApiIdentity
from determined.master.api.log_ring import LogRing
from determined.master.api.serving import server_config
from determined.master.listening import ANY_ADDRESS, bind, check_exposure, is_loopback
from determined.master.local_login import write_local_login
from determined.master.reach import Reach, arrange
from determined.master.service.auth import Auth
from determined.master.service.contexts import Contexts
from determined.master.service.runs import Identity
from determined.master.service.service import MasterService
from determined.master.tls import Tls, prepare
from determined.steps import step
from determined.storage.sql import SqlStore

log = logging.getLogger("determined.master")

STOP_WITHIN_S = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How a master is started.

    Attributes:
        data: folder of everything durable; locked by the running master.
        open_mode: users log in with the empty password; loopback only.
        slots: CPU slots to offer; None for as many as there are cores, at least two. With ``ray``: how many slots runs
            may hold or wait for at once.
        ready_fd: where to write one JSON line once serving, or once it is clear that it cannot be.
        local_login: put a token for the local user into the client's own token file.
        url: where trials and clients reach this master, when that is not its own address: behind a proxy, say.
        url_cert: PEM file that trials check ``url`` against, if neither the system nor ``tls`` vouches for it.
        allowed_hosts: further names that requests may be addressed to.
        tls: the certificate to serve TLS with; None for plain HTTP.
        insecure_http: plain HTTP beyond loopback is meant.
        warm_start: trials start warm unless their configuration says otherwise.
        db: URL of the database; None for a file in the folder.
        ray: address of the Ray cluster that runs the trials; None: this machine does.
        ray_slot: what a slot is on a Ray cluster.
        ray_idle_s: for how long a node there keeps its warm processes after its last run.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    open_mode: bool = False
    slots: int | None = None
    ready_fd: int | None = None
    local_login: bool = True
    url: str | None = None
    url_cert: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    tls: Tls | None = None
    insecure_http: bool = False
    warm_start: bool = True
    db: str | None = None
    ray: str | None = None
    ray_slot: SlotKind = SlotKind.CPU
    ray_idle_s: float = DEFAULT_IDLE_S


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

    def leave(self) -> None:
        """Stop serving; trials go on."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.hub.close()
        self._ring.finish()
        self._leave_idle_clients()
        await super().shutdown(sockets)

    def _leave_idle_clients(self) -> None:
        """Close connections over TLS on which nothing is going on.

        They would be closed in the polite way, which waits for the other end to agree; a client that only keeps the
        connection for later does not look at it.
        """
        for connection in list(self.server_state.connections):
            # WebSockets have none, and say goodbye by themselves.
            if not self.config.is_ssl or not hasattr(connection, "cycle"):
                continue
            cycle, transport = connection.cycle, getattr(connection, "transport", None)
            if transport is None or transport.get_write_buffer_size():
                continue
            if cycle is None or cycle.response_complete:
                transport.abort()


def say(fd: int | None, message: object) -> None:
    """One JSON line to whoever waits for this master to serve."""
    if fd is None:
        return
    with os.fdopen(fd, "w") as f:
        f.write(json.dumps(message) + "\n")


async def serve(options: Options) -> str | None:
    """Serve until SIGTERM or SIGINT.

    Returns:
        Why it stopped by itself, after it had served; None where it was told to.

    Raises:
        DeterminedError: it cannot be served; nothing was changed.
    """
    check_exposure(
        options.host,
        is_tls=options.tls is not None,
        is_open=options.open_mode,
        is_insecure_allowed=options.insecure_http,
    )
    store = SqlStore(options.db or f"sqlite:///{options.data / 'master.db'}")
    files.make_folder(options.data, "master.data", 0o700)
    lock = FileLock(options.data / "master.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FailedPrecondition(
            f"another master runs on {options.data}; stop it with `det deploy local cluster-down`, "
            "or choose another folder with --data"
        ) from None
    names = [options.host, *options.allowed_hosts, *([urlsplit(options.url).hostname or ""] if options.url else [])]
    certificate = None if options.tls is None else prepare(options.tls, options.data, names)
    sock = bind(options.host, options.port)
    try:
        reach = arrange(
            options.host,
            sock.getsockname()[1],
            data=options.data,
            url=options.url,
            url_cert=options.url_cert,
            names=options.allowed_hosts,
            certificate=certificate,
        )
        await store.open()
        try:
            return await _serve_on(options, sock, reach, store)
        finally:
            await store.close()
    finally:
        sock.close()
        lock.release()


def _launcher(options: Options, cluster_id: str) -> Launcher:
    if options.ray is None:
        return LocalLauncher(options.data, options.slots)
    slots = DEFAULT_SLOTS if options.slots is None else options.slots
    if options.url is None and (is_loopback(options.host) or options.host in ANY_ADDRESS):
        log.warning(
            "nodes of the Ray cluster on other machines cannot reach this master on %s; start it with "
            "--host 0.0.0.0 --tls self-signed --url https://THIS-MACHINE:PORT, unless all nodes are here",
            options.host,
        )
    ray = RayOptions(options.ray, options.ray_slot, slots, options.ray_idle_s)
    return RayLauncher(ray, cluster_id, options.data / "ray")


def _resource_manager(options: Options) -> dict[str, str]:
    if options.ray is None:
        return {"type": "agent"}
    return {"type": "ray", "address": options.ray, "slot_type": options.ray_slot.value.lower()}


async def _serve_on(options: Options, sock: socket.socket, reach: Reach, store: SqlStore) -> str | None:
    certificate = reach.certificate
    cluster_id = await store.get_meta("cluster_id", str(uuid.uuid4()))
    master_id = str(uuid.uuid4())
    launcher = _launcher(options, cluster_id)
    auth = Auth(store, await asyncio.to_thread(read_secret, options.data), options.open_mode)
    checkpoints = options.data / "checkpoints"
    files.make_folder(checkpoints, "master.checkpoints", 0o700)
    storage = {"type": "shared_fs", "host_path": str(checkpoints.resolve())}
    service = MasterService(
        store=store,
        launcher=launcher,
        contexts=Contexts(options.data / "contexts"),
        mint=auth,
        identity=Identity(master_id, cluster_id, reach.url, _text(reach.url_file), reach.url_name),
        checkpoint_storage=storage,
        warm_trials=options.warm_start,
    )
    boot = await auth.bootstrap()
    step("master.recover.before")
    await service.start()
    step("master.recover.after")
    if options.local_login:
        await asyncio.to_thread(write_local_login, reach.local, boot.local_user.username, boot.local_token)
        await asyncio.to_thread(reach.pin_locally)
    if boot.password is not None:
        files.replace_file(options.data / "password", f"{boot.password}\n".encode(), "master.password", 0o600)
    identity = ApiIdentity(
        master_id=master_id,
        cluster_id=cluster_id,
        version=__version__,
        hosts=reach.hosts,
        config={"checkpoint_storage": storage, "resource_manager": _resource_manager(options)},
    )
    ring = LogRing()
    logging.getLogger().addHandler(ring)
    app = create_app(service, store, auth, identity, ring)
    ready: dict[str, object] = {
        "url": reach.own,
        "pid": os.getpid(),
        "version": __version__,
        "data": str(options.data),
        "certificate": _text(reach.certificate_file),
    }
    # Only for whoever started this master, who is handed the local user's token too.
    link = f"{reach.own}/open?key={auth.keys.make(boot.local_user.id)}" if options.local_login else None
    config = server_config(
        app,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        backlog=1024,
        ssl_certfile=None if certificate is None else certificate.files.cert,
        ssl_keyfile=None if certificate is None else certificate.files.key,
    )
    server = _Server(config, service, ring, ready, options, link)
    store.lost.add_done_callback(lambda _: server.leave())
    if certificate is not None:
        log.info("certificate with SHA-256 fingerprint %s", shown_fingerprint(certificate.fingerprint))
    try:
        await server.serve(sockets=[sock])
    finally:
        await service.stop()
        auth.close()
        logging.getLogger().removeHandler(ring)
        files.remove(options.data / "master.json", "master.leave")
    return store.lost.result() if store.lost.done() else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def run(options: Options) -> int:
    """Serve, and turn what stops it into an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # It tells of each page that begins or ends to listen.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        why = asyncio.run(serve(options))
    except DeterminedError as e:
        say(options.ready_fd, {"error": str(e)})
        why = str(e)
    if why is not None:
        print(f"determined.master: {why}", file=sys.stderr)
        return 1
    return 0
