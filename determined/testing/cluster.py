"""A real master as a process of its own, for tests: start it, kill it, start it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from determined.common.api.certs import Cert
from determined.common.api.session import Session
from determined.testing.database import URL_FILE, note_url

TEST_DB = os.environ.get("DET_TEST_DB", "sqlite")
"""What masters in tests keep everything in, where the test does not say: "sqlite" or "postgres"."""
SERVER_VARIABLE = "DET_TEST_POSTGRES"
"""Names the server for tests on PostgreSQL."""

WARM_START = {"true": True, "false": False}[os.environ.get("DET_TEST_WARM_START", "true")]
"""Whether trials of masters in tests start warm, where their configuration does not say."""


def database_for_tests(folder: Path) -> str | None:
    """The URL for a master that a test puts into this folder; None for a file in it."""
    if TEST_DB == "sqlite":
        return None
    from determined.testing.postgres import new_database

    # A second master on the folder finds what the first one left.
    note = folder / URL_FILE
    return note.read_text() if note.exists() else new_database()


class MasterFailed(RuntimeError):
    """The master did not come up; the message holds what it printed."""


class LocalMaster:
    """A master on a folder of its own; a context manager that leaves no process behind.

    Attributes:
        url: where it serves; the port stays the same over restarts.
        env: environment for clients: its address, and a configuration folder of their own.
        wrapper: command before the master's own, which must end by executing it.
        module: what is executed as a master, and arguments of its own.
        db: URL of its database; None for a file in its folder. With ``DET_TEST_DB=postgres`` a new one on PostgreSQL.
    """

    def __init__(
        self,
        folder: Path,
        *,
        open_mode: bool = False,
        slots: int | None = 2,
        arguments: Sequence[str] = (),
        db: str | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.open_mode = open_mode
        self.slots = slots
        self.arguments = list(arguments)
        self.wrapper: list[str] = []
        self.module = ["determined.master"]
        self.port = 0
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        config = folder / "config"
        config.mkdir(parents=True, exist_ok=True)
        self.db = db or database_for_tests(folder)
        note_url(folder, self.db)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DET_", "XDG_", "COV_"))}
        self.env: dict[str, str] = {
            **kept,
            "XDG_CONFIG_HOME": str(config),
            "DET_DATA_DIR": str(self.data),
            "HOME": str(folder),
            "DET_PROGRESS": "0",
        }

    def start(self) -> LocalMaster:
        """Start it, and return once it serves.

        Raises:
            MasterFailed: it ended instead.
        """
        read, write = os.pipe()
        self.process = self.launch(write)
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        answer = json.loads(line) if line else {"error": "it ended without a word"}
        if "error" in answer:
            self.process.wait()
            raise MasterFailed(f"{answer['error']}\n{self.log}")
        self.url = answer["url"]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.env["DET_MASTER"] = self.url
        return self

    def launch(self, ready_fd: int | None = None, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a master, which need not be the one of this object, on its data; do not wait for it to serve."""
        command = [*self.wrapper, sys.executable, "-m", *self.module, "--data", str(self.data)]
        command += ["--port", str(self.port if port is None else port), *self.arguments]
        command += [] if ready_fd is None else ["--ready-fd", str(ready_fd)]
        command += ["--open"] if self.open_mode else []
        command += [] if self.slots is None else ["--slots", str(self.slots)]
        command += [] if WARM_START else ["--no-warm-start"]
        handed = [] if ready_fd is None else [ready_fd]
        env = self.env if self.db is None else {**self.env, "DET_DB": self.db}
        with (self.folder / "master.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=env, pass_fds=handed)

    @property
    def log(self) -> str:
        """What it printed so far."""
        return (self.folder / "master.log").read_text()

    @property
    def pid(self) -> int:
        """Of the running master."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL; trials live on."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; trials live on."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def trial_processes(self) -> list[psutil.Process]:
        """Every living process of every run of this master, found by its environment."""
        return [p for p in psutil.process_iter() if self._is_of_a_run(p)]

    def run_processes(self) -> list[psutil.Process]:
        """Those, and the processes that watch over them."""
        return [p for p in psutil.process_iter() if self._is_of_a_run(p) or self._is_a_shim(p)]

    def _is_a_shim(self, process: psutil.Process) -> bool:
        try:
            runs = str(self.data / "runs")
            return process.name() == "det-shim" and any(f.path.startswith(runs) for f in process.open_files())
        except psutil.Error:
            return False

    def _is_of_a_run(self, process: psutil.Process) -> bool:
        try:
            env = process.environ()
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and (env.get("DET_WORKDIR", "").startswith(str(self.data)) or env.get("DET_MASTER") == self.url)
                and "DET_ALLOCATION_ID" in env
            )
        except psutil.Error:
            return False

    def token(self) -> str:
        """The local user's token, as clients find it."""
        stored = json.loads((self.folder / "config" / "determined" / "auth.json").read_text())
        tokens: Mapping[str, str] = stored["masters"][self.url]["tokens"]
        return next(iter(tokens.values()))

    def session(self) -> Session:
        """An authenticated connection."""
        return Session(self.url, token=self.token(), cert=self.cert)

    @property
    def cert(self) -> Cert | None:
        """What to check its certificate against; None without TLS."""
        file = self.data / "tls" / "certificate.pem"
        return Cert(pinned=file.read_text()) if self.url.startswith("https:") else None

    def run(self, command: Sequence[str], typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a client's command to its end, in this folder, with this master as its master.

        Args:
            typed: what it finds on its standard input; it has no terminal to ask instead.
            more: further variables of its environment.
        """
        return subprocess.run(
            list(command),
            env={**self.env, **more},
            cwd=self.folder,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    def det(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run our ``det``."""
        return self.run([sys.executable, "-m", "determined.cli", *arguments])

    def __enter__(self) -> LocalMaster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for process in self.trial_processes():
            try:
                process.kill()
            except psutil.Error:
                continue
