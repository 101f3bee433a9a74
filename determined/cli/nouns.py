"""The first words of the command line, without loading what they stand for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from determined.cli.commands import Command


class Noun(NamedTuple):
    """Something that commands are about.

    Attributes:
        module: where its ``COMMAND`` is.
    """

    name: str
    module: str
    help: str

    def load(self) -> Command:
        """Import it."""
        command: Command = importlib.import_module(self.module).COMMAND
        return command


# Where a prefix fits several, the first counts.
NOUNS = (
    Noun("experiment", "determined.cli.experiment", "searches: create, list, describe, pause, kill ..."),
    Noun("trial", "determined.cli.trial", "trials: describe, logs, story, cancel, kill, download"),
    Noun("checkpoint", "determined.cli.checkpoint", "checkpoints: describe, download, delete"),
    Noun("user", "determined.cli.user", "users: login, logout, whoami, list, create ..."),
    Noun("master", "determined.cli.master", "the master: info, config, logs, trust"),
    Noun("agent", "determined.cli.agent", "machines: list"),
    Noun("slot", "determined.cli.slot", "slots: list"),
    Noun("job", "determined.cli.job", "the queue: list, update"),
    Noun("task", "determined.cli.task", "tasks: list, logs"),
    Noun("preview-search", "determined.cli.preview_search", "what a search would train, and for how long"),
    Noun("search", "determined.cli.search", "search methods: check"),
    Noun("ui", "determined.cli.ui", "the web UI: print its address, and open it"),
    Noun("deploy", "determined.cli.deploy", "start and stop a master on this machine"),
    Noun("db", "determined.cli.db", "databases of masters: migrate, check, copy"),
    Noun("version", "determined.cli.version", "versions of this program and of the master"),
)


def find_noun(word: str) -> Noun:
    """The noun that a word, perhaps shortened, means.

    Raises:
        UsageError: none.
    """
    from determined.cli.commands import UsageError, unknown

    for noun in NOUNS:
        if noun.name == word:
            return noun
    for noun in NOUNS:
        if word and noun.name.startswith(word):
            return noun
    raise UsageError(unknown(word, [n.name for n in NOUNS], ("det",)))


def overview() -> str:
    """Help for the whole program."""
    rows = [f"  {noun.name:<14} {noun.help}" for noun in NOUNS]
    return "\n".join(
        [
            "usage: det [-m URL] [-u NAME] COMMAND ...",
            "",
            "commands (each may be shortened):",
            *rows,
            "",
            "options:",
            "  -m, --master URL   address of the master (DET_MASTER; else a local one is started)",
            "  -u, --user NAME    run as this user",
            "  -v, --version      version of this program",
            "  -h, --help         this; also after any command",
        ]
    )
