"""``det experiment describe``: experiments, their trials, and what each trial reported."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import UsageError
from determined.cli.options import number_id
from determined.common.api.paging import read_paginated

Json = Mapping[str, Any]
_EXPERIMENT = (
    "Experiment ID",
    "State",
    "Progress",
    "Started",
    "Ended",
    "Name",
    "Description",
    "Archived",
    "Resource Pool",
    "Labels",
)
_TRIAL = ("Trial ID", "Experiment ID", "State", "Started", "Ended", "H-Params")
_STEP = ("Trial ID", "# of Batches", "State", "Report Time")
_STEP_REST = ("Checkpoint State", "Checkpoint Report Time", "Validation State", "Validation Report Time")
_PAGE = 500


@dataclass
class Step:
    """What a trial reported at one number of batches."""

    training: Json = field(default_factory=dict)
    validation: Json = field(default_factory=dict)
    checkpoint: Json = field(default_factory=dict)

    @property
    def ended(self) -> str:
        """Time of the latest report."""
        return max(str(w.get("endTime") or "") for w in (self.training, self.validation, self.checkpoint))


def describe(call: Call) -> None:
    """Print three tables, or the same as CSV or JSON."""
    ids = parse_ids(call.args.experiment_ids)
    answers = [call.session.get(f"/api/v1/experiments/{experiment_id}") for experiment_id in ids]
    if call.args.json:
        render.print_json(answers)
        return
    experiments = [answer["experiment"] for answer in answers]
    trials = [(e, t) for e in experiments for t in _list(call, f"/api/v1/experiments/{e['id']}/trials", "trials")]
    steps = {t["id"]: _steps(_list(call, f"/api/v1/trials/{t['id']}/workloads", "workloads")) for _, t in trials}
    _show(call, "Experiment", _EXPERIMENT, [_experiment_row(e) for e in experiments])
    _show(call, "Trials", _TRIAL, [_trial_row(e, t) for e, t in trials])
    _show(call, "Workloads", *_step_table(steps, with_metrics=call.args.metrics))


def parse_ids(text: str) -> list[int]:
    """Ids with commas between them.

    Raises:
        UsageError: they are none.
    """
    try:
        return [number_id(part.strip()) for part in text.split(",")]
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from error


def _list(call: Call, path: str, key: str) -> list[Json]:
    return list(read_paginated(call.session, path, key, params={"limit": _PAGE}))


def _show(call: Call, name: str, headers: Sequence[str], rows: Sequence[render.Row]) -> None:
    if call.args.outdir:
        folder = Path(call.args.outdir)
        folder.mkdir(parents=True, exist_ok=True)
        file = "experiments" if name == "Experiment" else name.lower()
        render.print_csv(headers, rows, folder / f"{file}.csv")
        return
    print(f"{name}:" if name == "Experiment" else f"\n{name}:")
    render.listing(call.args, headers, rows, None)


def _experiment_row(e: Json) -> list[Any]:
    return [
        e["id"],
        render.state(e),
        render.percent(e.get("progress")),
        render.time(e.get("startTime")),
        render.time(e.get("endTime")),
        e.get("name"),
        e.get("description"),
        e.get("archived"),
        e.get("resourcePool"),
        ", ".join(sorted(e.get("labels") or [])),
    ]


def _trial_row(e: Json, t: Json) -> list[Any]:
    times = render.time(t.get("startTime")), render.time(t.get("endTime"))
    return [t["id"], e["id"], render.state(t), *times, render.hparams(t.get("hparams"))]


def _steps(workloads: Iterable[Json]) -> dict[int, Step]:
    """Reports of one trial by number of batches, so that those that belong together share a row."""
    found: dict[int, Step] = {}
    for workload in workloads:
        for kind in ("training", "validation", "checkpoint"):
            if report := workload.get(kind):
                setattr(found.setdefault(int(report["totalBatches"]), Step()), kind, report)
    return found


def _step_table(steps: Mapping[int, Mapping[int, Step]], with_metrics: bool) -> tuple[list[str], list[list[Any]]]:
    every = [step for of_trial in steps.values() for step in of_trial.values()]
    training = _names(step.training for step in every) if with_metrics else []
    validation = _names(step.validation for step in every) if with_metrics else []
    headers = [
        *_STEP,
        *(f"Training Metric: {name}" for name in training),
        *_STEP_REST,
        *(f"Validation Metric: {name}" for name in validation),
    ]
    rows = [
        _step_row(trial_id, batches, step, training, validation)
        for trial_id, of_trial in steps.items()
        for batches, step in sorted(of_trial.items())
    ]
    return headers, rows


def _step_row(trial_id: int, batches: int, step: Step, training: Sequence[str], validation: Sequence[str]) -> list[Any]:
    saved = render.state(step.checkpoint) if step.checkpoint else ""
    validated = "COMPLETED" if step.validation else ""
    return [
        trial_id,
        batches,
        saved or validated,
        render.time(step.ended),
        *(_metrics(step.training).get(name) for name in training),
        saved,
        render.time(step.checkpoint.get("endTime")),
        validated,
        render.time(step.validation.get("endTime")),
        *(_metrics(step.validation).get(name) for name in validation),
    ]


def _names(reports: Iterable[Json]) -> list[str]:
    return sorted({name for report in reports for name in _metrics(report)})


def _metrics(report: Json) -> Json:
    return (report.get("metrics") or {}).get("avgMetrics") or {}
