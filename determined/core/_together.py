"""Steps that several processes take together: they all succeed, or all fail with the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from determined import errors
from determined.errors import DeterminedError, FailedPrecondition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong on another process. Not the exception itself, which its class may keep from being pickled."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


def all_do(allgather: Callable[[Any], list[Any]], call: Callable[[], T], what: str) -> list[T]:
    """Each process does its part and hears of the others'.

    Args:
        allgather: of the group.
        call: this process's part; it must make no collective call.
        what: for messages, such as ``storing a checkpoint``.
    Returns:
        What the calls have returned, in order of the processes.
    Raises:
        Exception: what this process's call has raised; else, on all others, one of the same class where that is ours.
    """
    failure: Exception | None = None
    outcome: _Done | _Failure
    try:
        outcome = _Done(call())
    except Exception as error:
        failure, outcome = error, _failed(error)
    outcomes: list[_Done | _Failure] = allgather(outcome)
    if failure is not None:
        raise failure
    for index, one in enumerate(outcomes):
        if isinstance(one, _Failure):
            raise _as_exception(one, f"{what} failed on process {index}")
    return [one.value for one in outcomes if isinstance(one, _Done)]


def one_does(broadcast: Callable[[Any], Any], is_the_one: bool, call: Callable[[], T], what: str) -> T:
    """The first process of a group does something, and all get what it returns.

    Raises:
        Exception: what the call has raised; on the others one of the same class where that is ours.
    """
    if not is_the_one:
        outcome: _Done | _Failure = broadcast(None)
        if isinstance(outcome, _Failure):
            raise _as_exception(outcome, f"{what} failed on process 0")
        value: T = outcome.value
        return value
    try:
        value = call()
    except Exception as error:
        broadcast(_failed(error))
        raise
    broadcast(_Done(value))
    return value


def _failed(error: Exception) -> _Failure:
    return _Failure(type(error).__name__, str(error) or type(error).__name__)


def _as_exception(failure: _Failure, where: str) -> DeterminedError:
    kind = getattr(errors, failure.kind, None)
    text = f"{where}: {failure.text}"
    if isinstance(kind, type) and issubclass(kind, DeterminedError) and kind is not errors.InvalidConfig:
        return kind(text)
    return FailedPrecondition(f"{where}: {failure.kind}: {failure.text}")
