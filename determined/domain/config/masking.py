"""Hides secrets in configurations that are shown to people, and puts them back into a copy that somebody has edited.

What is secret is told by names: a value under ``secret_key``, an environment variable ``AWS_SECRET_ACCESS_KEY=...``,
the password in ``scheme://user:password@host``. Hyperparameters are never hidden: they are what a search is about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from determined.domain.config.storage import MASK
from determined.errors import InvalidInput

_SECRET: Final = re.compile(
    r"(^|[_.-])(access[_-]?key([_-]id)?|account[_-]?key|api[_-]?key|private[_-]?key|secret([_-]?key)?|pass(word|wd|phrase)|pwd"
    r"|token|credentials?|connection[_-]?string|sas)$",
    re.IGNORECASE,
)
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PASSWORD: Final = re.compile(r"(\w[\w+.-]*://[^/?#@:\s]*:)([^/?#@\s]+)(@)")
_SHOWN: Final = frozenset({"hyperparameters"})
"""Sections of a configuration that are shown as they are."""
Path = tuple[Any, ...]


def is_secret(name: object) -> bool:
    """Whether a value under this name is to be hidden."""
    return isinstance(name, str) and _SECRET.search(name) is not None


def masked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its secrets hidden; the one that is given stays as it is."""
    return {name: value if name in _SHOWN else _masked(name, value) for name, value in config.items()}


def masked_text(text: str) -> str:
    """The same for the text of a configuration, with its comments and order.

    Raises:
        InvalidInput: it is no YAML.
    """
    return _replaced(text, lambda path, value: _masked(_name(path), value))


def unmasked_text(text: str, *origins: Mapping[str, Any]) -> str:
    """A text in which what is hidden is as it is in the configurations that the text was made of.

    Raises:
        InvalidInput: it is no YAML, or something is hidden that is not in the other one.
    """

    def find(path: Path, value: str) -> Any:
        if MASK not in value:
            return value
        for candidate in (found for origin in origins for found in _candidates(origin, path)):
            if _masked(_name(path), candidate) == value:
                return candidate
        if not (is_secret(_name(path)) and value == MASK) and not _is_hidden_part(value):
            return value
        place = ".".join(str(part) for part in path)
        raise InvalidInput(
            f"config: {place} is hidden ({MASK}), and the experiment that this one is forked from has no such value; "
            "write the value itself"
        )

    return _replaced(text, find)


def _masked(name: object, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(name, inner) for inner in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if is_secret(name):
        return MASK
    if not isinstance(value, str):
        return value
    variable = _VARIABLE.fullmatch(value)
    if variable and is_secret(variable[1]) and variable[2]:
        return f"{variable[1]}={MASK}"
    return _PASSWORD.sub(rf"\g<1>{MASK}\g<3>", value)


def _is_hidden_part(value: str) -> bool:
    variable = _VARIABLE.fullmatch(value)
    return bool(variable and variable[2] == MASK) or f":{MASK}@" in value


def _name(path: Path) -> object:
    """The name that a value has: of items of a list, that of the list."""
    return next((part for part in reversed(path) if isinstance(part, str)), None)


def _candidates(origin: Any, path: Path) -> Iterator[Any]:
    """What stands at a path in another configuration; items of a list may have moved in it."""
    here = origin
    for number, part in enumerate(path):
        if isinstance(here, Mapping):
            if part not in here:
                return
            here = here[part]
        elif isinstance(here, Sequence) and isinstance(part, int):
            for item in here:
                yield from _candidates(item, path[number + 1 :])
            return
        else:
            return
    yield here


def _replaced(text: str, change: Any) -> str:
    """A text with each scalar replaced that ``change`` of its path and value gives another value for."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as e:
        raise InvalidInput(f"config: this is no YAML: {str(e)[:200]}") from None
    spans: dict[int, tuple[int, str]] = {}
    for path, node in _scalars(root):
        value = node.value if node.tag != "tag:yaml.org,2002:null" else None
        kind = node.tag.rpartition(":")[2]
        changed = value if kind in ("null", "bool") or (path and path[0] in _SHOWN) else change(path, value)
        if changed != value:
            begin, end = node.start_mark.index, node.end_mark.index
            line_end = "\n" if text[begin:end].endswith("\n") else ""
            spans[begin] = (end, json.dumps(changed, ensure_ascii=False) + line_end)
    pieces, place = [], 0
    for begin, (end, new) in sorted(spans.items()):
        pieces += [text[place:begin], new]
        place = end
    return "".join([*pieces, text[place:]])


def _scalars(root: yaml.Node | None) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    """Every scalar that is a value, with its path; what an alias repeats comes once."""
    seen: set[int] = set()
    waiting: list[tuple[Path, yaml.Node | None]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield path, node
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*path, number), inner) for number, inner in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            # What `<<` brings in stands where it is merged into.
            waiting += [(path if key.value == "<<" else (*path, key.value), inner) for key, inner in node.value]
