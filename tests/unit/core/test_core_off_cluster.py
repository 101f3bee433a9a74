"""The Core API in a script that runs off the cluster."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from determined import InvalidHP, core
from determined.core._searcher import configured_unit
from determined.errors import DeterminedError


def run(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    base = {k: v for k, v in os.environ.items() if not k.startswith("DET_")}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**base, "PYTHONPATH": os.pathsep.join(sys.path), **env},
    )


def test_a_script_sees_one_operation_and_its_reports_go_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lengths = []
    with caplog.at_level(logging.INFO, "determined.core"), core.init(checkpoint_storage=tmp_path) as context:
        context.train.set_status("training")
        for op in context.searcher.operations():
            lengths.append(op.length)
            op.report_progress(0.5)
            context.train.report_training_metrics(1, {"loss": 0.5}, [{"loss": 0.6}])
            context.train.report_validation_metrics(1, {"val": 0.25})
            assert context.preempt.should_preempt() is False
            op.report_completed(0.25)
        assert context.searcher.get_configured_units() is core.Unit.EPOCHS
        assert context.train.get_experiment_best_validation() is None
        context.train.upload_tensorboard_files()
        context.train.report_early_exit(core.EarlyExitReason.USER_REQUESTED_STOP)
    assert lengths == [1]
    for text in ("training", "0.5", "val", "0.25"):
        assert text in caplog.text


def test_checkpoints_go_to_the_given_folder_and_come_back(tmp_path: Path) -> None:
    with core.init(checkpoint_storage=str(tmp_path / "ckpts")) as context:
        with context.checkpoint.store_path({"anything": 1}) as (path, stored):
            (path / "model").write_text("m")
        (tmp_path / "dir").mkdir()
        (tmp_path / "dir" / "model").write_text("u")
        uploaded = context.checkpoint.upload(tmp_path / "dir", shard=True)
        with context.checkpoint.restore_path(stored) as path:
            assert (path / "model").read_text() == "m"
        context.checkpoint.download(uploaded, tmp_path / "back", core.DownloadMode.NoSharedDownload)
        assert (tmp_path / "back" / "model").read_text() == "u"
        context.checkpoint.delete(stored)
        with pytest.raises(LookupError), context.checkpoint.restore_path(stored):
            pytest.fail("opened")
        with pytest.raises(NotImplementedError, match=r"metadata\.json"):
            context.checkpoint.get_metadata(uploaded)


def test_without_a_storage_checkpoints_go_to_the_users_data_folder(tmp_path: Path) -> None:
    script = """
from determined import core
with core.init() as context, context.checkpoint.store_path() as (path, storage_id):
    (path / "x").write_text("x")
print(storage_id)
"""
    done = run(script, XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [p.parent.name for p in tmp_path.rglob("x")] == [done.stdout.strip()]
    assert next(tmp_path.rglob("x")).parent.parent.name == "determined"


def test_a_block_that_raises_stores_nothing(tmp_path: Path) -> None:
    with core.init(checkpoint_storage=tmp_path) as context:
        with pytest.raises(FileNotFoundError), context.checkpoint.store_path() as (path, _):
            (path / "x").write_text((path / "missing").read_text())
        with pytest.raises(TypeError, match="metadata"), context.checkpoint.store_path({"a": object()}):
            pass
        with pytest.raises(RuntimeError, match="ckpt_dir"):
            context.checkpoint.upload(None)
    assert [p for p in tmp_path.rglob("*") if p.name != ".partial"] == []


def test_an_operation_must_be_completed_once_and_before_the_next() -> None:
    context = core.DummySearcherContext(core.DummyDistributedContext(), length=7)
    operations = context.operations()
    op = next(operations)
    with pytest.raises(RuntimeError, match="uncompleted"):
        next(operations)
    op.report_completed({"any": ["json", 1.0]})
    op.report_progress(7)
    with pytest.raises(RuntimeError, match="after the operation"):
        op.report_progress(6)
    with pytest.raises(RuntimeError, match="twice"):
        op.report_completed(1)


def test_a_bad_searcher_metric_can_be_corrected() -> None:
    op = core.DummySearcherOperation(1, is_chief=True)
    with pytest.raises(TypeError, match="searcher metric"):
        op.report_completed(object())
    with pytest.raises(ValueError, match="None"):
        op.report_completed(None)
    op.report_completed(1.0)


def test_workers_are_told_to_leave_reports_to_the_chief() -> None:
    worker = core.DummyDistributedContext()
    worker.rank = 1
    op = core.DummySearcherOperation(1, is_chief=False)
    searcher, preempt = core.DummySearcherContext(worker), core.DummyPreemptContext(worker, core.PreemptMode.ChiefOnly)
    preempt.start()
    calls: list[Any] = [
        lambda: op.report_progress(1),
        lambda: op.report_completed(1),
        lambda: next(searcher.operations(core.SearcherMode.ChiefOnly)),
        preempt.should_preempt,
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"rank 0|worker"):
            call()


def test_preemption_needs_a_start_and_only_one() -> None:
    preempt = core.DummyPreemptContext(core.DummyDistributedContext())
    with pytest.raises(RuntimeError, match="before start"):
        preempt.should_preempt()
    with preempt, pytest.raises(RuntimeError, match="twice"):
        preempt.start()


def test_a_context_of_one_process_gathers_and_broadcasts_to_itself() -> None:
    alone = core.DistributedContext(rank=0, size=1, local_rank=0, local_size=1, cross_rank=0, cross_size=1)
    assert alone.gather(1) == alone.gather_local(1) == alone.allgather(1) == alone.allgather_local(1) == [1]
    assert alone.broadcast(2) == alone.broadcast_local(2) == 2
    assert (alone.get_rank(), alone.get_local_rank(), alone.get_size(), alone.get_num_agents()) == (0, 0, 1, 1)
    alone.close()
    alone.close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rank": 3}, "rank is 3 of 1"),
        ({"size": 2}, "do not fit together"),
        ({"size": 2, "cross_size": 2}, "chief_ip was not given"),
        ({"size": 2, "local_size": 2, "rank": 1}, "rank is 1 and local_rank 0"),
        ({"size": 4, "local_size": 2, "local_rank": 1, "cross_size": 2}, "rank 0 has local_rank 1"),
    ],
)
def test_ranks_that_do_not_fit_together_are_refused_with_a_sentence(changed: dict[str, int], told: str) -> None:
    ranks = {"rank": 0, "size": 1, "local_rank": 0, "local_size": 1, "cross_rank": 0, "cross_size": 1, **changed}
    with pytest.raises(ValueError, match=told) as caught:
        core.DistributedContext(**ranks)  # type: ignore[arg-type]
    assert isinstance(caught.value, DeterminedError)


def test_a_launcher_that_set_no_ranks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="RANK"):
        core.DistributedContext.from_torch_distributed()
    for name in names:
        monkeypatch.setenv(name, "1" if name.endswith("SIZE") else "0")
    assert core.DistributedContext.from_torch_distributed().size == 1


def test_bad_hyperparameters_end_the_process_with_code_0() -> None:
    with pytest.raises(SystemExit) as caught, core.init():
        raise InvalidHP("too large")
    assert caught.value.code == 0


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no SIGUSR1 here")
def test_sigusr1_prints_the_stack_and_lets_the_script_go_on() -> None:
    script = """
import os, signal
from determined import core
def where_it_hangs():
    os.kill(os.getpid(), signal.SIGUSR1)
with core.init():
    where_it_hangs()
print("went on")
"""
    done = run(script)
    assert (done.returncode, done.stdout.strip()) == (0, "went on")
    assert "where_it_hangs" in done.stderr


def test_a_handler_of_the_script_for_sigusr1_still_runs() -> None:
    script = """
import os, signal
from determined import core
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
with core.init():
    os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert run(script).stdout.strip() == "handled"


@pytest.mark.parametrize(
    ("searcher", "unit"),
    [
        ({"unit": "batches"}, core.Unit.BATCHES),
        ({"max_length": {"epochs": 3}}, core.Unit.EPOCHS),
        ({"unit": None, "max_length": {"records": 3}}, core.Unit.RECORDS),
        ({"max_length": 3}, None),
        ({"max_length": {"parsecs": 3}}, None),
        (None, None),
    ],
)
def test_the_unit_comes_from_the_configuration(searcher: Any, unit: core.Unit | None) -> None:
    assert configured_unit({"searcher": searcher}) is unit
