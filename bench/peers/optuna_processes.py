"""Trials of Optuna, two at a time, each a process; prints trials and the seconds that they took, as JSON.

Runs in the virtual environment of the peers, as ``python optuna_processes.py TRIALS``. Each trial is this script once
more, as ``python optuna_processes.py --trial FILE``: it loads the study from its journal, asks, imports scikit-learn,
and tells. The seconds are from the first process that is started to the last that has ended.
"""

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

WORKERS = 2


def run_trial(path: str) -> None:
    """One trial, in this process."""
    study = optuna.load_study(study_name="bench", storage=_storage(path), sampler=optuna.samplers.RandomSampler())
    trial = study.ask()
    import sklearn  # noqa: F401  # what the trials of this benchmark are to have loaded

    study.tell(trial, trial.suggest_float("x", 0, 1))


def run_all(trials: int) -> None:
    """All of them, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as workers:
        path = str(Path(folder) / "journal.log")
        study = optuna.create_study(study_name="bench", storage=_storage(path))
        command = [sys.executable, __file__, "--trial", path]
        begin = time.perf_counter()
        for done in [workers.submit(subprocess.run, command, check=True) for _ in range(trials)]:
            done.result()
        took = time.perf_counter() - begin
        completed = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
    if completed != trials:
        raise RuntimeError(f"{completed} of {trials} trials were completed")
    print(json.dumps({"trials": trials, "seconds": took}))


def _storage(path: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(path))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sys.argv[1] == "--trial":
        run_trial(sys.argv[2])
    else:
        run_all(int(sys.argv[1]))
