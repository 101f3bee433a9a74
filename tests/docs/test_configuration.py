"""Every field that the parser of experiment configurations knows is documented.

The parser is asked: a mapping with a field that nobody knows is refused, and the message lists those that are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from determined.domain.config import ConfigDefaults, parse_config
from determined.errors import InvalidConfig, Problem
from tests.docs.pages import ROOT, code

UNKNOWN = "_"
KNOWN = "known here: "
DEFAULTS = ConfigDefaults(checkpoint_storage={"type": "shared_fs", "host_path": "/checkpoints"}, name="n", seed=0)
SEARCHERS = ("custom", "single", "random", "grid", "async_halving", "adaptive_asha", "hyperband", "pbt", "optuna")
STORAGES = ("shared_fs", "s3", "gcs", "azure")
HYPERPARAMETERS = ("const", "int", "double", "log", "categorical", "log_double", "log_int", "choice")
SPANS = code((ROOT / "docs" / "configuration.md").read_text())
# A section is documented by its fields.
DOCUMENTED = SPANS | {span.rpartition(".")[0] for span in SPANS}


def problems(config: Mapping[str, Any]) -> tuple[Problem, ...]:
    searcher = {"name": "custom", "metric": "loss"}
    try:
        parse_config({"entrypoint": "python3 train.py", "searcher": searcher, **config}, DEFAULTS)
    except InvalidConfig as refused:
        return refused.problems
    return ()


def known(path: tuple[str, ...], also: Mapping[str, Any]) -> list[str]:
    """The fields of the mapping at a path, none if there is none with fields of its own; ``[]`` is a list's member."""
    value: Any = {**also, UNKNOWN: 1}
    for key in reversed(path):
        value = [value] if key == "[]" else {key: value}
    place = ".".join("0" if key == "[]" else key for key in (*path, UNKNOWN))
    lists = [p.message.partition(KNOWN)[2] for p in problems(value) if p.path == place]
    return [name for text in lists for name in text.split(", ") if name]


def fields(path: tuple[str, ...] = (), also: Mapping[str, Any] | None = None) -> Iterator[tuple[str, ...]]:
    """Every field at a path and below it."""
    for name in known(path, also or {}):
        yield (*path, name)
        if name != "hyperparameters":
            yield from fields((*path, name))
            yield from fields((*path, name, "[]"))


def shown(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".[]", "[]")


def test_the_parser_tells_its_fields() -> None:
    found = {shown(path) for path in fields()}
    assert {"name", "searcher.metric", "resources.devices[].host_path", "environment.image.cuda"} <= found


@pytest.mark.parametrize(
    ("section", "also"),
    [
        ((), {}),
        *((("searcher",), {"name": name, "metric": "loss"}) for name in SEARCHERS),
        *((("checkpoint_storage",), {"type": kind}) for kind in STORAGES),
    ],
)
def test_every_field_is_documented(section: tuple[str, ...], also: Mapping[str, Any]) -> None:
    found = {shown(path) for path in fields(section, also)}
    assert found - DOCUMENTED == set()


@pytest.mark.parametrize("kind", HYPERPARAMETERS)
def test_every_field_of_a_hyperparameter_is_documented(kind: str) -> None:
    assert {kind, *known(("hyperparameters", "x"), {"type": kind})} - DOCUMENTED == set()


def test_nothing_is_documented_that_the_parser_does_not_know() -> None:
    every = {shown(path) for path in fields()}
    for section, choices in (("searcher", ("name", SEARCHERS)), ("checkpoint_storage", ("type", STORAGES))):
        field, names = choices
        every |= {shown(path) for name in names for path in fields((section,), {field: name})}
    sections = {path.partition(".")[0] for path in every if "." in path}
    assert {span for span in SPANS if span.partition(".")[0] in sections and "." in span} - every == set()
