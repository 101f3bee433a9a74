"""From the ``entrypoint`` of a configuration to the command that is executed.

Text is meant for a shell. Plain words are executed without one, which saves a process for each run, but only when
a shell would do exactly the same with them.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from determined.errors import InvalidInput

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_MODULE = _LETTERS | {"."}
# Nothing that any shell expands, splits or quotes by; "=" means an assignment only in the first word.
_PLAIN = _LETTERS | frozenset("./:,@+-= ")
# Commands that a shell runs itself, or reads as syntax, whatever is on PATH.
_SHELL_WORD_LIST = (
    ". : [ alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc declare"
    " dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash"
    " help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return"
    " select set shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset"
    " until wait while"
)
_SHELL_WORDS = frozenset(_SHELL_WORD_LIST.split())


def is_trial_class(text: str) -> bool:
    """Whether an entrypoint names a legacy trial class: ``module:Class``."""
    module, colon, name = text.partition(":")
    return bool(colon and module and name) and _MODULE.issuperset(module) and _LETTERS.issuperset(name)


def command(entrypoint: str | Sequence[str]) -> tuple[str, ...]:
    """The arguments to execute for an entrypoint, as if there were no shortcut around the shell.

    Raises:
        InvalidInput: empty.
    """
    if not entrypoint or (isinstance(entrypoint, str) and not entrypoint.strip()):
        raise InvalidInput("the entrypoint is empty; give the command that trains, such as: python3 train.py")
    if not isinstance(entrypoint, str):
        return tuple(entrypoint)
    if is_trial_class(entrypoint):
        return ("python3", "-m", "determined.launch.horovod", "--autohorovod", "--trial", entrypoint)
    return ("sh", "-c", entrypoint)


def without_shell(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The words of ``sh -c`` text that a shell would execute unchanged; None when it might not."""
    if len(argv) != 3 or tuple(argv[:2]) != ("sh", "-c") or not _PLAIN.issuperset(argv[2]):
        return None
    words = tuple(argv[2].split())
    if not words or "=" in words[0] or words[0] in _SHELL_WORDS or words[0].startswith("-"):
        return None
    # Bash passes functions to its children in the environment; one might be named like the command.
    if any(name.startswith("BASH_FUNC_") for name in environ):
        return None
    return words


def python_words(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """What a command gives to this very interpreter: ``(script, ...)`` or ``("-m", module, ...)``; None for others."""
    shell = tuple(argv[:2]) == ("sh", "-c")
    words = without_shell(argv, environ) if shell else tuple(argv)
    if not words or not _is_this_python(words[0], environ):
        return None
    rest = words[1:]
    # Runs are unbuffered in any case.
    while rest and rest[0] == "-u":
        rest = rest[1:]
    if not rest or (rest[0].startswith("-") and (rest[0] != "-m" or len(rest) < 2)):
        return None
    return rest


def _is_this_python(word: str, environ: Mapping[str, str]) -> bool:
    found = shutil.which(word, path=environ.get("PATH"))
    try:
        # The folder counts as well: the same file in another one belongs to another virtual environment.
        return found is not None and (
            os.path.samefile(found, sys.executable)  # noqa: PTH121
            and os.path.samefile(os.path.dirname(found), os.path.dirname(sys.executable))  # noqa: PTH120, PTH121
        )
    except OSError:
        return False


def execute(argv: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become the command; signals then reach it, and its exit code is the run's, with nothing in between.

    Raises:
        OSError: it cannot be executed.
    """
    words = without_shell(argv, environ)
    if words is not None:
        # A shell would see to this one.
        environ = {**environ, "PWD": os.getcwd()}  # noqa: PTH109
        try:
            os.execvpe(words[0], words, environ)  # noqa: S606
        except OSError as error:
            # The shell has the familiar words and exit codes for this, and runs scripts that lack a first line.
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR):
                raise
    os.execvpe(argv[0], list(argv), environ)  # noqa: S606
