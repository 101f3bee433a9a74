"""The same training in PyTorch: ``python train_torch.py`` by itself, or as a trial with ``config_torch.yaml``."""

import logging
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import determined as det

DEFAULTS = {"learning_rate": 0.003, "alpha": 0.0001, "hidden_size": 32, "batch_size": 32}


def load_data(device):
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    kinds = (torch.float32, torch.float32, torch.int64, torch.int64)
    return [torch.as_tensor(part, dtype=kind, device=device) for part, kind in zip(parts, kinds, strict=True)]


def new_model(hparams, device):
    model = torch.nn.Sequential(
        torch.nn.Linear(64, hparams["hidden_size"]),
        torch.nn.ReLU(),
        torch.nn.Linear(hparams["hidden_size"], 10),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=hparams["learning_rate"], weight_decay=hparams["alpha"])
    return model, optimizer


def save(core_context, model, optimizer, epochs):
    with core_context.checkpoint.store_path({"steps_completed": epochs}) as (path, _):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}
        torch.save(state, path / "state.pt")


def load(core_context, storage_id, model, optimizer, device):
    with core_context.checkpoint.restore_path(storage_id) as path:
        state = torch.load(Path(path) / "state.pt", map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["epochs"]


def train_one_epoch(model, optimizer, images, labels, batch_size, seed, epoch):
    model.train()
    losses = []
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    for start in range(0, len(order), batch_size):
        batch = torch.as_tensor(order[start : start + batch_size], device=images.device)
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def validation_error(model, images, labels):
    model.eval()
    return float((model(images).argmax(dim=1) != labels).float().mean())


def main(core_context):
    info = det.get_cluster_info()
    hparams = info.trial.hparams if info else DEFAULTS
    seed = info.trial.trial_seed if info else 0
    device = "cuda" if torch.cuda.is_available() else "cpu"

    torch.manual_seed(seed)
    train_x, test_x, train_y, test_y = load_data(device)
    model, optimizer = new_model(hparams, device)
    epochs = 0
    if info and info.latest_checkpoint:
        epochs = load(core_context, info.latest_checkpoint, model, optimizer, device)

    for op in core_context.searcher.operations():
        while epochs < op.length:
            loss = train_one_epoch(model, optimizer, train_x, train_y, hparams["batch_size"], seed, epochs)
            epochs += 1
            core_context.train.report_training_metrics(steps_completed=epochs, metrics={"loss": loss})
            op.report_progress(epochs)
            if epochs < op.length and core_context.preempt.should_preempt():
                save(core_context, model, optimizer, epochs)
                return

        error = validation_error(model, test_x, test_y)
        core_context.train.report_validation_metrics(steps_completed=epochs, metrics={"validation_error": error})
        save(core_context, model, optimizer, epochs)
        op.report_completed(error)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)
    with det.core.init() as core_context:
        main(core_context)
