"""A run's program in a process that was forked from a template, as if an interpreter had just been started for it.

Standard library only, and private parts of it where there is no other way to do what an interpreter does at its start
and its end. ``tests/unit/launchers/test_warm_start.py`` compares both.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import functools
import gc
import io
import os
import runpy
import signal
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import FileFinder, SourceFileLoader
from typing import Any, NoReturn

from determined import steps
from determined.launchers.environment import RUN_FOLDER

is_warm = False
"""Whether this process was forked from a template. Programs that it starts in its place can then be run in it."""
_kept_descriptors: frozenset[int] = frozenset()
_kept_modules: frozenset[str] = frozenset()
_last_kept: tuple[str, object] | None = None
"""The module of a template that was loaded last: those that a program adds come after it."""
_foreign_entries: tuple[str, ...] = ()
"""Places of modules that have finders which do not see for themselves whether something has changed."""
_path_entries: tuple[str, ...] = ()
_STANDARD = (0, 1, 2)
_LAUNCH = "determined.exec.launch"
_REHEARSAL = "determined.exec.rehearsal"
_SHOWN_FIRST = (RUN_FOLDER, "DET_ALLOCATION_ID", "DET_WORKDIR", "DET_EXPERIMENT_ID", "DET_TRIAL_ID", "DET_MASTER")
_ARGUMENTS, _VARIABLES = 45, 47
_shown: dict[int, bytes] = {}
"""The arguments and variables that the system shows, where they have been written over."""
_shown_variables: dict[bytes, bytes] = {}
ROOM = "_ROOM"
"""Variable of a template that is there to be written over."""
ROOM_BYTES = 1 << 16
_PR_SET_NAME = 15


def load(modules: Sequence[str]) -> None:
    """Make this process a template: load modules, and remember what runs are to find.

    What cannot be imported is left to the runs, which have better means to say so.

    Args:
        modules: ``package.module``, or ``package:name`` for a name that may be a module of the package.
    """
    global _kept_descriptors, _kept_modules, _last_kept, _path_entries, _foreign_entries
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    own = {os.path.abspath(entry) for entry in _entries(os.environ)}  # noqa: PTH100
    _path_entries = tuple(entry for entry in sys.path if entry not in own)
    for name in modules:
        with contextlib.suppress(BaseException):
            _load(name)
    if _REHEARSAL in sys.modules:
        sys.modules[_REHEARSAL].rehearse()
    _foreign_entries = tuple(e for e, finder in sys.path_importer_cache.items() if type(finder) is not FileFinder)
    os.environ.pop(ROOM, None)
    # They are moved away from where the system shows them, so that a run need not do it, or write over all of the room.
    for name, value in os.environ.items():
        os.putenv(name, value)
    _show_environment(os.environ)
    gc.collect()
    gc.freeze()
    _kept_modules = frozenset(sys.modules)
    _last_kept = next(reversed(sys.modules.items()))
    _kept_descriptors = _open_descriptors()


def _load(name: str) -> None:
    module, colon, attribute = name.partition(":")
    __import__(module)
    if colon and not hasattr(sys.modules[module], attribute):
        __import__(f"{module}.{attribute}")


def become(argv: Sequence[str], env: Mapping[str, str], lock_fd: int) -> None:
    """Turn a fork of a template into what a new interpreter would be; the working folder is set already.

    Args:
        argv: the command that this process stands for, to be shown.
        lock_fd: the run's lock, which is kept open.
    """
    global is_warm
    is_warm = True
    keep = _kept_descriptors | {*_STANDARD, lock_fd}
    for descriptor in _open_descriptors() - keep:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _set_environment(env)
    steps.hook = None
    # Finders of folders see for themselves whether their folder has changed. To drop them, or to look at all, would
    # cost a millisecond: the fork gets a copy of each page that holds one of the names that are looked at.
    for entry in _foreign_entries:
        sys.path_importer_cache.pop(entry, None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    show_as(argv, env)
    # The generator of the module random seeds itself anew after a fork; that of NumPy does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _set_environment(env: Mapping[str, str]) -> None:
    """Most of it is the template's already, and to set what is set would copy memory."""
    wanted = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    found = _data()
    for name in found.keys() - wanted.keys():
        os.unsetenv(name)
    for name, value in wanted.items():
        if found.get(name) != value:
            os.putenv(name, value)
    # In the order in which an interpreter would have found it.
    found.clear()
    found.update(wanted)


def _data() -> dict[bytes, bytes]:
    """What ``os.environ`` holds, as the system has it."""
    found: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return found


def run_python(words: Sequence[str]) -> NoReturn:
    """Do what ``python WORDS`` does, in this process, and end it.

    Args:
        words: ``(script, ...)`` or ``("-m", module, ...)``.
    """
    # The program before, if there was one, had a place of its own at the head.
    sys.path[:] = [*_entries(os.environ), *_path_entries]
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={})
    main.__doc__ = None
    sys.modules["__main__"] = main
    sys.orig_argv[:] = [sys.executable, *words]
    run: Callable[[], object]
    if words[0] == "-m" and words[1] == _LAUNCH and _LAUNCH in _kept_modules:
        # Nobody sees how it comes to be executed, and to look for it would take longer than what it does.
        run = lambda: sys.modules[_LAUNCH].main(list(words[2:]))  # noqa: E731
    elif words[0] == "-m":
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
        sys.argv[:] = ["-m", *words[2:]]
        # A template may have it loaded, but it is to be executed anew.
        sys.modules.pop(words[1], None)
        run = lambda: runpy._run_module_as_main(words[1])  # type: ignore[attr-defined]  # noqa: E731
    else:
        sys.path.insert(0, os.path.dirname(os.path.realpath(words[0])))  # noqa: PTH120
        sys.argv[:] = list(words)
        run = lambda: _run_script(words[0], main)  # noqa: E731
    _finish(_code_of(run, main), main)


def _run_script(script: str, main: types.ModuleType) -> None:
    path = os.path.abspath(script)  # noqa: PTH100
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        sys.exit(2)
    main.__dict__.update(__file__=path, __loader__=SourceFileLoader("__main__", path), __spec__=None, __cached__=None)
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102  (it is what we are for)


def _code_of(run: Callable[[], object], main: types.ModuleType) -> int:
    """Run, and say with which code an interpreter would exit."""
    try:
        run()
    except SystemExit as end:
        return _code_of_exit(end)
    except KeyboardInterrupt as error:
        _show(error)
        return -signal.SIGINT
    except BaseException as error:
        _show(error)
        return 1
    return 0


def _code_of_exit(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Report an error that nobody caught, without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error, trace)


def _finish(code: int, main: types.ModuleType) -> NoReturn:
    """End as an interpreter does, but leave to the system to take back what the template had loaded."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    code = _flush(code)
    # A thread that nobody waits for may be at its imports.
    with contextlib.suppress(Exception):
        _drop(main)
    code = _flush(code)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _flush(code: int) -> int:
    """Interpreters exit with 120 when what was printed cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:
            code = code or 120
    return code


def _drop(main: types.ModuleType) -> None:
    """Let go of what the program made, so that files are closed and finalizers run."""
    sys.last_value = sys.last_traceback = None
    for module in (main, *_added_modules()):
        names: dict[str, Any] = getattr(module, "__dict__", {})
        for is_private in (True, False):
            for name in list(names):
                if name != "__builtins__" and (name.startswith("_") and not name.startswith("__")) == is_private:
                    names[name] = None
    with contextlib.suppress(BaseException):
        gc.collect()


def _added_modules() -> list[types.ModuleType]:
    """What the program has loaded, the newest first; the names before are left alone, as in `become`."""
    last, module = _last_kept or ("", None)
    is_in_place = sys.modules.get(last) is module
    added: list[str] = []
    for name in reversed(sys.modules):
        if is_in_place and name == last:
            break
        if name not in _kept_modules:
            added.append(name)
    return [found for name in added if (found := sys.modules.get(name)) is not None]


def show_as(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Let the system show this process with its own command and environment instead of the template's.

    By these, too, the processes of a run are found. What does not fit is cut off at the end; the environment of a
    template has ``ROOM`` for that. Linux only.
    """
    _libc().prctl(_PR_SET_NAME, os.fsencode(os.path.basename(argv[0])), 0, 0, 0)  # noqa: PTH119
    _write_over(_ARGUMENTS, argv)
    _show_environment(env)


def _show_environment(env: Mapping[str, str]) -> None:
    global _shown_variables
    # Programs that this process goes on with mostly have the same.
    if env is os.environ and _data() == _shown_variables:
        return
    _shown_variables = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    first = [name for name in _SHOWN_FIRST if name in env]
    _write_over(_VARIABLES, [f"{name}={env[name]}" for name in [*first, *sorted(env.keys() - first)]])


def _write_over(field: int, texts: Sequence[str]) -> None:
    """Write over the texts whose place in memory a field of ``/proc/self/stat`` tells, and the next one its end."""
    import ctypes

    with contextlib.suppress(OSError, IndexError, ValueError):
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            start, end = map(int, file.read().rpartition(b")")[2].split()[field : field + 2])
        if not 0 < start < end:
            return
        told = b"".join(os.fsencode(text) + b"\0" for text in texts)[: end - start - 1]
        before = _shown.get(field)
        if told != before:
            # What is behind it is empty, once it has been written over.
            size = max(len(told) + 1, end - start if before is None else len(before))
            ctypes.memmove(start, told.ljust(size, b"\0"), size)
            _shown[field] = told


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _entries(env: Mapping[str, str]) -> list[str]:
    return [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _open_descriptors() -> frozenset[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            # One of them was open for the listing only.
            return frozenset(filter(_is_open, map(int, os.listdir(folder))))  # noqa: PTH208
    return frozenset(filter(_is_open, range(256)))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
