"""The command line of a launch module: arguments of its own, then ``--``, then the command of one process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from determined.errors import DeterminedError, InvalidInput

_TRIAL = "--trial"


def run(main: Callable[[list[str]], int]) -> int:
    """The exit code of a launch module that was given the arguments of this process; what is wrong is a sentence."""
    try:
        return main(sys.argv[1:])
    except DeterminedError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2


def split(arguments: Sequence[str], module: str) -> tuple[list[str], list[str]]:
    """Arguments of the launcher, and the command of one process.

    ``--`` ends the first; it may be left out when there are none. A file ``*.py`` is run by this interpreter.

    Raises:
        InvalidInput: no command, no ``--``, or a trial class.
    """
    if arguments and arguments[0] == _TRIAL:
        raise InvalidInput(no_trial_classes(module))
    if arguments and arguments[0].startswith("-"):
        if "--" not in arguments:
            raise InvalidInput(f"{module}: put -- between the arguments of the launcher and the command of the script")
        end = list(arguments).index("--")
        own, command = list(arguments[:end]), list(arguments[end + 1 :])
    else:
        own, command = [], list(arguments)
    if not command:
        raise InvalidInput(f"{module}: no script was given, as in: python3 -m {module} -- python3 train.py")
    if command[0] == _TRIAL:
        raise InvalidInput(no_trial_classes(module))
    return own, ([sys.executable, *command] if command[0].endswith(".py") else command)


def no_trial_classes(module: str) -> str:
    """Why ``--trial module:Class`` does not work."""
    return (
        f"{module}: trial classes (entrypoint module:Class, or --trial) need Determined's own library in place of this"
        " one; write the training as a script with determined.core, and start it with"
        " python3 -m determined.launch.torch_distributed -- python3 train.py"
    )
