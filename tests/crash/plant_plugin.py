"""A pytest plugin that plants a bug for a whole run: ``pytest -p tests.crash.plant_plugin --plant NAME ...``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


def pid_as_identity() -> None:
    """A run's processes are known by the pids on record, which may be strangers' by now."""
    import json

    import psutil

    from determined.launchers import sweep

    def members(folder: Path, spare: Any) -> list[psutil.Process]:
        return [psutil.Process(json.loads((folder / "shim.json").read_text())["pid"])]

    sweep._members = members


def kill_the_main_process_only() -> None:
    """Daemons of a run are not looked for."""
    from determined.launchers import sweep

    sweep._members = lambda folder, spare: []
    _in_shims("tree.kill_descendants = lambda child, reaped: __import__('os').waitpid(-1, 0)")


def drop_bad_operations() -> None:
    """An operation that cannot be applied is left out, and the rest of its batch is applied."""
    from determined.engine import operations

    operations._check_batch = lambda engine, operations: None


def no_lock_of_the_folder() -> None:
    """Two runners may work in one folder."""
    from contextlib import contextmanager

    from determined.searcher.folder import SearcherFolder

    @contextmanager
    def held(self: Any) -> Any:
        yield

    SearcherFolder.held = held  # type: ignore[method-assign]


def no_epoch() -> None:
    """A runner that was overtaken by a copy of itself is not told from it."""
    from determined.searcher import link

    link.attach = lambda session, experiment_id: None


def trust_any_generation() -> None:
    """A saved state is taken as it is found, whole or not."""
    from determined.searcher import generation

    setattr(generation, "read_part", lambda folder, part: (folder / part.name).read_bytes())  # noqa: B010


def tell_success_on_a_full_disk() -> None:
    """A commit that failed is answered like one that worked."""
    from determined.storage import writer

    real = writer._resolve
    writer._resolve = lambda results: real([(future, None) for future, _ in results])


def no_claim() -> None:
    """A run that is started twice gets two shims, and its script runs twice."""
    from determined.launchers import shim

    shim.claim = lambda folder, child=None: True


def _in_shims(code: str) -> None:
    """Run a line in the fork server before it serves."""
    from determined.launchers import fork_server

    before = "import sys; sys.path.append(sys.argv[1]); from determined.launchers import shim, tree; "
    serve = "; from determined.launchers.fork_server import main; main(int(sys.argv[2]))"
    fork_server.BOOT = before + code + serve
    load = "; from determined.launchers.fork_server import main; main(int(sys.argv[1]), sys.argv[2:])"
    fork_server.BOOT_TEMPLATE = "import sys; from determined.launchers import shim, tree; " + code + load


UNIT, REAL = "tests/unit", "tests/integration"
PLANTS: Mapping[str, tuple[Callable[[], None], str]] = {
    plant.__name__: (plant, f"{file}::{test}")
    for plant, file, test in (
        (
            pid_as_identity,
            f"{UNIT}/launchers/test_local_adopt.py",
            "test_another_process_with_the_shims_pid_is_left_alone",
        ),
        (
            kill_the_main_process_only,
            f"{UNIT}/launchers/test_local_kill.py",
            "test_a_daemon_is_killed_with_its_run",
        ),
        (
            drop_bad_operations,
            f"{UNIT}/engine/test_engine_operations.py",
            "test_a_second_create_of_one_id_refuses_the_whole_batch",
        ),
        (
            no_lock_of_the_folder,
            f"{REAL}/test_search_runner.py",
            "test_a_second_runner_in_one_folder_is_refused_and_told_who_is_in",
        ),
        (no_epoch, f"{REAL}/test_search_runner.py", "test_a_runner_whose_folder_was_copied_is_fenced_off"),
        (
            trust_any_generation,
            f"{UNIT}/searcher/test_search_store.py",
            "test_any_flipped_bit_in_the_newest_generation_leads_to_the_one_before",
        ),
        (
            tell_success_on_a_full_disk,
            f"{REAL}/test_sql_store_faults.py",
            "test_a_full_disk_is_told_and_left_behind",
        ),
        (
            no_claim,
            f"{UNIT}/launchers/test_one_shim_per_run.py",
            "test_of_many_shims_for_one_run_exactly_one_goes_on",
        ),
    )
}
"""Each bug, and a test that must fail because of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plant", choices=sorted(PLANTS), help="bug to plant")


def pytest_configure(config: pytest.Config) -> None:
    if name := config.getoption("--plant"):
        PLANTS[name][0]()


ROOT = Path(__file__).parent.parent.parent
