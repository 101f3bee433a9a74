"""The genuine SDK's calls, one after the other: client_calls.py MASTER MODEL_DIR."""

import pathlib
import sys

from determined.experimental import client

CONFIG = {
    "name": "client calls",
    "entrypoint": "python3 train.py",
    "searcher": {"name": "single", "metric": "validation_loss", "max_length": 20},
    "hyperparameters": {"x": 0.5},
    "max_restarts": 0,
}

if __name__ == "__main__":
    master, model = sys.argv[1], sys.argv[2]
    client.login(master=master, user="determined", password="")
    experiment = client.create_experiment(CONFIG, model)
    assert experiment.wait(interval=0.1) == client.ExperimentState.COMPLETED
    assert experiment.get_config()["name"] == "client calls"
    trials = experiment.get_trials()
    assert len(trials) == 1
    assert experiment.await_first_trial().id == trials[0].id
    logs = "".join(trials[0].logs())
    assert "hello from trial" in logs, logs
    best = experiment.top_checkpoint()
    assert best.uuid == experiment.top_n_checkpoints(1)[0].uuid
    path = pathlib.Path(best.download(path="downloaded"))
    assert (path / "steps").read_text() == "20"
    assert best.metadata["steps_completed"] == 20
    assert best.training.experiment_config["name"] == "client calls"
    assert best.training.hparams == {"x": 0.5}
    assert client.get_checkpoint(best.uuid).uuid == best.uuid
    assert trials[0].select_checkpoint(latest=True).uuid == best.uuid
    assert [c.uuid for c in trials[0].get_checkpoints()] == [best.uuid]
    training = list(client.stream_trials_training_metrics([trials[0].id]))
    assert len(training) == 1, training
    assert training[0].metrics["loss"] > 0.5
    paused = client.create_experiment({**CONFIG, "hyperparameters": {"x": 0.5, "sleep": 30}}, model)
    paused.await_first_trial()
    paused.pause()
    paused.activate()
    paused.cancel()
    killed = client.create_experiment({**CONFIG, "hyperparameters": {"x": 0.5, "sleep": 30}}, model)
    killed.await_first_trial().kill()
    killed.kill()
    assert killed.wait(interval=0.1) == client.ExperimentState.CANCELED
    assert client.whoami().username == "determined"
    print(f"experiment={experiment.id}")
