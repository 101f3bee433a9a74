"""Trains in units that do nothing, reports a metric after each, and goes on from its checkpoint when it is promoted."""

import determined as det


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None, "this script runs as a trial"
    x, done = info.trial.hparams["x"], 0
    with det.core.init(background_reports=True) as context:
        if info.latest_checkpoint is not None:
            with context.checkpoint.restore_path(info.latest_checkpoint) as path:
                done = int((path / "done.txt").read_text())
        for op in context.searcher.operations():
            while done < op.length:
                done += 1
                loss = x + 1 / done
                context.train.report_training_metrics(done, {"loss": loss})
            with context.checkpoint.store_path({"steps_completed": done}) as (path, _):
                (path / "done.txt").write_text(str(done))
            op.report_completed(loss)


if __name__ == "__main__":
    main()
