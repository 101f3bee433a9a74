"""A ``det`` that dies at any step: the same command, given again, works, and nothing is half there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from determined.testing.cluster import LocalMaster
from tests.crash.stage import ROOT, SHARE
from tests.e2e.support import MODEL, until_over, write_config

Det = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def det() -> Iterator[Det]:
    command = [sys.executable, "-m", "tests.crash.cli_zygote"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as zygote:

        def run(
            argv: Sequence[str],
            env: Mapping[str, str],
            cwd: Path,
            death: tuple[str, int] | None = None,
            typed: str = "",
        ) -> dict[str, Any]:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            order = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "death": death, "typed": typed}
            zygote.stdin.write(json.dumps(order) + "\n")
            zygote.stdin.flush()
            answer: dict[str, Any] = json.loads(zygote.stdout.readline())
            return answer

        yield run
        assert zygote.stdin is not None
        zygote.stdin.close()


def test_a_submission_that_dies_is_there_as_a_whole_or_not_at_all(det: Det, tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master, master.session() as session:
        command = ["e", "create", write_config(tmp_path), str(MODEL)]
        steps = det(command, master.env, tmp_path)["steps"]
        for death in steps:
            before = session.get("/api/v1/experiments")["pagination"]["total"]
            assert det(command, master.env, tmp_path, tuple(death))["code"] == -9, death
            assert session.get("/api/v1/experiments")["pagination"]["total"] - before in (0, 1), death
            again = det(command, master.env, tmp_path)
            assert again["code"] == 0, (death, again["out"])
        for experiment in session.get("/api/v1/experiments", params={"limit": 1000})["experiments"]:
            assert until_over(session, experiment["id"]) == "STATE_COMPLETED"
        print(f"{len(steps)} single deaths of det e create")


def test_a_login_that_dies_leaves_the_old_or_the_new_one(det: Det, tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        password = (master.data / "password").read_text().strip()
        store = tmp_path / "m" / "config" / "determined" / "auth.json"
        login = ["user", "login", "admin"]
        done = det(login, master.env, tmp_path, typed=password)
        assert done["code"] == 0, done["out"]
        steps = done["steps"]
        assert ["client.file.rename.before", 1] in steps
        for death in steps:
            assert det(login, master.env, tmp_path, tuple(death), typed=password)["code"] == -9, death
            json.loads(store.read_text())
            assert det(["e", "list"], master.env, tmp_path)["code"] == 0, death
        print(f"{len(steps)} single deaths of a login")


def test_starting_the_local_master_may_die_anywhere(det: Det, tmp_path: Path) -> None:
    def environment(number: int) -> dict[str, str]:
        home = tmp_path / str(number)
        home.mkdir()
        return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "DET_DATA_DIR": str(home / "data")}

    def stop(env: Mapping[str, str]) -> None:
        assert det(["deploy", "local", "cluster-down"], env, tmp_path)["code"] == 0
        assert masters_of(env) == []

    up, env = ["deploy", "local", "cluster-up"], environment(0)
    begun = det(up, env, tmp_path)
    assert begun["code"] == 0, begun["out"]
    stop(env)
    deaths = begun["steps"][:: max(1, SHARE // 8)]
    for number, death in enumerate(deaths, 1):
        env = environment(number)
        assert det(up, env, tmp_path, tuple(death))["code"] == -9, death
        again = det(up, env, tmp_path)
        assert again["code"] == 0, (death, again["out"])
        assert len(masters_of(env)) == 1, death
        assert det(["e", "list"], env, tmp_path)["code"] == 0, death
        stop(env)
    print(f"{len(deaths)} single deaths of det deploy local cluster-up")


def masters_of(env: Mapping[str, str]) -> list[psutil.Process]:
    """Masters on a data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "determined.master" in process.cmdline() and env["DET_DATA_DIR"] in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found
