"""The training of the chaos searches: each unit follows from the one before it, and is saved when it is done.

Trained twice, skipped or begun from a wrong checkpoint, a unit gives another loss at the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import determined as det
from determined import core


def main() -> None:
    """Train as the search says."""
    info = det.get_cluster_info()
    assert info is not None
    with core.init() as context:
        Training(context, info.trial.hparams, info.latest_checkpoint).run()


class Training:
    """State: how many units are done, what came of them, and where that is saved."""

    def __init__(self, context: core.Context, hparams: dict[str, Any], checkpoint: str | None) -> None:
        self.context, self.hparams, self.checkpoint = context, hparams, checkpoint
        self.steps, self.value = 0, float(hparams["x"])
        if checkpoint is not None:
            with context.checkpoint.restore_path(checkpoint) as path:
                self.steps, self.value = json.loads((path / "state.json").read_text())

    def run(self) -> None:
        """Operations until there are no more, or until we are asked to leave."""
        for op in self.context.searcher.operations():
            while self.steps < op.length:
                if self.context.preempt.should_preempt():
                    return
                self.train(op)
            self.context.train.report_validation_metrics(self.steps, {"validation_loss": self.value})
            told: Any = self.value
            if self.hparams.get("tells_checkpoint"):
                told = {"error": self.value, "checkpoint": self.checkpoint}
            op.report_completed(told)

    def train(self, op: core.SearcherOperation) -> None:
        """One unit. It is saved last, so that a run that dies on the way reports it again rather than never."""
        time.sleep(self.hparams["pause"])
        self.steps += 1
        self.value = round((self.value * 31 + float(self.hparams["x"]) * 17 + self.steps) % 97 / 97, 9)
        end = self.hparams.get("ends") if self.steps == 2 else None
        if end == "invalid":
            raise det.InvalidHP("these cannot be trained")
        if end == "leave":
            os._exit(0)
        if end == "fail":
            sys.exit(3)
        print(f"trained {self.steps}", flush=True)
        self.context.train.report_training_metrics(self.steps, {"loss": self.value})
        op.report_progress(self.steps)
        with self.context.checkpoint.store_path({"steps_completed": self.steps}) as (path, uuid):
            (path / "state.json").write_text(json.dumps([self.steps, self.value]))
        self.checkpoint = uuid


if __name__ == "__main__":
    main()
