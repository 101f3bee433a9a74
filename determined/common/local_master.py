"""The master of a laptop: found if it runs, started in the background if not, stopped on demand."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determined import files
from determined.common import local_files, processes, util
from determined.common import local_ports as ports
from determined.common.api.certs import Cert
from determined.common.api.errors import BadRequestException, BadResponseException
from determined.common.api.session import Session
from determined.errors import FailedPrecondition, Unavailable

STOP_COMMAND = "det deploy local cluster-down"
UI_COMMAND = "det ui"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class MasterOptions:
    """How to start a local master.

    Attributes:
        data_dir: where it keeps everything; one master per folder.
        host: interface to listen on.
        port: None for the one it had last, else 8080, else any that is free.
        open: ask nobody for a password.
        serving: further options of the master itself: how it serves TLS, and by which names it may be called.
        slots: how many trials run at once; None for the master's own choice.
        db: URL of the database; None for what ``DET_DB`` says, or a file in the folder.
        ray: address of the Ray cluster that runs the trials; None: this machine does.
        command: what to run, before the options.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int | None = None
    open: bool = False
    slots: int | None = None
    serving: tuple[str, ...] = ()
    db: str | None = None
    ray: str | None = None
    command: tuple[str, ...] = (sys.executable, "-m", "determined.master")

    def argv(self, port: int) -> list[str]:
        """The whole command line."""
        argv = [*self.command, "--data", str(self.data_dir), "--host", self.host, "--port", str(port)]
        argv += ["--open"] if self.open else []
        argv += self.serving
        argv += [] if self.ray is None else ["--ray", self.ray]
        return argv if self.slots is None else [*argv, "--slots", str(self.slots)]

    def environment(self) -> dict[str, str]:
        """What it finds set. The URL of a database may hold a password, which others could read in a command line."""
        return local_files.environment() | ({} if self.db is None else {"DET_DB": self.db})


@dataclass(frozen=True, slots=True)
class RunningMaster:
    """A local master that answers.

    Attributes:
        url: where.
        pid: of its process.
        data_dir: of its data.
        started: by the call that returned this.
        certificate: PEM file with what it shows; None without TLS.
        link: logs a browser in to the web UI, once and soon; None unless the call that returned this started it.
    """

    url: str
    pid: int
    data_dir: Path
    started: bool = False
    certificate: Path | None = None
    link: str | None = None

    @property
    def log_path(self) -> Path:
        """What it prints, if it was started in the background."""
        return self.data_dir / "master.log"

    @property
    def cert(self) -> Cert | None:
        """What to check its certificate against."""
        return None if self.certificate is None else Cert(pinned=self.certificate.read_text(encoding="ascii"))


def ensure_master(options: MasterOptions | None = None) -> str:
    """The URL of the master that the environment names, or else of the local one, which is started if need be.

    Says so on standard error when it starts one. Of callers at the same time only one starts it.

    Raises:
        Unavailable: the local master does not start, or runs but does not answer.
    """
    if configured := util.configured_master():
        return util.canonical_master_url(configured)
    master = cluster_up(options or MasterOptions(util.data_path()))
    if master.started:
        print(f"Started a local master at {master.url} (stop it with: {STOP_COMMAND})", file=sys.stderr)
        if master.link is not None:
            print(f"Web UI: {master.link} (works once; later: {UI_COMMAND})", file=sys.stderr)
    return master.url


def cluster_up(options: MasterOptions) -> RunningMaster:
    """The master of ``options.data_dir``, started in the background unless it runs already.

    Raises:
        Unavailable: it does not start, or runs but does not answer.
    """
    master = find_running(options.data_dir)
    if master is not None:
        return master
    local_files.make_folder(options.data_dir)
    with util.locked(options.data_dir / "start"):
        return find_running(options.data_dir) or _start(options)


def cluster_down(data_dir: Path, timeout_s: float = STOP_TIMEOUT_S) -> RunningMaster | None:
    """Stop the master of ``data_dir`` and wait until it is gone; its trials go on by themselves.

    Returns:
        What ran, or None if nothing did.
    Raises:
        Unavailable: it is still there after ``timeout_s``.
    """
    found = _recorded(data_dir)
    if found is None:
        return None
    with processes.Handle(found.pid) as process:
        # The number may have been given to a stranger since it was noted.
        if not _is_master(found.pid, data_dir):
            return None
        process.send(signal.SIGTERM)
        if not process.wait(timeout_s):
            raise Unavailable(
                f"the local master (process {found.pid}) did not stop within {timeout_s:g} s; see {found.log_path},"
                f" and end it with `kill -9 {found.pid}` if need be: nothing that it answered for is lost"
            )
    return found


def find_running(data_dir: Path) -> RunningMaster | None:
    """The master of ``data_dir`` if it runs; one that is just stopping is waited for.

    Raises:
        Unavailable: it runs but does not answer.
    """
    found = _recorded(data_dir)
    if found is None:
        return None
    with processes.Handle(found.pid) as process:
        if not _is_master(found.pid, data_dir):
            return None
        try:
            with Session(found.url, cert=found.cert) as session:
                session.get("/health", timeout_s=_HEALTH_TIMEOUT_S)
        except (BadRequestException, BadResponseException) as error:
            if process.wait(_HEALTH_TIMEOUT_S):
                return None
            raise Unavailable(
                f"the local master (process {found.pid}) does not answer at {found.url}: {error}."
                f" See {found.log_path}, or stop it with `{STOP_COMMAND}`"
            ) from error
    return found


def run_in_foreground(options: MasterOptions) -> None:
    """Become the master: this process is replaced by it.

    Raises:
        FailedPrecondition: it runs already.
    """
    running = find_running(options.data_dir)
    if running is not None:
        raise FailedPrecondition(f"a local master runs already at {running.url}; stop it with `{STOP_COMMAND}`")
    local_files.make_folder(options.data_dir)
    port = ports.choose(options.data_dir, options.host, options.port)
    ports.note(options.data_dir, port)
    argv = options.argv(port)
    os.chdir(options.data_dir)
    os.execve(argv[0], argv, options.environment())  # noqa: S606 - no shell is meant


def _start(options: MasterOptions) -> RunningMaster:
    port = ports.choose(options.data_dir, options.host, options.port)
    try:
        ready = _launch(options, port)
    except Unavailable as error:
        # Somebody may have taken the port since it was found free, and may even have left it again.
        lost_port = os.strerror(errno.EADDRINUSE) in str(error) or not ports.is_free(options.host, port)
        if options.port is not None or not lost_port:
            raise
        port = ports.any_free(options.host)
        ready = _launch(options, port)
    ports.note(options.data_dir, port)
    found = _recorded(options.data_dir)
    pid = ready.pid if found is None else found.pid
    return RunningMaster(ready.url, pid, options.data_dir, started=True, certificate=ready.certificate, link=ready.link)


def _launch(options: MasterOptions, port: int) -> RunningMaster:
    """Start the process and wait until it says that it serves."""
    log_path = options.data_dir / "master.log"
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as ready, local_files.open_log(log_path) as log:
        start = log.tell()
        try:
            with files.action("client.start"):
                process = subprocess.Popen(
                    [*options.argv(port), "--ready-fd", str(writer)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writer,),
                    start_new_session=True,
                    # Not the user's folder: modules that lie there must not hide those of the master.
                    cwd=options.data_dir,
                    env=options.environment(),
                )
        finally:
            os.close(writer)
        # Whoever stops it waits for its end, which comes only when its parent has taken note of it.
        threading.Thread(target=process.wait, name="local-master-reaper", daemon=True).start()
        line = processes.read_line(ready.fileno(), START_TIMEOUT_S)
    answer = _parse(line)
    if isinstance(answer.get("url"), str):
        link = answer.get("link")
        return RunningMaster(
            answer["url"],
            process.pid,
            options.data_dir,
            certificate=_path(answer.get("certificate")),
            link=link if isinstance(link, str) else None,
        )
    if line is None:
        process.terminate()
        why = f"it was not ready after {START_TIMEOUT_S:g} s"
    else:
        why = str(answer.get("error") or "it ended")
    raise Unavailable(
        f"the local master did not start: {why}. Its log, {log_path}, ends with:\n{local_files.tail(log_path, start)}"
    )


def _parse(line: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads(line or b"{}")
    except ValueError:
        return {"error": f"it said {line!r}"}
    return value if isinstance(value, dict) else {}


def _recorded(data_dir: Path) -> RunningMaster | None:
    """What the last master of that folder wrote about itself; it may be gone."""
    try:
        note = json.loads((data_dir / "master.json").read_text(encoding="utf-8"))
        url, pid = util.canonical_master_url(note["url"]), int(note["pid"])
        return RunningMaster(url, pid, data_dir, certificate=_path(note.get("certificate")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(text: Any) -> Path | None:
    return Path(text) if isinstance(text, str) else None


def _is_master(pid: int, data_dir: Path) -> bool:
    argv = processes.command_line(pid)
    if "--data" in argv[:-1]:
        return Path(argv[argv.index("--data") + 1]).resolve() == data_dir.resolve()
    return "determined.master" in argv and data_dir.resolve() == util.data_path().resolve()
