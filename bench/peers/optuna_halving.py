"""An ask/tell loop of Optuna in memory with its successive-halving pruner; prints seconds and reports as JSON.

Runs in the virtual environment of the peers, as ``python optuna_halving.py TRIALS MAX_LENGTH DIVISOR SEED``.
"""

import json
import sys
import time

import optuna


def main() -> None:
    trials, max_length, divisor, seed = map(int, sys.argv[1:])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=divisor),
    )
    reports = 0
    started = time.process_time()
    for _ in range(trials):
        trial = study.ask()
        limit = trial.suggest_float("x", 0, 1)
        for length in range(1, max_length + 1):
            trial.report(limit + 1 / length, length)
            reports += 1
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, limit + 1 / max_length)
    print(json.dumps({"seconds": time.process_time() - started, "reports": reports}))


main()
