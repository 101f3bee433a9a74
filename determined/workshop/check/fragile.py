"""What works, but would not under slightly other circumstances; a check mentions it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from determined.domain.events import InitialOperations, TrialCreated
from determined.domain.operations import Create
from determined.domain.search_method import SearcherState, dispatch
from determined.workshop.check.copies import generators_kept, seed
from determined.workshop.check.play import Subject


def notes_on(subject: Subject) -> Iterator[str]:
    """One sentence each; made with a method of its own, after the method has passed."""
    with generators_kept():
        seed(0)
        before = random.getstate()
        method, state = subject.make(), SearcherState()
        saved = method.snapshot()
        text = json.dumps(saved)
        operations = dispatch(method, state, InitialOperations())
        for event in [TrialCreated(op.request_id) for op in operations if isinstance(op, Create)]:
            dispatch(method, state, event)
        if json.dumps(saved) != text:
            yield (
                "what snapshot() returns changes afterwards, because it holds living objects; every runner writes it "
                "down at once, but whoever keeps it should get copies"
            )
        if random.getstate() != before:
            yield (
                "it draws from the generator that the module random shares, whose state nobody saves; a search that is "
                "interrupted goes on with other numbers than it would have"
            )
