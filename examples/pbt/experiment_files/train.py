"""Trains a linear classifier on handwritten digits, and can go on from another trial's checkpoint."""

import logging
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import determined as det

DEFAULTS = {"eta": 0.01, "alpha": 0.0001}


def main(core_context):
    info = det.get_cluster_info()
    hparams = info.trial.hparams if info else DEFAULTS
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)

    model = SGDClassifier(loss="log_loss", learning_rate="constant", random_state=0)
    epochs = 0
    if info and info.latest_checkpoint:
        # The checkpoint of this trial, or that of its parent when it has none of its own yet.
        with core_context.checkpoint.restore_path(info.latest_checkpoint) as path:
            saved = joblib.load(Path(path) / "state.joblib")
        model, epochs = saved["model"], saved["epochs"]
    # After loading: what a child inherits is the parent's weights, not its hyperparameters.
    model.set_params(eta0=hparams["eta"], alpha=hparams["alpha"])

    for op in core_context.searcher.operations():
        while epochs < op.length:
            model.partial_fit(train_x, train_y, classes=np.arange(10))
            epochs += 1
            train_error = 1.0 - float(model.score(train_x, train_y))
            core_context.train.report_training_metrics(epochs, {"training_error": train_error})
            op.report_progress(epochs)
        error = 1.0 - float(model.score(test_x, test_y))
        core_context.train.report_validation_metrics(epochs, {"validation_error": error})
        with core_context.checkpoint.store_path({"steps_completed": epochs}) as (path, storage_id):
            joblib.dump({"model": model, "epochs": epochs}, path / "state.joblib")
        op.report_completed({"error": error, "checkpoint": storage_id})
        if core_context.preempt.should_preempt():
            return


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)
    with det.core.init() as core_context:
        main(core_context)
