"""Plays worlds in new processes in which sets of texts have different orders, and compares the answers."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any

from determined.workshop.check import story
from determined.workshop.check.findings import Finding, Kind, Step
from determined.workshop.check.moves import Move, Setting, scripted
from determined.workshop.check.play import Outcome, Play, Subject
from determined.workshop.check.shared import Process

_HASH_SEEDS = ("1", "2", "3")


class NotElsewhere(Exception):
    """A method cannot be made in another process; says why."""


class Elsewhere:
    """Some processes, to be used in a ``with`` statement.

    Raises:
        NotElsewhere: the method cannot be made in another process.
    """

    def __init__(self, subject: Subject) -> None:
        try:
            self._subject = pickle.dumps(subject)
        except Exception as error:
            raise NotElsewhere(f"what makes the method cannot be sent to another process ({error})") from error
        self._children: list[_Child] = []

    def __enter__(self) -> Elsewhere:
        # It is ours, since the processes are killed in the end and could not remove it.
        self._folder = tempfile.TemporaryDirectory(prefix="det-check-")
        self._children = [_Child(seed) for seed in _HASH_SEEDS]
        try:
            for number, child in enumerate(self._children):
                child.send((sys.path, self._subject, Path(self._folder.name) / str(number)))
            for child in self._children:
                if (problem := child.receive()) is not None:
                    raise NotElsewhere(f"what makes the method is not found in another process ({problem})")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.close()
        self._folder.cleanup()

    def play(self, setting: Setting, moves: Sequence[Move]) -> Outcome:
        """Play a world in all; the finding is that they answer differently."""
        for child in self._children:
            child.send((setting, list(moves)))
        first, *others = [child.receive() for child in self._children]
        assert isinstance(first, Outcome)
        first.finding = next(filter(None, (_difference(first, other) for other in others)), None)
        return first


def _difference(one: Outcome, other: Outcome) -> Finding | None:
    for number, (mine, its) in enumerate(zip_longest(one.story, other.story, fillvalue=Step("nothing")), 1):
        if mine != its:
            text = (
                f"in a process that orders sets otherwise, the step is {its}.{story.ADVICE[Kind.RANDOM]} "
                "Sort what comes out of a set, or use a dict or a list."
            )
            return Finding(Kind.RANDOM, text, tuple(story.folded(one.story[:number], Kind.RANDOM)))
    return None


class _Child:
    """One process."""

    def __init__(self, hash_seed: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def send(self, value: Any) -> None:
        """Ask for something."""
        try:
            pickle.dump(value, self._in)
            self._in.flush()
        except OSError as error:
            raise NotElsewhere(f"the other process ended ({error})") from error

    def receive(self) -> Any:
        """The answer."""
        try:
            return pickle.load(self._out)  # noqa: S301  # written by our own process
        except EOFError as error:
            raise NotElsewhere("the other process ended") from error

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Be such a process: answer until the parent goes. What is read are pickles that it has written."""
    answers = os.fdopen(os.dup(1), "wb")
    # What the method prints must not get among the answers.
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    sys.path[:], pickled, folder = pickle.load(questions)  # noqa: S301  # written by our own parent
    try:
        subject: Subject = pickle.loads(pickled)  # noqa: S301  # the same
        subject.make()
    except Exception as error:
        _send(answers, f"{type(error).__name__}: {error}")
        return
    _send(answers, None)
    folder.mkdir()
    while True:
        try:
            setting, moves = pickle.load(questions)  # noqa: S301  # the same
        except EOFError:
            return
        outcome = Play(subject, setting, folder, [Process()]).run(scripted(moves))
        _send(answers, outcome)


def _send(answers: Any, value: Any) -> None:
    pickle.dump(value, answers)
    answers.flush()
