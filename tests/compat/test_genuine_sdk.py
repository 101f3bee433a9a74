"""The genuine SDK, unmodified, against our master."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster
from tests.compat.conftest import Run

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "scripts"
MODEL = HERE.parent / "model"


def test_the_client_submits_waits_reads_logs_and_downloads(master: LocalMaster, python: Run) -> None:
    done = python(SCRIPTS / "client_calls.py", master.url, str(MODEL))
    assert re.search(r"experiment=\d+", done.stdout)


def test_the_genuine_runner_finishes_a_random_search_with_its_41_events(
    master: LocalMaster, python: Run, tmp_path: Path
) -> None:
    done = python(SCRIPTS / "run_search.py", "random", str(MODEL), str(tmp_path / "searcher"))
    assert "created=5 closed=5" in done.stdout
    assert "last_event=41" in done.stdout


def test_the_genuine_runner_finishes_asha_and_trials_resume_where_they_were(
    master: LocalMaster, python: Run, tmp_path: Path
) -> None:
    done = python(SCRIPTS / "run_search.py", "asha", str(MODEL), str(tmp_path / "searcher"))
    found = re.search(r"experiment=(\d+)", done.stdout)
    assert found
    with master.session() as session:
        trials = session.get(f"/api/v1/experiments/{found[1]}/trials")["trials"]
    assert Counter(t["state"] for t in trials) == {"STATE_COMPLETED": 6}
    steps = Counter(t["totalBatchesProcessed"] for t in trials)
    assert steps[40] >= 1
    assert sum(steps.values()) == 6


@pytest.mark.parametrize("fault", ["fail", "invalid", "leave"])
def test_a_trial_that_ends_early_is_reported_once(fault: str, master: LocalMaster, python: Run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text((MODEL / "train.py").read_text().replace('hparams.get("' + fault + '")', "True"))
    (model / "config.yaml").write_text((MODEL / "config.yaml").read_text())
    done = python(SCRIPTS / "run_search.py", "random", str(model), str(tmp_path / "searcher"))
    assert "created=5 closed=5" in done.stdout
