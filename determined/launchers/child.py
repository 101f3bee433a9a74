"""The step from the shim to the run's own program. Imported by the shim: standard library only."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any, NoReturn

from determined.launchers import tree

NOT_FOUND = 127
NOT_EXECUTABLE = 126
NO_NAMESPACE = 125
_RESET = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGCHLD", "SIGPIPE", "SIGXFSZ")


def spawn(spec: Mapping[str, Any], out_fd: int, err_fd: int, lock_fd: int) -> tuple[int, tuple[int, str] | None]:
    """Fork and execute the program of a spec in a session of its own; returns when that has worked or failed.

    Args:
        spec: ``argv``, ``env``, ``cwd``, ``binds`` (of the file system; mostly none) and ``leash`` (mostly none).
        lock_fd: inherited by the program on purpose.

    Returns:
        The child's pid, and None or (exit code, what went wrong).
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(spec, (out_fd, err_fd), lock_fd, tell)
    os.close(tell)
    with os.fdopen(told, "r", encoding="utf-8") as file:
        code, _, message = file.read().partition(" ")
    return pid, (int(code), message) if code else None


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
