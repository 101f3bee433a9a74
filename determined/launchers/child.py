"""The step from the shim to the run's own program. Imported by the shim: standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from determined.launchers import paths, tree

NOT_FOUND = 127
NOT_EXECUTABLE = 126
NO_NAMESPACE = 125
_RESET = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGCHLD", "SIGPIPE", "SIGXFSZ")


class Child:
    """A process that has been forked and waits to be told which run's program it becomes.

    Attributes:
        pid: its pid; it is a child of the process that made this.
        out, err: its output can be read here.
    """

    def __init__(self) -> None:
        """Fork. It ends by itself if this process dies before `go`."""
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        self._told, tell = os.pipe()
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            _wait(theirs, (out, err), tell)
        theirs.close()
        for descriptor in (out, err, tell):
            os.close(descriptor)

    def go(self, folder: Path, lock_fd: int) -> tuple[int, str] | None:
        """Have it execute the program of a run in a session of its own; returns when that has worked or failed.

        Args:
            folder: of the run. Its spec has ``argv``, ``env``, ``cwd``, ``binds`` (of the file system; mostly none)
                and ``leash`` (mostly none).
            lock_fd: inherited by the program on purpose.

        Returns:
            None, or (exit code, what went wrong).
        """
        with self._ours:
            socket.send_fds(self._ours, [os.fsencode(folder)], [lock_fd])
        with os.fdopen(self._told, "r", encoding="utf-8") as file:
            code, _, message = file.read().partition(" ")
        return (int(code), message) if code else None


def _wait(commands: socket.socket, outputs: tuple[int, int], tell: int) -> NoReturn:
    """Become the program of the run that is named, or end with the process that could name one."""
    with contextlib.suppress(OSError), commands:
        folder, descriptors, _, _ = socket.recv_fds(commands, 1 << 16, 1)
        if descriptors:
            spec = json.loads(Path(os.fsdecode(folder), paths.SPEC).read_bytes())
            _become(spec, outputs, descriptors[0], tell)
    os._exit(NOT_FOUND)


def _become(spec: Mapping[str, Any], outputs: tuple[int, int], lock_fd: int, tell: int) -> NoReturn:
    """Replace this process by the program; what goes wrong is written to ``tell``."""
    try:
        os.setsid()
        _set_up_descriptors(outputs, lock_fd)
        _reset_signals()
        if spec["leash"] is not None:
            tree.die_with_parent()
        _enter(spec)
        if spec.get("warm"):
            _go_on(spec, lock_fd, tell)
        _execute(spec["argv"], spec["env"])
    except BaseException as error:
        code, message = _explain(error, spec)
        os.write(tell, f"{code} {message}".encode("utf-8", "replace")[:4096])
    os._exit(NOT_FOUND)


def _set_up_descriptors(outputs: tuple[int, int], lock_fd: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    os.set_inheritable(lock_fd, True)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for name in _RESET:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _NoNamespace(Exception):
    """The private view of the file system could not be made."""


def _enter(spec: Mapping[str, Any]) -> None:
    if spec["binds"]:
        from determined.launchers import namespaces

        try:
            namespaces.enter(spec["binds"])
        except OSError as error:
            raise _NoNamespace(error.strerror or str(error)) from error
    os.chdir(spec["cwd"])


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    if not argv:
        raise ValueError("the command is empty")
    os.execvpe(argv[0], argv, env)  # noqa: S606 (no shell is the point)


def _go_on(spec: Mapping[str, Any], lock_fd: int, tell: int) -> NoReturn:
    """Be the interpreter oneself: this process was forked from a template."""
    from determined.launchers import warm

    os.set_inheritable(tell, False)
    # Closes ``tell`` too, which says that all went well.
    warm.become(spec["argv"], spec["env"], lock_fd)
    warm.run_python(spec["argv"][1:])


def _explain(error: BaseException, spec: Mapping[str, Any]) -> tuple[int, str]:
    argv, path = spec["argv"], spec["env"].get("PATH", os.defpath)
    if isinstance(error, _NoNamespace):
        return NO_NAMESPACE, (
            f"cannot give the run the genuine library's paths: {error}. Allow it, or switch that option off."
        )
    if isinstance(error, FileNotFoundError):
        return NOT_FOUND, (
            f"cannot start {argv!r}: no such command (looked in {spec['cwd']} for a path, else in PATH={path}). "
            "Check the entrypoint; a script also needs an existing interpreter in its first line."
        )
    text = getattr(error, "strerror", None) or str(error)
    return NOT_EXECUTABLE, f"cannot start {argv!r} in {spec['cwd']}: {text}. Check the entrypoint and its file mode."
