"""Trains a small network on handwritten digits: ``python train.py`` by itself, or as a trial of a search."""

import logging
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import determined as det

DEFAULTS = {"learning_rate": 0.003, "alpha": 0.0001, "hidden_size": 32, "batch_size": 32}
CLASSES = np.arange(10)


def load_data():
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)


def new_model(hparams, seed):
    return MLPClassifier(
        hidden_layer_sizes=(hparams["hidden_size"],),
        learning_rate_init=hparams["learning_rate"],
        alpha=hparams["alpha"],
        random_state=seed,
    )


def save(core_context, model, epochs):
    with core_context.checkpoint.store_path({"steps_completed": epochs}) as (path, _):
        joblib.dump({"model": model, "epochs": epochs}, path / "state.joblib")


def load(core_context, storage_id):
    with core_context.checkpoint.restore_path(storage_id) as path:
        saved = joblib.load(Path(path) / "state.joblib")
    return saved["model"], saved["epochs"]


def train_one_epoch(model, images, labels, batch_size, seed, epoch):
    # Seeded by the epoch, so that a trial that was restarted sees the batches it would have seen anyway.
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        model.partial_fit(images[batch], labels[batch], classes=CLASSES)
    return float(model.loss_)


def main(core_context):
    info = det.get_cluster_info()
    hparams = info.trial.hparams if info else DEFAULTS
    seed = info.trial.trial_seed if info else 0

    train_x, test_x, train_y, test_y = load_data()
    if info and info.latest_checkpoint:
        model, epochs = load(core_context, info.latest_checkpoint)
    else:
        model, epochs = new_model(hparams, seed), 0

    for op in core_context.searcher.operations():
        # Lengths are absolute, so this also does the right thing after a restart.
        while epochs < op.length:
            loss = train_one_epoch(model, train_x, train_y, hparams["batch_size"], seed, epochs)
            epochs += 1
            core_context.train.report_training_metrics(steps_completed=epochs, metrics={"loss": loss})
            op.report_progress(epochs)
            if epochs < op.length and core_context.preempt.should_preempt():
                save(core_context, model, epochs)
                return

        error = 1.0 - float(model.score(test_x, test_y))
        core_context.train.report_validation_metrics(steps_completed=epochs, metrics={"validation_error": error})
        # Before the report: whoever is promoted after it must find this checkpoint.
        save(core_context, model, epochs)
        op.report_completed(error)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)
    with det.core.init() as core_context:
        main(core_context)
