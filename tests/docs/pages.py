"""Markdown pages as scripts: what each fenced block is, and what is to be done with it.

A comment on the line before a block says more about it:

- ``<!-- file: NAME -->`` writes the block to a file of the page's folder; a block of Python without it is run.
- ``<!-- fill: TEXT with TEXT -->`` replaces the one thing that the reader is to fill in.
- ``<!-- source: PATH -->`` says that the block is a file, or a piece of one, of the repository.
- ``<!-- not run: REASON -->`` leaves a block alone.
- ``<!-- check: ... -->`` between blocks asks for something that must be true there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
)
_COMMENT = re.compile(r"<!-- (file|fill|source|not run|check): (.+?) -->")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
LANGUAGES = ("python", "bash", "yaml", "json", "text", "mermaid")


@dataclass
class Block:
    """One fenced block; ``line`` is that of its first line. A check has no language and no text."""

    line: int
    language: str
    text: str = ""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def filled(self) -> str:
        """The text as a reader would have it."""
        if "fill" not in self.notes:
            return self.text
        old, new = self.notes["fill"].split(" with ")
        assert self.text.count(old) == 1, f"line {self.line}: {old!r} is not there once"
        return self.text.replace(old, new)


def blocks(text: str) -> Iterator[Block]:
    """The blocks and checks of a page, in order."""
    notes: dict[str, str] = {}
    block: Block | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None:
            if line.startswith("```"):
                yield block
                block = None
            else:
                block.text += line + "\n"
        elif line.startswith("```"):
            block, notes = Block(number + 1, line[3:].strip(), "", notes), {}
        elif found := _COMMENT.fullmatch(line):
            if found[1] == "check":
                yield Block(number, "check", found[2])
            else:
                notes[found[1]] = found[2]
    assert block is None, "a block is not closed"
    assert not notes, f"notes without a block: {notes}"


def code(text: str) -> set[str]:
    """What stands between backticks in the text, blocks aside."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose))


def links(text: str) -> list[str]:
    """Where the page points to."""
    return _LINK.findall(text)


def anchors(text: str) -> set[str]:
    """What can be pointed to inside of a page."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
