"""How a world is told: a line for each thing that the method hears, or that explains what it hears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from determined.domain.events import (
    InitialOperations,
    SearcherEvent,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.workshop.check.answers import Names
from determined.workshop.check.findings import Kind, Step
from determined.workshop.check.moves import Move
from determined.workshop.check.rules import Judge, listed

TWIN = "a second copy of the method, which heard the same events,"
SAVED = "the same method, saved before each event,"
RELOADED = "the same method, saved and loaded before each event,"
ADVICE: Mapping[Kind, str] = {
    Kind.RANDOM: " Draw random numbers from a generator with a seed, and do not rely on the order of a set, on time, "
    "or on ids.",
    Kind.SAVING: " A runner saves a search whenever it likes, and goes on with the same object: saving must only read.",
    Kind.RELOAD: " Save everything that the handlers change, and the state of generators of random numbers too, or "
    "draw from one that is made anew for each draw.",
}


def told(move: Move) -> str:
    """What a choice means, unless an event tells it."""
    verb, name, value = move
    if verb == "workers":
        return f"there is room for {value:g} trials" if value != 1 else "there is room for 1 trial"
    return {
        "crash": f"the process of trial {name} fails",
        "invalid": f"trial {name} raises InvalidHP",
        "stop": f"the process of trial {name} exits with 0",
        "kill": f"a user kills trial {name}",
        "repeat": f"the last report of trial {name} arrives once more",
        "pause": "a user pauses the experiment",
        "activate": "the experiment goes on",
        "cancel": "a user cancels the experiment",
        "end": "a user kills the experiment",
    }.get(verb, "")


def event(heard: SearcherEvent, names: Names) -> str:
    """An event in words."""
    if isinstance(heard, InitialOperations):
        return "initial_operations"
    name = names.of(heard.request_id)
    if isinstance(heard, TrialCreated):
        return f"trial {name} starts"
    if isinstance(heard, TrialProgress):
        return f"trial {name} has trained {heard.partial_units:g}"
    if isinstance(heard, ValidationCompleted):
        return f"trial {name} validates {heard.metric} at {heard.length}"
    if isinstance(heard, TrialExitedEarly):
        return f"trial {name} exits early ({heard.cause.reason.value})"
    return f"trial {name} is over"


def folded(steps: Sequence[Step], kind: Kind) -> list[Step]:
    """The story without what does not matter: progress, unless it is about that, and several starts in one line."""
    shown = list(_shown(steps, kind))
    merged: list[Step] = []
    for number, step in enumerate(shown):
        last = number == len(shown) - 1
        if merged and not last and _verb(step) and _verb(step) == _verb(merged[-1]) and _quiet(step, merged[-1]):
            merged[-1] = Step(_joined(merged[-1].event, step.event), (), step.progress)
        else:
            merged.append(step)
    return merged


def _shown(steps: Sequence[Step], kind: Kind) -> Iterator[Step]:
    about_progress = kind in (Kind.PROGRESS_FALLS, Kind.PROGRESS_RANGE, Kind.LEFT_BEHIND)
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        yield step if about_progress or last else Step(step.event, step.answer)


def _verb(step: Step) -> str:
    for verb in (" starts", " start", " is over", " are over"):
        if step.event.endswith(verb):
            return {" start": " starts", " are over": " is over"}.get(verb, verb)
    return ""


def _quiet(step: Step, before: Step) -> bool:
    return step.answer == () and before.answer == () and step.progress == before.progress


def _joined(before: str, more: str) -> str:
    names = before.removeprefix("trial ").removeprefix("trials ")
    for ending in (" starts", " start", " is over", " are over"):
        names = names.removesuffix(ending)
    name = more.split()[1]
    verb = "start" if more.endswith("starts") else "are over"
    return f"trials {names.replace(' and ', ', ')} and {name} {verb}"


def deadlock(judge: Judge) -> str:
    """Why nothing happens any more."""
    if not judge.trials:
        return "no trial was ever created. Return a Create and a ValidateAfter from initial_operations."
    idle = [(name, trial) for name, trial in judge.trials.items() if trial.is_open]
    trained = [name for name, trial in idle if trial.completed]
    bare = [name for name, trial in idle if not trial.completed]
    told = " ".join(
        f"{listed(names, had)} {what}."
        for names, had, what in (
            (trained, ("has", "have"), "completed an operation, and got neither a Close nor more work"),
            (bare, ("was", "were"), "created, and got neither a ValidateAfter nor a Close"),
        )
        if names
    )
    if told:
        return (
            "nothing runs, nothing waits for a slot, and no event is unanswered, but the search has not ended. "
            f"{told} Some answer has to close each trial, or give it more to do."
        )
    return (
        "every trial is over, and the search was not ended. Return Shutdown() from on_trial_closed when the last trial "
        "is closed, or set auto_shutdown."
    )


def endless(judge: Judge, events: int) -> str:
    """Why it is taken for endless."""
    return (
        f"after {events} events and {len(judge.trials)} trials, in the end without any failure, it still goes on. "
        "Shut down when enough trials are over, or check it with a smaller search."
    )
