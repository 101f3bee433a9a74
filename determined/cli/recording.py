"""``det experiment``: what a search was, recorded: export it, replay a method on it, ask it why."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from bdb import BdbQuit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import CliError, Command, UsageError
from determined.cli.options import EXPERIMENT, JSON, MAX_ID, option
from determined.common.terminal import visible
from determined.errors import DeterminedError, NotFound

if TYPE_CHECKING:
    from determined.domain.events import SearcherEvent
    from determined.domain.search_method import SearchMethod
    from determined.wire.decisions import Decision
    from determined.workshop.recording import Recording
    from determined.workshop.replay import OnEvent, ReplayResult

FAILED = 2
"""Exit code of a replay that could not be done; 1 says that it was, and that the answers differ."""
FIRST = 0
"""Stands for the event at which a replay that names none stops."""


def export(call: Call) -> None:
    """Write an experiment's recorded search into a file."""
    from determined.workshop import recording_file, recording_master

    path = Path(call.args.output or recording_file.default_name(call.args.experiment_id))
    with asking_for(call.args.experiment_id):
        header = recording_master.header_of(call.session, call.args.experiment_id)
    lines = recording_master.lines_of(call.session, call.args.experiment_id)
    counts = recording_file.write(path, header, lines)
    print(f"Wrote {visible(path)}: {counts['fact']} facts and {counts['report']} reports, state {header.state}")


def source(text: str) -> int | Path:
    """An experiment's id, or the file of a recording."""
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_ID:
        return int(text)
    return Path(text)


@contextmanager
def asking_for(experiment_id: int) -> Iterator[None]:
    """What a master says of an experiment that it does not have is followed by what to do."""
    try:
        yield
    except NotFound as error:
        if f"experiment {experiment_id} not found" not in str(error):
            # It is a trial that is missing.
            raise
        raise CliError(f"{error}; `det e list` shows the experiments that are there") from error


def recording_of(call: Call, found: int | Path) -> Recording:
    """The recording that a command line names.

    Raises:
        CliError: the master has no such experiment.
    """
    from determined.workshop.recording import Recording

    if isinstance(found, Path):
        return Recording.read(found)
    with asking_for(found):
        return Recording.fetch(call.session, found)


def replay(call: Call) -> int:
    """Compare what a method answers to the recorded events with what was answered then; 0 for no difference."""
    try:
        return _replay(call)
    except UsageError:
        raise
    except DeterminedError as error:
        raise CliError(str(error), FAILED) from error


def _replay(call: Call) -> int:
    from determined.workshop.load import load_factory
    from determined.workshop.replay import check_event, known_arguments, recorded_method
    from determined.workshop.replay import replay as run

    args = call.args
    if args.args is not None and args.method is None:
        raise UsageError("--args are for the method that --method names; the recorded one has its own")
    given = arguments(args)
    if args.step and args.to is not None and args.step > args.to:
        raise UsageError(
            f"--step {args.step} comes after --to {args.to}, where the replay ends; name an event before it"
        )
    recording = recording_of(call, args.source)
    if args.step:
        check_event(recording, args.step)
    known = known_arguments(recording)
    factory = load_factory(args.method, given, known) if args.method else recorded_method(recording)
    stop_at = args.step
    if stop_at == FIRST:
        stop_at = _place_to_stop(run(recording, factory, until=args.to), args.to)
    reached: list[int] = []
    try:
        on_event = None if stop_at is None else _stopping(stop_at, _names(recording), reached)
        result = run(recording, factory, until=args.to, on_event=on_event)
    except BdbQuit:
        return 1
    code = _show(args, recording, result)
    if stop_at is not None and not reached:
        _note(f"Did not stop at event {stop_at}: the replay had ended at event {result.ended_at}.")
    return code


def arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--args`` says."""
    try:
        found = json.loads(args.args or "{}")
    except ValueError as error:
        raise UsageError(f"--args is no JSON ({error}); write an object, as in --args '{{\"divisor\": 3}}'") from None
    if not isinstance(found, dict):
        raise UsageError(f"--args must be a JSON object of arguments by name, got {args.args}")
    return found


def _place_to_stop(result: ReplayResult, until: int | None) -> int | None:
    """The event to stop at when none was named: the last of the replay, unless it ends before or has none."""
    first = result.first_event if until is None else result.ended_at
    if first is None and until is None:
        _note("Every event was answered as recorded, so there is none to stop at; name one: --step N")
    elif first is not None and until is not None and first < until:
        _note(f"The replay ends at event {first}, which is not answered as recorded, and never comes to event {until}.")
    return until if first is None else first


def _note(text: str) -> None:
    """Say something beside the result, which may be read by a program."""
    print(text, file=sys.stderr)


def _stopping(number: int, name_of: Callable[[uuid.UUID], str], reached: list[int]) -> OnEvent:
    """Enters the debugger at the call of the handler of one event, which is then put down in ``reached``."""
    from determined.workshop.explain import event_text
    from determined.workshop.stepping import handler_of, stop_in

    def on_event(event_id: int, event: SearcherEvent, method: SearchMethod) -> None:
        if event_id == number:
            reached.append(event_id)
            print(f"Event {number}: {event_text(event, name_of)}.")
            name = f"{type(method).__name__}.{handler_of(event)}"
            print(f"In the debugger, `s` twice (step) goes into {name}; `c` goes on with the replay, `q` ends it.")
            stop_in(method, event)

    return on_event


def _show(args: argparse.Namespace, recording: Recording, result: ReplayResult) -> int:
    from determined.workshop import explain

    is_same = result.is_identical and not (args.reasons and result.reasons)
    if args.json:
        render.print_json(explain.as_json(result))
        return 0 if is_same else 1
    for line in explain.summary(result, _names(recording), with_reasons=args.reasons):
        print(visible(line))
    rows = list(explain.side_by_side(result))
    if rows:
        print()
        render.table(("", "Recorded", "Replayed"), rows)
    if result.difference is not None and type(result.difference.recorded) is type(result.difference.replayed):
        for field in result.difference.fields:
            print(visible(f"  {field.name}: recorded {field.recorded!r}, replayed {field.replayed!r}"))
    if result.failure is not None:
        print("\n" + visible(result.failure.trace.rstrip(), keep="\n"))
    hint = explain.hint(result)
    if hint:
        print(hint)
    return 0 if is_same else 1


def _names(recording: Recording) -> Callable[[uuid.UUID], str]:
    ids = {trial.request_id: trial.id for trial in recording.trials()}
    return lambda request_id: f"trial {ids[request_id]}"


def why(call: Call) -> None:
    """Show what was decided, and why."""
    from determined.workshop.why import decisions_of, fetch_decisions, trial_named

    found: int | Path = call.args.source
    trial = None if call.args.trial is None else trial_named(call.args.trial)
    if isinstance(found, Path):
        decisions = list(decisions_of(recording_of(call, found), trial))
    else:
        with asking_for(found):
            decisions = list(fetch_decisions(call.session, found, trial))
    if trial is None:
        _show_decisions(call.args, decisions)
    else:
        _show_trial(call.args, decisions)


def _show_decisions(args: argparse.Namespace, decisions: list[Decision]) -> None:
    import msgspec

    if args.json:
        render.print_json(msgspec.to_builtins(decisions))
        return
    _table(decisions)


def _show_trial(args: argparse.Namespace, decisions: list[Decision]) -> None:
    import msgspec

    from determined.workshop.why import why

    told = why(decisions)
    if args.json:
        render.print_json(
            {
                "trialId": told.trial_id,
                "requestId": told.request_id,
                "last": msgspec.to_builtins(told.last),
                "decisions": msgspec.to_builtins(decisions),
            }
        )
        return
    print(visible(told.headline) + "\n")
    _table(decisions)


def _table(decisions: list[Decision]) -> None:
    from determined.workshop.why import after, what

    rows = [[render.time(d.time), d.trial_id, what(d), after(d.cause), d.reason] for d in decisions]
    render.table(["Time", "Trial", "Decision", "After", "Reason"], rows)


def event_number(text: str) -> int:
    """The number of an event."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:20]) <= MAX_ID:
        raise argparse.ArgumentTypeError(f"{text!r} is no event; events are counted from 1")
    return int(text)


def _step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--step",
        type=event_number,
        nargs="?",
        const=FIRST,
        metavar="N",
        help="stop in the debugger at event N (default: the first that is answered differently, else that of --to)",
    )


_SOURCE = option("source", type=source, metavar="EXPERIMENT|FILE", help="experiment id, or a file of `export`")
_OUTPUT = option("-o", "--output", metavar="FILE", help="where to (default: experiment-ID.detrec)")
METHOD = option(
    "--method",
    metavar="MODULE:NAME",
    help="search method: a class, or a function that makes one (default: the one that the configuration names)",
)
ARGS = option("--args", metavar="JSON", help="its arguments by name; what the recorded configuration says is known")
_TO = option("--to", type=event_number, metavar="N", help="only the events up to N")
_REASONS = option("--reasons", action="store_true", help="another reason is a difference, too")
_TRIAL = option("trial", nargs="?", metavar="TRIAL", help="id or request id; without it, all decisions in order")

COMMANDS = (
    Command("export", "write the recorded search into a file", export, (EXPERIMENT, _OUTPUT)),
    Command(
        "replay",
        "tell a search method the recorded events; exit code 0 only if it answers as recorded",
        replay,
        (_SOURCE, METHOD, ARGS, _TO, _step, _REASONS, JSON),
    ),
    Command("why", "show what was decided, and why", why, (_SOURCE, _TRIAL, JSON)),
)
