"""Text from elsewhere, made fit for a terminal: nothing in a name or a log line may steer it."""

from __future__ import annotations

import re
import unicodedata

# Colours, cursor movements and titles, as a whole; what is left of a broken one is escaped below.
_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-Z\\^-~])"
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINER = "\u200d"


def visible(text: object, *, keep: str = "") -> str:
    """``text`` with every control character escaped and every terminal sequence gone.

    Args:
        keep: control characters that stay, such as a line end.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(c if c in keep else _escaped(c) for c in _SEQUENCES.sub("", plain))


def visible_log(text: str) -> str:
    """A log line for a terminal; line ends and tabs stay, and what a progress bar overwrites stays readable."""
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def _escaped(char: str) -> str:
    if char == _JOINER or unicodedata.category(char) not in _HIDDEN:
        return char
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
