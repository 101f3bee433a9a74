"""The signatures in the references are those of the code, and none is missing."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from determined import core, searcher
from determined.experimental import client
from tests.docs.pages import ROOT, code

OPERATIONS = (searcher.Create, searcher.ValidateAfter, searcher.Close, searcher.Progress, searcher.Shutdown)
RUNNERS = (searcher.SearchRunner, searcher.LocalSearchRunner, searcher.RemoteSearchRunner)
CONTEXTS = (
    core.SearcherContext,
    core.SearcherOperation,
    core.TrainContext,
    core.CheckpointContext,
    core.PreemptContext,
    core.DistributedContext,
)
OBJECTS = (client.ExperimentReference, client.TrialReference, client.Checkpoint, client.User)
NOT_FOR_USERS = {"from_json"}


def signature(called: Callable[..., Any], skip: int = 0) -> str:
    """The parameters as a reader writes them: names and defaults, without types."""
    parts = []
    for parameter in list(inspect.signature(called).parameters.values())[skip:]:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts.append(parameter.name if parameter.default is parameter.empty else _with_default(parameter))
    return f"({', '.join(parts)})"


def _with_default(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if isinstance(default, enum.Enum):
        return f"{parameter.name}={type(default).__name__}.{default.name}"
    return f"{parameter.name}={'...' if callable(default) else repr(default)}"


def methods(owner: type) -> Iterator[tuple[str, str]]:
    for name, member in inspect.getmembers(owner, inspect.isroutine):
        if not name.startswith("_") and name not in NOT_FOR_USERS:
            # What is bound already, as a class method, has lost its first parameter.
            yield name, signature(member, skip=0 if inspect.ismethod(member) else 1)


def functions(module: Any) -> Iterator[tuple[str, str]]:
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isfunction(member) and not name.startswith("_"):
            yield name, signature(member)


def constructors(owners: Sequence[type]) -> Iterator[tuple[str, str]]:
    for owner in owners:
        yield owner.__name__, signature(owner)


PAGES: Mapping[str, list[tuple[str, str]]] = {
    "searcher.md": [
        *constructors((*OPERATIONS, *RUNNERS, searcher.SearcherState)),
        *(found for owner in (searcher.SearchMethod, searcher.SearcherState, *RUNNERS) for found in methods(owner)),
    ],
    "core-api.md": [
        *functions(core),
        *constructors([core.DistributedContext]),
        *(found for owner in CONTEXTS for found in methods(owner)),
    ],
    "client.md": [
        *functions(client),
        *constructors([client.Determined]),
        *(found for owner in OBJECTS for found in methods(owner)),
    ],
}


@pytest.mark.parametrize("page", PAGES)
def test_every_signature_is_printed(page: str) -> None:
    spans = {span.removeprefix("op.") for span in code((ROOT / "docs" / page).read_text())}
    missing = [f"{name}{parameters}" for name, parameters in PAGES[page] if f"{name}{parameters}" not in spans]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_no_other_signature_is_printed(page: str) -> None:
    names = {name for name, _ in PAGES[page]}
    right = {f"{name}{parameters}" for name, parameters in PAGES[page]}
    wrong = []
    for span in code((ROOT / "docs" / page).read_text()):
        name, found, rest = span.rpartition(")")[0].partition("(")
        call = f"{name.rpartition('.')[2]}({rest})"
        # Empty parentheses only say that it is a function.
        if found and rest and span.endswith(")") and name.rpartition(".")[2] in names and call not in right:
            wrong.append(span)
    assert wrong == []


@pytest.mark.parametrize(("page", "module"), [("searcher.md", searcher), ("core-api.md", core), ("client.md", client)])
def test_every_public_name_is_documented(page: str, module: Any) -> None:
    spans = code((ROOT / "docs" / page).read_text())
    words = {word for span in spans for word in re.findall(r"\w+", span)}
    assert [name for name in module.__all__ if not name.startswith("_") and name not in words] == []


def test_the_object_of_the_client_has_the_functions_of_its_module() -> None:
    of_object = {name for name, _ in methods(client.Determined)}
    assert of_object == {name for name, _ in functions(client)} - {"login"}
