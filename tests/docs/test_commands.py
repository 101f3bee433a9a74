"""Commands that a text mentions exist, and take the arguments that it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from determined.cli.commands import find, leaf_parser, words_used
from determined.cli.nouns import find_noun
from tests.docs.pages import PAGES, ROOT, blocks, code

PLACEHOLDERS = {"ID": "1", "N": "1", "U": "1"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def parse(words: list[str]) -> None:
    """Refuse what ``det`` would refuse; a command may be named without its arguments."""
    if words[:1] in (["-m"], ["-u"]):
        return
    noun = find_noun(words[0]).load()
    path: tuple[str, ...] = ("det", noun.name)
    command = noun
    if noun.commands and len(words) > 1:
        command, path = find(noun.commands, words[1:], path)
    rest = words_used(words[1:], path, 2)
    if rest and not command.commands:
        leaf_parser(command, path).parse_args(rest)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_in_the_text_exist(path: Path) -> None:
    for span in sorted(code(path.read_text())):
        if span.startswith("det "):
            parse([PLACEHOLDERS.get(word, word) for word in shlex.split(span)[1:]])


def test_commands_that_do_not_exist_are_noticed() -> None:
    with pytest.raises(Exception, match="no command 'pase'"):
        parse(["experiment", "pase", "1"])
    with pytest.raises(Exception, match="unrecognized arguments: --no-such-thing"):
        parse(["e", "wait", "1", "--no-such-thing"])


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_targets_of_make_exist(path: Path) -> None:
    text = path.read_text()
    told = {span.split()[1] for span in code(text) if span.startswith("make ")}
    told |= {name for block in blocks(text) for name in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)}
    assert told - TARGETS == set()
