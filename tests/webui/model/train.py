"""Trains nothing: a step every now and then, told in the log and as a metric, until it is enough."""

from __future__ import annotations

import json
import time
from pathlib import Path

import determined as det


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None
    hparams = info.trial.hparams
    # Names that no configuration can hold come as a file.
    names = Path("names.json")
    extra = json.loads(names.read_text()) if names.exists() else {"lines": [], "metrics": []}
    with det.core.init() as context:
        for line in extra["lines"]:
            print(line, flush=True)
        step = 0
        if info.latest_checkpoint is not None:
            with context.checkpoint.restore_path(info.latest_checkpoint) as path:
                step = int((path / "step").read_text())
        for op in context.searcher.operations():
            while step < op.length:
                step += 1
                time.sleep(hparams.get("pause_s", 0.0))
                loss = float(hparams.get("x", 0.5)) + 1.0 / step
                print(f"step {step} of trial {info.trial.trial_id}", flush=True)
                metrics = {"loss": loss, **dict.fromkeys(extra["metrics"], loss)}
                context.train.report_validation_metrics(step, metrics)
                op.report_progress(step)
                leaves = context.preempt.should_preempt()
                if leaves or step % 10 == 0 or step == op.length:
                    with context.checkpoint.store_path({"steps_completed": step}) as (path, _):
                        (path / "step").write_text(str(step))
                        for name in extra.get("files", []):
                            (path / name).write_text(name)
                if leaves:
                    return
            op.report_completed(loss)


if __name__ == "__main__":
    main()
