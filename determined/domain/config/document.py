"""From submitted text to plain data: YAML 1.1, bounded, with the line of everything.

Nothing in a text can make this slow, deep or large: size, depth and the number of values (with all aliases
expanded) are bounded, and no tag constructs anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
import yaml.reader

from determined.domain.config.bounds import MAX_BYTES
from determined.domain.config.builder import Builder, Fatal
from determined.domain.config.paths import Marks, Path
from determined.domain.config.plain import plain
from determined.errors import InvalidConfig, Problem

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE: re.Pattern[str] = yaml.reader.Reader.NON_PRINTABLE
_TAB_INDENT = re.compile(r"[ \t]*\t")


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration as plain data (None, bool, int, float, str, list, dict with text keys).

    Attributes:
        data: the top-level mapping.
        problems: what is wrong with the text although it could be read, e.g. a key given twice.
    """

    data: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    _marks: Marks = field(default_factory=dict, repr=False)

    def line(self, path: Path) -> int | None:
        """Line of the value at a path, or of the nearest enclosing one that exists."""
        found, here = None, self.data
        for key in path:
            marks = self._marks.get(id(here), {})
            if key not in marks:
                break
            found, here = marks[key], here[key]  # type: ignore[index]  # lists are indexed by integers
        return found


def read_document(source: object) -> Document:
    """Read a text, or take over a mapping that was built in Python.

    Args:
        source: ``str``, ``bytes`` (UTF-8) or a mapping.

    Raises:
        InvalidConfig: it cannot be read at all; what can be worked around is in ``Document.problems``.
    """
    if isinstance(source, Mapping):
        return Document(*plain(source))
    if isinstance(source, (bytes, bytearray)):
        source = _decoded(bytes(source))
    if not isinstance(source, str):
        raise _failure(f"must be YAML text or a mapping, not {type(source).__name__}")
    data, problems, marks = read_yaml(source)
    if data is None:
        raise _failure("is empty; it needs at least searcher and entrypoint")
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise _failure(f"must be a mapping of fields such as 'searcher:', not {kind}", 1)
    return Document(data, problems, marks)


def read_yaml(text: str) -> tuple[Any, tuple[Problem, ...], Marks]:
    """Read one YAML document of any shape; None when it is empty.

    Returns:
        The data, the problems that do not keep it from being read, and the line of each member by the id of
        its container.

    Raises:
        InvalidConfig: the text is not YAML, or is over a bound.
    """
    text = text.removeprefix("\ufeff")
    _check_characters(text)
    builder = Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_failure(error, text) from None
    except Fatal as error:
        raise _failure(error.message, error.line) from None
    return builder.root, tuple(builder.problems), builder.marks


def _decoded(raw: bytes) -> str:
    if raw.startswith(_UTF16):
        raise _failure("is in UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _failure(
            f"is not UTF-8 (byte {error.start} is 0x{raw[error.start]:02x}); save it as UTF-8", line
        ) from None


def _check_characters(text: str) -> None:
    # Counting characters first keeps a huge text from being encoded at all.
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _failure(f"is larger than {MAX_BYTES} bytes; put data into files and name them here")
    bad = _UNPRINTABLE.search(text)
    if bad is None:
        return
    line = text.count("\n", 0, bad.start()) + 1
    if bad.group() == "\0":
        raise _failure("holds a NUL character; if the file is in UTF-16, save it as UTF-8", line)
    raise _failure(f"holds the character U+{ord(bad.group()):04X}, which YAML does not allow; remove it", line)


def _syntax_failure(error: yaml.MarkedYAMLError, text: str) -> InvalidConfig:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    if line is not None and _TAB_INDENT.match("".join(text.splitlines()[line - 1 : line])):
        return _failure("is indented with a tab; YAML allows only spaces there", line)
    while_ = f", {error.context}" if error.context else ""
    return _failure(f"is not valid YAML: {error.problem}{while_}; check quotes, colons and indentation", line)


def _failure(message: str, line: int | None = None) -> InvalidConfig:
    return InvalidConfig([Problem("", message, line)])
