"""Entry of the command ``det``: finds the command, runs it, and turns every ending into an exit code."""

from __future__ import annotations

import os
import sys

# Type checkers take this name as true. Whoever only asks for the version or for help waits for no module that is not
# needed for that: argparse alone takes as long as the interpreter.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INTERRUPTED = 130
CLOSED_OUTPUT = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``det`` with these arguments; the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv in (["-v"], ["--version"]):
        from determined._version import __version__

        return _shown(f"det {__version__}")
    if argv in (["-h"], ["--help"]):
        from determined.cli.nouns import overview

        return _shown(overview())
    try:
        return _guarded(argv)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _shown(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        return _without_reader()
    except OSError as error:
        print(f"Error: {error.strerror}", file=sys.stderr)
        # The interpreter must not try once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _without_reader() -> int:
    # Whoever read our output has seen enough. The interpreter must not try to flush it once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_OUTPUT


def _guarded(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # Names may hold what this terminal cannot show; that must not end the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from determined.cli.commands import CliError, HelpShown
    from determined.errors import DeterminedError, InvalidInput

    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except HelpShown:
        return 0
    except BrokenPipeError:
        return _without_reader()
    except CliError as error:
        return _failed(error, error.exit_code)
    except InvalidInput as error:
        return _failed(error, 2)
    except (DeterminedError, OSError) as error:
        return _failed(error, 1)
    except Exception as error:
        _trace()
        return _failed(f"unexpected {type(error).__name__}: {error}; DET_DEBUG=1 shows where", 1)


def _run(argv: list[str]) -> int:
    from determined.cli.call import Call
    from determined.cli.commands import UsageError, find, leaf_parser, words_used
    from determined.cli.nouns import find_noun, overview

    options, words = _global_options(argv)
    if options.version:
        return main(["--version"])
    if options.help:
        print(overview())
        return 0
    if not words:
        raise UsageError(f"say what to do:\n{overview()}")
    _log_if_debugging()
    noun = find_noun(words[0]).load()
    path = ("det", noun.name)
    if noun.commands:
        command, full = find(noun.commands, words[1:], path)
    else:
        command, full = noun, path
    rest = words_used(words[1:], full, len(path))
    args = leaf_parser(command, full).parse_args(rest, options)
    with Call(args) as call:
        if command.run is None:
            raise AssertionError(f"{' '.join(full)} has nothing to run")
        return command.run(call) or 0


def _global_options(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    import argparse

    from determined.cli.commands import Parser

    parser = Parser(prog="det", add_help=False, usage="det [-m URL] [-u NAME] COMMAND ...")
    parser.add_argument("-m", "--master", metavar="URL")
    parser.add_argument("-u", "--user", metavar="NAME")
    parser.add_argument("-v", "--version", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    words: list[str] = options.words
    del options.words
    return options, words


def _log_if_debugging() -> None:
    from determined.common.util import debug_mode

    if debug_mode():
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s: %(name)s: %(message)s")


def _trace() -> None:
    from determined.common.util import debug_mode

    if debug_mode():
        import traceback

        traceback.print_exc()


def _failed(error: object, code: int) -> int:
    from determined.common.terminal import visible
    from determined.common.util import debug_mode

    if debug_mode() and isinstance(error, BaseException):
        _trace()
    sys.stdout.flush()
    print(f"Error: {visible(error, keep=chr(10))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
