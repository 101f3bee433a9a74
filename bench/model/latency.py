"""A trial that measures how long it waits for its next operation; one line of JSON per wait."""

import json
import random
import time
from pathlib import Path

import determined as det


def main() -> None:
    info = det.get_cluster_info()
    assert info is not None, "this script runs as a trial"
    rng = random.Random(info.trial.trial_id)
    waits = []
    with det.core.init() as context:
        completed = None
        for op in context.searcher.operations():
            if completed is not None:
                waits.append(time.perf_counter() - completed)
            time.sleep(rng.uniform(0.5, 1.5) * info.trial.hparams["sleep"])
            completed = time.perf_counter()
            op.report_completed(rng.random())
    out = Path(info.trial.hparams["out"]) / f"{info.trial.trial_id}.json"
    out.write_text(json.dumps(waits))


if __name__ == "__main__":
    main()
