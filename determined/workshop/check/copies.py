"""One copy of the method under check: it hears events, and can be saved, forgotten and made anew at any point."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import msgspec

from determined.domain.events import (
    ExitCause,
    SearcherEvent,
    TrialClosed,
    TrialExitedEarly,
    ValidationCompleted,
)
from determined.domain.search_method import InvalidMethodAnswer, SearcherState, SearchMethod, apply_event, dispatch
from determined.methods.ending import EndRule
from determined.searcher import method as saving
from determined.workshop.check.answers import Answer, Names
from determined.workshop.check.findings import Fault, Kind
from determined.workshop.check.shared import Process
from determined.workshop.load import Factory, where


class Copy:
    """A method, what a runner keeps beside it, and the names of its trials.

    Attributes:
        reloads: how often it was saved and made anew.
    """

    def __init__(self, make: Factory, process: Process) -> None:
        self.make = make
        self.process = process
        self.names = Names()
        self.state = SearcherState()
        self.state.experiment_id = 1
        self.expected = _twin(self.state)
        self.rule = EndRule()
        self.reloads = 0
        self.heard: list[tuple[int, SearcherEvent]] = []
        self.method = self._made()

    def handle(self, event_id: int, event: SearcherEvent) -> Answer:
        """The answer to an event, with the shutdown that the method may leave to others.

        Raises:
            Fault: it raised, answered no list of operations, or changed the searcher state.
        """
        apply_event(self.expected, event)
        with self.process.running():
            seed(event_id)
            try:
                operations = dispatch(self.method, self.state, _own(event))
            except InvalidMethodAnswer as error:
                wrong_progress = f"{type(self.method).__name__}.progress returned" in str(error)
                raise Fault(Kind.PROGRESS_RANGE if wrong_progress else Kind.ANSWER, f"{error}.") from error
            except (Exception, SystemExit) as error:
                raise Fault(Kind.RAISES, f"{type(error).__name__}: {error}{where(error)}.") from error
        self._check_state()
        self.heard.append((event_id, event))
        self.state.last_event_id = self.expected.last_event_id = event_id
        if self.method.auto_shutdown:
            self.rule.asked(operations)
            if isinstance(event, TrialExitedEarly):
                self.rule.exited(failed=event.cause is ExitCause.ERRORED, killed=event.cause is ExitCause.KILLED)
            end = self.rule.after_closing() if isinstance(event, TrialClosed) else None
            operations += [] if end is None else [end]
        return self.names.answer(operations)

    def save(self, folder: Path) -> None:
        """Save, and go on with the same object, as a runner does.

        Args:
            folder: for temporary files.
        Raises:
            Fault: saving raised.
        """
        with self._refusing("be saved"), self.process.running():
            seed(0)
            with self._kept(folder):
                pass

    def reload(self, folder: Path) -> None:
        """Save, forget everything, make the method anew, and load.

        Args:
            folder: for temporary files.
        Raises:
            Fault: saving or loading raised.
        """
        with ExitStack() as kept:
            with self._refusing("be saved"):
                kept.enter_context(self.process.running())
                load = kept.enter_context(self._kept(folder))
            with self._refusing("be loaded"), self.process.restarted():
                seed(0)
                method = self.make()
                load(method)
        self.method = method
        # A handler may have kept the old one, which must not help it.
        self.state = _twin(self.expected)
        self.reloads += 1

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}{where(error)}"
            raise Fault(Kind.RELOAD, f"the method could not {what}: {text}.") from error

    def _kept(self, folder: Path) -> AbstractContextManager[Callable[[SearchMethod], None]]:
        if saving.is_found_from_events(self.method):
            return nullcontext(self._hear_again)
        return _saved(self.method, self.state, folder)

    def _hear_again(self, method: SearchMethod) -> None:
        """What a runner does with a deterministic method that does not say how it is saved."""
        state = SearcherState()
        state.experiment_id = 1
        for event_id, event in self.heard:
            seed(event_id)
            dispatch(method, state, _own(event))
            state.last_event_id = event_id

    def _made(self) -> SearchMethod:
        with self.process.running():
            seed(0)
            return self.make()

    def _check_state(self) -> None:
        expected = vars(self.expected)
        if vars(self.state) == expected:
            return
        changed = [name for name, value in expected.items() if getattr(self.state, name) != value]
        raise Fault(
            Kind.SEARCHER_STATE,
            f"the handler changed state.{', state.'.join(changed)}. The state belongs to whoever runs the search: "
            "keep what you need in attributes of your own.",
        )


def _own(event: SearcherEvent) -> SearcherEvent:
    """The event with a metric that is nobody else's, as if it had come over a wire: the method may change it."""
    if isinstance(event, ValidationCompleted) and isinstance(event.metric, (dict, list)):
        return msgspec.structs.replace(event, metric=deepcopy(event.metric))
    return event


def _twin(state: SearcherState) -> SearcherState:
    other = SearcherState()
    vars(other).update({name: copy(value) for name, value in vars(state).items()})
    return other


@contextmanager
def _saved(method: SearchMethod, state: SearcherState, folder: Path) -> Iterator[Callable[[SearchMethod], None]]:
    """A saved method; what is given loads it into another one."""
    if not _writes_files(method):
        values = method.snapshot()
        text = None if values is None else json.dumps(dict(values))
        yield lambda other: None if text is None else other.restore(json.loads(text))
        return
    where_to = Path(tempfile.mkdtemp(dir=folder))
    try:
        saving.save_into(method, state, where_to, 1)
        yield lambda other: saving.load_from(other, where_to)
    finally:
        shutil.rmtree(where_to, ignore_errors=True)


def _writes_files(method: SearchMethod) -> bool:
    own = saving.SearchMethod
    kind: Any = type(method)
    return isinstance(method, own) and not (
        kind.save is own.save
        and kind.load is own.load
        and kind.save_method_state is own.save_method_state
        and kind.load_method_state is own.load_method_state
    )


def seed(number: int) -> None:
    """Let the generators that belong to nobody start from a number, so that copies in step draw the same from them."""
    random.seed(number)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(number)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Afterwards these generators go on as if nothing had been drawn."""
    kept = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    kept_numpy = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(kept)
        if numpy is not None:
            numpy.random.set_state(kept_numpy)
