"""The first process of a run: ``python -m determined.exec.launch [entrypoint ...]`` in the working directory.

It sources the startup hook, passes the rendezvous, tries the checkpoint storage and becomes the entrypoint. One
argument is shell text or the name of a trial class, several are a command; with none, the configuration says.
Imports are few and late: each run waits for them.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from determined._info import TRIAL_TASK, ClusterInfo, RendezvousInfo, get_cluster_info
from determined.errors import DeterminedError, FailedPrecondition
from determined.exec.rendezvous import rendezvous, write_info
from determined.launchers.entrypoint import command, execute, python_words

_HOOK = "startup-hook.sh"
_HOOK_DONE = "DET_STARTUP_HOOK_DONE"
# A command of the hook that fails ends the run; the entrypoint itself is not subject to that.
_SOURCE_HOOK = f'set -e; . "./{_HOOK}"; set +e; export {_HOOK_DONE}=1; exec "$@"'


def main(arguments: list[str]) -> NoReturn:
    """Prepare the run and become its entrypoint; exits with 1 and a message when something is wrong."""
    try:
        _launch(arguments)
    except DeterminedError as error:
        _fail(str(error))


def _launch(arguments: list[str]) -> NoReturn:
    info = get_cluster_info()
    if info is None or info.task_type != TRIAL_TASK:
        raise FailedPrecondition(
            "this process belongs to no trial: neither DET_INFO_DIR nor DET_* variables describe one;"
            " start trials through the master, with `det experiment create`"
        )
    argv = command(_entrypoint(arguments, info.trial._config))
    if os.environ.pop(_HOOK_DONE, None) is None and os.path.exists(_HOOK):  # noqa: PTH110
        _source_hook(arguments)
    _pass_start_line(info)
    _try_storage(info)
    sys.stdout.flush()
    sys.stderr.flush()
    _go_on_here(argv)
    try:
        execute(argv, os.environ)
    except OSError as error:
        raise FailedPrecondition(f"the entrypoint {' '.join(argv)!r} cannot be executed: {error}") from error


def _go_on_here(argv: tuple[str, ...]) -> None:
    """Become a Python program without a new interpreter, where this process was forked for that; else do nothing."""
    warm = sys.modules.get("determined.launchers.warm")
    if warm is None or not warm.is_warm:
        return
    words = python_words(argv, os.environ)
    if words is not None:
        if argv[0] == "sh":
            # A shell would see to this one.
            os.environ["PWD"] = os.getcwd()  # noqa: PTH109
        warm.show_as(argv[2].split() if argv[0] == "sh" else argv, os.environ)
        warm.run_python(words)


def _entrypoint(arguments: list[str], config: dict[str, Any]) -> str | list[str]:
    configured = config.get("entrypoint")
    if not arguments:
        return configured if isinstance(configured, (str, list)) else ""
    # A list of one word is no shell text; only the configuration can tell.
    if len(arguments) > 1 or configured == arguments:
        return arguments
    return arguments[0]


def _source_hook(arguments: list[str]) -> NoReturn:
    # Hooks are written for bash as a rule; what they export must hold for the storage test too, so they come first.
    again = [sys.executable, "-m", "determined.exec.launch", *arguments]
    for shell in ("bash", "sh"):
        try:
            os.execvpe(shell, [shell, "-c", _SOURCE_HOOK, _HOOK, *again], os.environ)  # noqa: S606
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FailedPrecondition(f"{_HOOK} cannot be run with {shell}: {error}") from error
    raise FailedPrecondition(f"{_HOOK} cannot be run: there is neither bash nor sh on PATH")


def _pass_start_line(info: ClusterInfo) -> None:
    resources_id = os.environ.get("DET_RESOURCES_ID")
    if not resources_id:
        raise FailedPrecondition("DET_RESOURCES_ID is not set; start trials through the master")
    answer = rendezvous(info.master_url, info.allocation_id, resources_id, info.session_token)
    # Who has started this process may know its members before the master does; a single one tells nothing new.
    is_news = len(answer["container_addrs"]) > 1
    if is_news:
        # A program that goes on in this process asks for it no second time.
        info._rendezvous_info = RendezvousInfo(**answer)
    if folder := os.environ.get("DET_INFO_DIR"):
        write_info(f"{folder}/rendezvous.json", answer, replace=is_news)


def _try_storage(info: ClusterInfo) -> None:
    from determined.core._storage_config import storage_of_run

    storage = storage_of_run(info)
    try:
        storage.probe()
        storage.discard_partial()
    except Exception as error:
        if isinstance(error, DeterminedError):
            # A sentence for people already, which says what to check.
            _fail(f"the checkpoint storage cannot be used: {error}")
        # Whatever it is, the run must not start.
        _fail(
            f"the checkpoint storage, {storage!r}, cannot be written and read: {type(error).__name__}: {error};"
            " check checkpoint_storage in the configuration, and the permissions there"
        )


def _fail(message: str) -> NoReturn:
    print(f"ERROR: [{os.getpid()}] determined.exec: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
