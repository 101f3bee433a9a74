"""Reads and checks fields that only legacy trial classes, containers or cluster managers use.

They have no effect on the search itself. They are checked and completed all the same, because the harness of
legacy trials reads them from the configuration of its trial.
"""

from __future__ import annotations

from typing import Any

from determined.domain.config.bounds import MAX_INT32
from determined.domain.config.fields import Fields

_FREE = ("data_layer", "internal", "tensorboard_storage", "security")


def read_legacy(root: Fields) -> dict[str, Any]:
    """Read the fields as complete JSON."""
    complete: dict[str, Any] = {
        "checkpoint_policy": root.choice("checkpoint_policy", ("best", "all", "none"), "best"),
        "min_checkpoint_period": _period(root, "min_checkpoint_period"),
        "min_validation_period": _period(root, "min_validation_period"),
        "perform_initial_validation": root.boolean("perform_initial_validation", False),
        "scheduling_unit": root.integer("scheduling_unit", 100, least=1, most=MAX_INT32),
        "records_per_epoch": root.integer("records_per_epoch", 0, least=0),
        "profiling": _profiling(root.fields("profiling")),
        "optimizations": _optimizations(root.fields("optimizations")),
        "slurm": _cluster(root.fields("slurm"), "sbatch_args", ("gpu_type",)),
        "pbs": _cluster(root.fields("pbs"), "pbsbatch_args", ()),
    }
    # Nobody needs these to be there, so they show only when they were given.
    free = {name: root.free(name) for name in _FREE}
    return {**complete, **{name: value for name, value in free.items() if value}}


def _period(root: Fields, name: str) -> int | dict[str, int]:
    node = root.find(name)
    length = node and node.length(least=0)
    # The harness unpacks a mapping here, so a plain 0 is written as one.
    return length.to_json() if length and (length.unit or length.units) else {"batches": 0}


def _profiling(fields: Fields) -> dict[str, Any]:
    begin = fields.integer("begin_on_batch", 0, least=0)
    end = fields.integer("end_after_batch", None, least=0)
    if end is not None and end < begin:
        fields.refuse("end_after_batch", f"is {end}, before begin_on_batch ({begin}); give a later batch")
    complete = {
        "enabled": fields.boolean("enabled", False),
        "begin_on_batch": begin,
        "end_after_batch": end,
        "sync_timings": fields.boolean("sync_timings", True),
    }
    fields.done()
    return complete


def _optimizations(fields: Fields) -> dict[str, Any]:
    complete = {
        "aggregation_frequency": fields.integer("aggregation_frequency", 1, least=1),
        "average_aggregated_gradients": fields.boolean("average_aggregated_gradients", True),
        "average_training_metrics": fields.boolean("average_training_metrics", True),
        "gradient_compression": fields.boolean("gradient_compression", False),
        "mixed_precision": fields.choice("mixed_precision", ("O0", "O1", "O2", "O3"), "O0"),
        "grad_updates_size_file": fields.text("grad_updates_size_file", None),
        "tensor_fusion_threshold": fields.integer("tensor_fusion_threshold", 64, least=0),
        "tensor_fusion_cycle_time": fields.integer("tensor_fusion_cycle_time", 5, least=0),
        "auto_tune_tensor_fusion": fields.boolean("auto_tune_tensor_fusion", False),
    }
    fields.done()
    return complete


def _cluster(fields: Fields, args: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a batch system; absent ones are left out."""
    found: dict[str, Any] = {name: fields.name(name, None) for name in names}
    found["slots_per_node"] = fields.integer("slots_per_node", None, least=1, most=MAX_INT32)
    node = fields.find(args)
    found[args] = list(node.texts()) if node else None
    fields.done()
    return {name: value for name, value in found.items() if value is not None}
