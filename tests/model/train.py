"""Trains nothing, quickly: five progress reports and one validation per operation."""

import os
import sys
import time
from pathlib import Path

import determined as det


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None
    hparams = info.trial.hparams
    with det.core.init() as context:
        steps = 0
        if info.latest_checkpoint is not None:
            with context.checkpoint.restore_path(info.latest_checkpoint) as path:
                steps = int((path / "steps").read_text())
            print(f"begins after {steps}", flush=True)
        for op in context.searcher.operations():
            print(f"hello from trial {info.trial.trial_id}, pid {os.getpid()}, training to {op.length}", flush=True)
            if "gate" in hparams:
                # A named pipe: whoever reads it waits here until the test opens it for writing.
                Path(hparams["gate"]).open().close()
            for part in range(1, 6):
                if context.preempt.should_preempt():
                    return
                time.sleep(hparams.get("sleep", 0.0))
                op.report_progress(op.length * part / 5)
            if hparams.get("fail"):
                sys.exit(3)
            if hparams.get("invalid"):
                raise det.InvalidHP("these cannot be trained")
            if hparams.get("leave"):
                os._exit(0)
            steps = op.length
            loss = float(hparams["x"]) + 1.0 / (1 + steps)
            context.train.report_training_metrics(steps, {"loss": loss})
            with context.checkpoint.store_path({"steps_completed": steps}) as (path, _):
                (path / "steps").write_text(str(steps))
            context.train.report_validation_metrics(steps, {"validation_loss": loss})
            op.report_completed(loss)


if __name__ == "__main__":
    main()
