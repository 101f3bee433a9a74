"""A trial that hands its identity to the load generator, and lives until it is killed."""

import json
import os
import signal
from pathlib import Path

import determined as det

info = det.get_cluster_info()
assert info is not None, "this script runs as a trial"
target = Path(info.trial.hparams["out"])
run = {"trial": info.trial.trial_id, "run": info.trial._trial_run_id, "allocation": info.allocation_id}
text = json.dumps({**run, "token": info.session_token})
temporary = target / f".{os.getpid()}"
temporary.write_text(text)
temporary.rename(target / f"{info.trial.trial_id}.json")
print("holding", flush=True)
signal.pause()
