"""What a training script uses: operations of the search, reports, checkpoints, preemption.

``with determined.core.init() as context:`` works on a cluster and off it.
"""

from __future__ import annotations

from determined.core._checkpoint import CheckpointContext, DownloadMode, DummyCheckpointContext
from determined.core._context import Context, _dummy_init, init
from determined.core._distributed import DistributedContext, DummyDistributedContext
from determined.core._errors import NotAvailable, OutOfStep, PeerLost, UnsuitableValue
from determined.core._preempt import DummyPreemptContext, PreemptContext, PreemptMode
from determined.core._searcher import (
    DummySearcherContext,
    DummySearcherOperation,
    SearcherContext,
    SearcherMode,
    SearcherOperation,
    Unit,
)
from determined.core._tensorboard import TensorboardMode
from determined.core._train import DummyTrainContext, EarlyExitReason, TrainContext

__all__ = [
    "CheckpointContext",
    "Context",
    "DistributedContext",
    "DownloadMode",
    "DummyCheckpointContext",
    "DummyDistributedContext",
    "DummyPreemptContext",
    "DummySearcherContext",
    "DummySearcherOperation",
    "DummyTrainContext",
    "EarlyExitReason",
    "NotAvailable",
    "OutOfStep",
    "PeerLost",
    "PreemptContext",
    "PreemptMode",
    "SearcherContext",
    "SearcherMode",
    "SearcherOperation",
    "TensorboardMode",
    "TrainContext",
    "Unit",
    "UnsuitableValue",
    "_dummy_init",
    "init",
]
