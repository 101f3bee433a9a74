"""``det experiment set`` and ``det experiment label``: attributes that can be changed later."""

from __future__ import annotations

import argparse
from typing import Any

from determined.cli import render
from determined.cli.call import Call, yes_or_no
from determined.cli.commands import Command
from determined.cli.options import EXPERIMENT, YES, count, option
from determined.common.terminal import visible

_POLICY = ("save_experiment_best", "save_trial_best", "save_trial_latest")


def _patch(call: Call, done: str, **changes: Any) -> None:
    experiment_id = call.args.experiment_id
    call.session.patch(f"/api/v1/experiments/{experiment_id}", json={"id": experiment_id, **changes})
    print(done)


def _set_text(call: Call, field: str) -> None:
    value = call.args.value
    _patch(call, f"Set {field} of experiment {call.args.experiment_id} to '{visible(value)}'", **{field: value})


def set_name(call: Call) -> None:
    """Rename an experiment."""
    _set_text(call, "name")


def set_description(call: Call) -> None:
    """Describe an experiment."""
    _set_text(call, "description")


def _set_resource(call: Call, option_name: str, field: str) -> None:
    value = call.args.value
    done = f"Set `{option_name}` of experiment {call.args.experiment_id} to {value}"
    _patch(call, done, resources={field: value})


def set_max_slots(call: Call) -> None:
    """Limit the slots of an experiment, or lift the limit."""
    _set_resource(call, "max_slots", "maxSlots")


def set_weight(call: Call) -> None:
    """Weigh an experiment."""
    _set_resource(call, "weight", "weight")


def set_priority(call: Call) -> None:
    """Give an experiment another priority."""
    _set_resource(call, "priority", "priority")


def set_gc_policy(call: Call) -> None:
    """Change which checkpoints are kept, after showing which would go."""
    policy = {name: getattr(call.args, name) for name in _POLICY}
    if not call.args.yes:
        _preview(call, policy)
        if not yes_or_no("Checkpoints that the policy does not keep are deleted for good. Go on?"):
            print("Nothing was changed.")
            return
    wire = {
        "saveExperimentBest": policy["save_experiment_best"],
        "saveTrialBest": policy["save_trial_best"],
        "saveTrialLatest": policy["save_trial_latest"],
    }
    _patch(call, f"Set GC policy of experiment {call.args.experiment_id} to\n{policy}", checkpointStorage=wire)


def _preview(call: Call, policy: dict[str, int]) -> None:
    answer = call.session.get(f"/experiments/{call.args.experiment_id}/preview_gc", params=policy)
    found = answer["checkpoints"]
    print(f"This policy deletes {len(found)} checkpoint(s).")
    if found:
        headers = ["Trial ID", "# of Batches", "State", f"Validation Metric ({answer['metric_name']})", "UUID"]
        rows = [[c.get(key) for key in ("trial_id", "batch_number", "state", "searcher_metric", "uuid")] for c in found]
        render.table(headers, rows)


def add_label(call: Call) -> None:
    """Label an experiment."""
    labels, label = _labels(call), call.args.label
    _patch_labels(call, labels if label in labels else [*labels, label])
    print(f"Added label '{visible(label)}' to experiment {call.args.experiment_id}")


def remove_label(call: Call) -> None:
    """Take a label off an experiment."""
    label = call.args.label
    _patch_labels(call, [other for other in _labels(call) if other != label])
    print(f"Removed label '{visible(label)}' from experiment {call.args.experiment_id}")


def _labels(call: Call) -> list[str]:
    answer = call.session.get(f"/api/v1/experiments/{call.args.experiment_id}")
    return list(answer["experiment"].get("labels") or [])


def _patch_labels(call: Call, labels: list[str]) -> None:
    experiment_id = call.args.experiment_id
    call.session.patch(f"/api/v1/experiments/{experiment_id}", json={"id": experiment_id, "labels": labels})


def slots_or_none(text: str) -> int | None:
    """A limit of slots, or that there is none."""
    return None if text.strip().lower() in ("none", "null") else count(text)


def _policy_options(parser: argparse.ArgumentParser) -> None:
    for name in _POLICY:
        parser.add_argument(f"--{name.replace('_', '-')}", type=count, required=True, metavar="N", help="to keep")


def _value(kind: Any, help_text: str) -> Any:
    return option("value", type=kind, help=help_text)


_LIMIT = _value(slots_or_none, "a number, or none")

SET = Command(
    "set",
    "change attributes",
    commands=(
        Command("name", "rename", set_name, (EXPERIMENT, _value(str, "the name"))),
        Command("description", "describe", set_description, (EXPERIMENT, _value(str, "the text"))),
        Command(
            "max-slots", "limit its slots", set_max_slots, (EXPERIMENT, _value(slots_or_none, "a number, or none"))
        ),
        Command("weight", "change its weight", set_weight, (EXPERIMENT, _value(float, "the weight"))),
        Command("priority", "change its priority", set_priority, (EXPERIMENT, _value(int, "1 to 99"))),
        Command("gc-policy", "change which checkpoints are kept", set_gc_policy, (EXPERIMENT, _policy_options, YES)),
    ),
)
_LABEL = option("label", help="the label")
LABEL = Command(
    "label",
    "add and remove labels",
    commands=(
        Command("add", "add a label", add_label, (EXPERIMENT, _LABEL)),
        Command("remove", "remove a label", remove_label, (EXPERIMENT, _LABEL)),
    ),
)
