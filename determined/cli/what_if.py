"""``det experiment what-if``: another search method over recorded trials."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import JSON, count, option
from determined.cli.recording import ARGS, METHOD, arguments, recording_of, source
from determined.common.terminal import visible

if TYPE_CHECKING:
    from determined.workshop.load import Factory
    from determined.workshop.recording import Recording
    from determined.workshop.what_if import Comparison, Side

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""At which parts of the recorded units the best metrics are compared."""
BEYOND = {"hold": "the last recorded value held", "trend": "the trend of the last two values"}


def what_if(call: Call) -> None:
    """Compare another method with recorded searches, over their own trials."""
    from determined.simulator.plot import check_path
    from determined.workshop.what_if import what_if as run

    args = call.args
    given = arguments(args)
    if args.plot:
        check_path(args.plot)
    recordings = [recording_of(call, found) for found in args.sources]
    made = run(
        recordings,
        _factory(args, given, recordings[0]),
        workers=args.workers,
        extrapolate=args.extrapolate,
        seed=args.seed,
        name=args.method,
    )
    if args.plot:
        made.plot(args.plot)
    if args.json:
        render.print_json(_as_json(made))
    else:
        _show(made)


def _factory(args: argparse.Namespace, given: dict[str, Any], recording: Recording) -> Factory:
    from determined.workshop.load import load_factory
    from determined.workshop.replay import known_arguments, recorded_method

    spec = args.method
    if spec is None:
        kind = type(recorded_method(recording)())
        spec = f"{kind.__module__}:{kind.__qualname__}"
    return load_factory(spec, given, known_arguments(recording))


def _show(made: Comparison) -> None:
    recorded, other = made.recorded, made.other
    render.table(("", "recorded", other.name), _rows(made))
    print()
    rows = []
    for share in SHARES:
        units = share * recorded.units
        rows.append([f"{units:g}", _number(recorded.best_at(units)), _number(other.best_at(units))])
    render.table(("Best metric after units", "recorded", other.name), rows)
    print()
    print(_account(made))
    for note in made.notes:
        print(visible(note))


def _rows(made: Comparison) -> Iterator[list[str]]:
    sides = (made.recorded, made.other)
    yield ["Trials", *(str(side.trials) for side in sides)]
    yield ["Trained to the longest length", *(str(side.full) for side in sides)]
    yield ["Units", *(f"{side.units:g}" for side in sides)]
    yield ["Best metric", *(_number(side.best[-1].metric if side.best else None) for side in sides)]
    if made.recorded.best:
        goal = made.recorded.best[-1].metric
        yield ["Units to the recorded best", *(_units_to(side, goal, made.smaller_is_better) for side in sides)]


def _units_to(side: Side, goal: float, smaller: bool) -> str:
    units = side.units_to(goal, smaller)
    return "never" if units is None else f"{units:g}"


def _account(made: Comparison) -> str:
    account = made.account
    lines = [
        f"{made.workers} trials at once. Of {account.metrics} metrics that {made.other.name} was told, "
        f"{account.recorded} are recorded and {account.invented:.1%} are made up"
    ]
    parts = [
        (account.interpolated, "between two recorded lengths"),
        (account.extrapolated, f"beyond what was recorded ({BEYOND.get(made.extrapolate, '')})"),
        (account.reused, "of trials that stand for more than one, because too few were recorded"),
    ]
    told = ", ".join(f"{number} {what}" for number, what in parts if number)
    share = account.invented_units / account.units if account.units else 0.0
    lines.append(f": {told}." if told else ".")
    return "".join(lines) + f" {share:.1%} of its units were not recorded."


def _as_json(made: Comparison) -> dict[str, Any]:
    import msgspec

    account = made.account
    return {
        "recorded": msgspec.to_builtins(made.recorded),
        "other": msgspec.to_builtins(made.other),
        "workers": made.workers,
        "extrapolate": made.extrapolate,
        "unused": made.unused,
        "notes": list(made.notes),
        "account": {**msgspec.to_builtins(account), "metrics": account.metrics, "invented": account.invented},
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", type=source, nargs="+", metavar="EXPERIMENT|FILE", help="experiment ids, or files of `export`"
    )


def _extrapolate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extrapolate",
        choices=("hold", "trend", "refuse"),
        default="hold",
        help="what trials report beyond their recorded training (default: hold, the last value)",
    )


_WORKERS = option(
    "--workers", type=count, metavar="N", help="trials at once (default: as many as were recorded at most)"
)
_SEED = option("--seed", type=int, default=0, metavar="N", help="of what is drawn when too few trials are recorded")
_PLOT = option("--plot", type=Path, metavar="FILE", help="draw both searches")

WHAT_IF = Command(
    "what-if",
    "let another search method, or the same with other arguments, search over the recorded trials",
    what_if,
    (_sources, METHOD, ARGS, _WORKERS, _extrapolate, _SEED, _PLOT, JSON),
)
