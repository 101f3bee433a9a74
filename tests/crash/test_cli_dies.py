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

from determined.master.tls import TlsFiles, read
from determined.storage.checking import check
from determined.storage.moving import copy
from determined.storage.tables import metadata
from determined.testing.cluster import LocalMaster
from determined.testing.postgres import drop_database, empty_database, new_database
from tests.crash.stage import ROOT, SHARE
from tests.e2e.support import MODEL, until_over, write_config
from tests.integration.test_det_db import filled

Det = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.timeout(3600)
SAMPLE = max(1, SHARE // 4)


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


def rows_of(url: str) -> dict[str, int]:
    """How many rows each table has; nothing for what passes for no database of a master."""
    found = check(url)
    assert bool(found.problems) == (found.schema is None), found.problems
    return found.rows


@pytest.mark.parametrize("kinds", [("sqlite", "postgres"), ("postgres", "sqlite")], ids=" to ".join)
def test_a_copy_of_a_database_that_dies_is_whole_or_nothing_and_can_be_made_again(
    det: Det, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    first = filled(f"sqlite:///{tmp_path}/first.db")
    there = new_database()
    try:
        if kinds[0] == "postgres":
            copy(first, there)
        source = first if kinds[0] == "sqlite" else there

        def command(target: str, *more: str) -> list[str]:
            return ["db", "copy", "--json", "--from", source, "--to", target, *more]

        def fresh(number: int) -> str:
            if kinds[1] == "sqlite":
                return f"sqlite:///{tmp_path}/{number}.db"
            empty_database(there)
            return there

        whole = det(command(fresh(0)), {}, tmp_path)
        assert whole["code"] == 0, whole["out"]
        names = [name for name, _ in whole["steps"]]
        assert names.count("db.copy.table.after") == len(metadata.sorted_tables)
        # All that are not of tables, and a sample of those.
        deaths = [
            death for death in whole["steps"] if not death[0].startswith("db.copy.table") or not death[1] % SAMPLE
        ]
        expected = rows_of(source)
        for number, death in enumerate(deaths, 1):
            target = fresh(number)
            died = det(command(target), {}, tmp_path, tuple(death))
            assert died["code"] == -9, (death, died["out"])
            was_made = names.index("db.copy.commit.after") <= whole["steps"].index(death)
            exists = kinds[1] == "postgres" or names.index("store.create.before") < whole["steps"].index(death)
            if exists:
                assert rows_of(target) == (expected if was_made else {}), death
            again = det(command(target, *["--overwrite"] * was_made), {}, tmp_path)
            assert (again["code"], again["out"]) == (0, whole["out"]), death
            assert rows_of(target) == expected
        print(f"{len(deaths)} single deaths of det db copy from {kinds[0]} to {kinds[1]}")
    finally:
        drop_database(there)


def test_bringing_a_database_up_to_date_may_die_anywhere(det: Det, tmp_path: Path) -> None:
    def command(number: int) -> list[str]:
        return ["db", "migrate", f"sqlite:///{tmp_path}/{number}.db"]

    (tmp_path / "0.db").touch()
    steps = det(command(0), {}, tmp_path)["steps"]
    assert ["db.migrate.before", 1] in steps
    for number, death in enumerate(steps, 1):
        (tmp_path / f"{number}.db").touch()
        assert det(command(number), {}, tmp_path, tuple(death))["code"] == -9, death
        assert det(command(number), {}, tmp_path)["code"] == 0, death
        assert check(command(number)[-1]).problems == []


def test_making_a_certificate_may_die_anywhere(det: Det, tmp_path: Path) -> None:
    steps = det(["certificate", str(tmp_path / "0")], {}, tmp_path)["steps"]
    assert ["master.certificate.write.half", 2] in steps
    for number, death in enumerate(steps, 1):
        folder = tmp_path / str(number)
        make = ["certificate", str(folder)]
        assert det(make, {}, tmp_path, tuple(death))["code"] == -9, death
        own = folder / "tls" / "self-signed.pem"
        before = own.read_bytes() if own.exists() else None
        again = det(make, {}, tmp_path)
        assert again["code"] == 0, (death, again["out"])
        # Clients that had been told of one trust it for good.
        assert before in (None, own.read_bytes()), death
        published = read(TlsFiles(own))
        assert (folder / "tls" / "certificate.pem").read_text() == published.pem
        assert again["out"].strip() == published.fingerprint
        assert {oct(path.stat().st_mode & 0o077) for path in own.parent.glob("*self-signed*")} == {"0o0"}, death
    print(f"{len(steps)} single deaths of making a certificate")


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
