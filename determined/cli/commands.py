"""What a command is, and how words on a command line lead to one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from determined.errors import DeterminedError

if TYPE_CHECKING:
    from determined.cli.call import Call

Arguments = Callable[[argparse.ArgumentParser], None]


class CliError(DeterminedError):
    """A command that did not do what it was asked to.

    Attributes:
        exit_code: what the process ends with.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(CliError):
    """A command line that means nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 2)


class HelpShown(Exception):
    """Help was asked for and printed."""


@dataclass(frozen=True, slots=True)
class Command:
    """A word of the command line: something to run, or a group of further words.

    Attributes:
        name, aliases: how it is written.
        help: one line.
        run: does it; returns the exit code, None for 0.
        arguments: declares its arguments.
        commands: of a group.
        is_default: runs when its group is named alone.
    """

    name: str
    help: str
    run: Callable[[Call], int | None] | None = None
    arguments: tuple[Arguments, ...] = ()
    aliases: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    is_default: bool = False


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        """Report bad usage."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Stop parsing, after help was printed."""
        raise HelpShown(message)


def find(commands: Sequence[Command], words: Sequence[str], path: tuple[str, ...]) -> tuple[Command, tuple[str, ...]]:
    """The command that words mean, and its full name.

    Args:
        commands: of the group.
        words: that follow it.
        path: names that led to the group.
    Raises:
        UsageError: there is no such command.
    """
    default = next((c for c in commands if c.is_default), None)
    if default is not None and (not words or (words[0].startswith("-") and words[0] not in ("-h", "--help"))):
        return default, path
    if not words:
        raise UsageError(f"say what to do:\n{overview(commands, path)}")
    if words[0] in ("-h", "--help"):
        print(overview(commands, path))
        raise HelpShown
    for command in commands:
        if words[0] in (command.name, *command.aliases):
            if command.commands:
                return find(command.commands, words[1:], (*path, command.name))
            return command, (*path, command.name)
    raise UsageError(unknown(words[0], [c.name for c in commands], path))


def words_used(words: Sequence[str], path: tuple[str, ...], depth: int) -> Sequence[str]:
    """What is left of ``words`` for the command at ``path``, whose group is ``depth`` names deep."""
    return words[len(path) - depth :]


def unknown(word: str, names: Sequence[str], path: tuple[str, ...]) -> str:
    """The message for a word that is no command."""
    import difflib

    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean '{' '.join((*path, near[0]))}'?" if near else f"known are: {', '.join(names)}"
    return f"'{' '.join(path)}' has no command {word!r}; {hint}"


def overview(commands: Sequence[Command], path: tuple[str, ...]) -> str:
    """Help for a group."""
    return "\n".join([f"usage: {' '.join(path)} COMMAND ...", "", "commands:", *_rows(commands)])


def _rows(commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        names = ", ".join((command.name, *command.aliases))
        note = " (default)" if command.is_default else ""
        yield f"  {names:<22} {command.help}{note}"


def leaf_parser(command: Command, path: tuple[str, ...]) -> Parser:
    """The parser of a command's own arguments."""
    # prefix_chars and abbreviations as usual; the defaults of global options must not undo those given before.
    parser = Parser(prog=" ".join(path), description=f"{command.help[:1].upper()}{command.help[1:]}.")
    parser.add_argument("-m", "--master", metavar="URL", default=argparse.SUPPRESS, help="address of the master")
    parser.add_argument("-u", "--user", metavar="NAME", default=argparse.SUPPRESS, help="run as this user")
    for declare in command.arguments:
        declare(parser)
    return parser
