"""Masters over TLS, called from their own account and from elsewhere."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from determined.common import local_ports
from determined.testing.cluster import LocalMaster, MasterFailed
from tests.e2e.support import MODEL, created, state_of, trials_of, until_logged, until_over, until_running, write_config

SELF_SIGNED = ("--tls", "self-signed")
DET = (sys.executable, "-m", "determined.cli")


class Elsewhere:
    """A client that shares nothing with the master's account."""

    def __init__(self, master: LocalMaster, folder: Path) -> None:
        self.master = master
        self.env = {"XDG_CONFIG_HOME": str(folder), "HOME": str(folder), "DET_DATA_DIR": str(folder / "data")}

    def det(self, *words: str, code: int = 0, typed: str = "", more: Mapping[str, str] | None = None) -> str:
        """Run ``det``; what it printed, as one line, so that tests do not depend on where lines end."""
        done = self.run(*DET, *words, typed=typed, **(more or {}))
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}\n{self.master.log[-3000:]}"
        return " ".join((done.stdout + done.stderr).split())

    def run(self, *command: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return self.master.run(command, typed, **{**self.env, **more})

    def log_in(self) -> None:
        password = (self.master.data / "password").read_text()
        assert "Logged in" in self.det("user", "login", "determined", typed=password)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path_factory.mktemp("secure"), arguments=SELF_SIGNED) as running:
        yield running


@pytest.fixture
def elsewhere(secure: LocalMaster, tmp_path: Path) -> Elsewhere:
    return Elsewhere(secure, tmp_path / "elsewhere")


def printed_fingerprint(master: LocalMaster) -> str:
    """What whoever started the master reads."""
    return str(re.findall(r"SHA-256 fingerprint (\S+)", master.log)[-1])


def certificate_of(master: LocalMaster) -> str:
    return str(master.data / "tls" / "certificate.pem")


def test_the_own_account_and_the_trials_trust_the_master_without_any_setting(
    secure: LocalMaster, tmp_path: Path
) -> None:
    assert secure.url.startswith("https://")
    done = secure.det("e", "create", "-f", write_config(tmp_path), str(MODEL))
    assert done.returncode == 0, done.stderr
    assert "hello from trial" in done.stdout
    with secure.session() as session:
        assert state_of(session, created(done.stdout)) == "STATE_COMPLETED"


def test_from_elsewhere_nothing_is_told_to_a_master_until_its_fingerprint_was_compared(elsewhere: Elsewhere) -> None:
    master = elsewhere.master
    refused = elsewhere.det("user", "login", "determined", code=1, typed="secret\n")
    assert "nobody vouches for" in refused
    assert "master trust" in refused
    fingerprint = printed_fingerprint(master)
    unasked = elsewhere.det("master", "trust", code=1)
    assert fingerprint in unasked
    assert "--fingerprint" in unasked
    other = fingerprint[:-1] + ("0" if fingerprint[-1] != "0" else "1")
    assert "another certificate" in elsewhere.det("master", "trust", "--fingerprint", other, code=1)
    assert "nobody vouches for" in elsewhere.det("e", "list", code=1)
    assert "trusted" in elsewhere.det("master", "trust", "--fingerprint", fingerprint)
    elsewhere.log_in()
    assert "determined" in elsewhere.det("user", "whoami")
    assert "ID" in elsewhere.det("e", "list")
    assert "Forgot" in elsewhere.det("master", "trust", "--forget")
    assert "nobody vouches for" in elsewhere.det("e", "list", code=1)


def test_a_whole_search_runs_from_elsewhere(
    elsewhere: Elsewhere, tmp_path: Path, search_command: Callable[..., list[str]]
) -> None:
    elsewhere.det("master", "trust", "--fingerprint", printed_fingerprint(elsewhere.master))
    elsewhere.log_in()
    done = elsewhere.run(*search_command("asha", MODEL, tmp_path / "searcher"))
    assert done.returncode == 0, done.stderr
    assert "created=6 closed=6" in done.stdout


def test_a_person_is_asked_before_the_password_and_the_answer_is_kept(elsewhere: Elsewhere) -> None:
    def talk(*answers: tuple[str, str]) -> str:
        """Answer each question on a terminal; all that was shown."""
        own, its = pty.openpty()
        env = {**elsewhere.master.env, **elsewhere.env}
        command = [*DET, "user", "login", "determined"]
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env, start_new_session=True)
        os.close(its)
        shown = ""
        left = list(answers)
        # Linux reports the end of the last process on a terminal as an error.
        with contextlib.suppress(OSError):
            while select.select([own], [], [], 60)[0]:
                block = os.read(own, 4096).decode()
                shown += block
                if left and left[0][0] in shown:
                    os.write(own, left.pop(0)[1].encode())
                    shown += "|"
        os.close(own)
        assert not left, shown
        return f"{shown} -> {process.wait()}"

    password = (elsewhere.master.data / "password").read_text()
    refused = talk(("Trust it from now on? [y/n]", "n\n"))
    assert printed_fingerprint(elsewhere.master) in refused
    assert "Password" not in refused
    assert refused.endswith("-> 1")
    done = talk(("Trust it from now on? [y/n]", "y\n"), ("Password for user", password))
    assert done.endswith("-> 0")
    again = talk(("Password for user", password))
    assert "Trust it" not in again
    assert again.endswith("-> 0")


def test_a_changed_certificate_is_refused_until_it_is_trusted_anew(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "master", arguments=SELF_SIGNED) as master:
        client = Elsewhere(master, tmp_path / "elsewhere")
        before = printed_fingerprint(master)
        client.det("master", "trust", "--fingerprint", before)
        client.log_in()
        master.stop()
        master.start()
        assert printed_fingerprint(master) == before
        client.det("user", "whoami")
        master.stop()
        (master.data / "tls" / "self-signed.pem").unlink()
        master.start()
        now = printed_fingerprint(master)
        assert now != before
        # The account that starts the master is told.
        assert master.det("user", "whoami").returncode == 0
        refused = client.det("user", "whoami", code=1)
        assert "has CHANGED" in refused
        assert before in refused
        assert now in refused
        assert before in client.det("master", "trust", "--fingerprint", now)
        client.det("user", "whoami")


def test_a_certificate_file_a_name_and_noverify_are_as_in_determined(elsewhere: Elsewhere, tmp_path: Path) -> None:
    file = certificate_of(elsewhere.master)
    password = (elsewhere.master.data / "password").read_text().strip()
    login = {"DET_USER": "determined", "DET_PASS": password}
    elsewhere.det("user", "whoami", more={"DET_MASTER_CERT_FILE": file, **login})
    elsewhere.det("user", "whoami", more={"DET_MASTER_CERT_FILE": "noverify", **login})
    named = {"DET_MASTER_CERT_FILE": file, "DET_MASTER_CERT_NAME": "localhost", **login}
    elsewhere.det("user", "whoami", more=named)
    named["DET_MASTER_CERT_NAME"] = "elsewhere.test"
    assert "for another name" in elsewhere.det("user", "whoami", code=1, more=named)
    wrong = tmp_path / "wrong.pem"
    trustme.CA().cert_pem.write_to_path(wrong)
    assert "nobody vouches for" in elsewhere.det(
        "user", "whoami", code=1, more={"DET_MASTER_CERT_FILE": str(wrong), **login}
    )
    script = (
        "import sys; from determined.experimental import client;"
        "client.login(sys.argv[1], 'determined', sys.argv[2], cert_path=sys.argv[3]); print(client.whoami().username)"
    )
    done = elsewhere.run(sys.executable, "-c", script, elsewhere.master.url, password, file)
    assert done.stdout == "determined\n", done.stderr


def test_http_to_a_port_of_tls_and_tls_to_a_port_of_http_are_told(elsewhere: Elsewhere, master: LocalMaster) -> None:
    plain = elsewhere.master.url.replace("https:", "http:")
    told = elsewhere.det("-m", plain, "user", "whoami", code=1)
    assert f"speaks TLS and took no plain HTTP; write {elsewhere.master.url}" in told
    told = elsewhere.det("-m", master.url.replace("http:", "https:"), "user", "whoami", code=1)
    assert f"speaks no TLS; if it is a master, write {master.url}" in told


def status_of(master: LocalMaster, host: str) -> int:
    """What a request that is addressed to a host is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", master.port)
    if master.cert is not None:
        context = master.cert.ssl_context()
        connection = http.client.HTTPSConnection("127.0.0.1", master.port, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/health", headers={"Host": host})
        return connection.getresponse().status


def test_beyond_loopback_there_is_tls_or_somebody_who_means_it(tmp_path: Path) -> None:
    everywhere = ("--host", "0.0.0.0")
    with pytest.raises(MasterFailed, match="without TLS, passwords, tokens and code would cross the network"):
        LocalMaster(tmp_path, arguments=everywhere).start()
    assert not (tmp_path / "data").exists()
    with LocalMaster(tmp_path, arguments=[*everywhere, "--insecure-http"]) as master:
        assert status_of(master, "10.0.0.1") == 200
        assert status_of(master, "gpu-box.test") == 403
    names = ("--allowed-host", "gpu-box.test", "--allowed-host", "other.test")
    with LocalMaster(tmp_path, arguments=[*everywhere, *SELF_SIGNED, *names]) as master:
        assert [status_of(master, f"{name}:1") for name in ("gpu-box.test", "OTHER.test", "evil.test")] == [
            200,
            200,
            403,
        ]
        file = {"DET_MASTER_CERT_FILE": certificate_of(master), "DET_MASTER_CERT_NAME": "gpu-box.test"}
        assert Elsewhere(master, tmp_path / "elsewhere").det("master", "info", more=file)


def test_the_local_master_can_be_told_to_serve_tls(tmp_path: Path) -> None:
    """``det deploy local`` finds and stops what it has started."""
    stand = LocalMaster(tmp_path)
    port = str(local_ports.any_free("127.0.0.1"))
    up = stand.det("deploy", "local", "cluster-up", "--tls", "self-signed", "--port", port)
    try:
        assert up.returncode == 0, up.stderr
        assert f"at https://127.0.0.1:{port}" in up.stdout
        assert re.search(r"certificate: SHA-256 ([0-9A-F]{2}:){31}", up.stdout)
        assert "already" in stand.det("deploy", "local", "cluster-up").stdout
        assert stand.det("user", "whoami").returncode == 0
    finally:
        assert stand.det("deploy", "local", "cluster-down").returncode == 0


def test_a_trial_outlives_a_master_whose_certificate_is_renewed(tmp_path: Path) -> None:
    """The certificate of an operator, for a name that is not the one that trials use."""
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def renew() -> None:
        issued = authority.issue_cert("master.test")
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)

    renew()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with LocalMaster(tmp_path / "master", arguments=["--tls-cert", str(cert), "--tls-key", str(key)]) as master:
        done = master.det("e", "create", write_config(tmp_path, gate=str(gate)), str(MODEL))
        experiment = created(done.stdout)
        with master.session() as session:
            until_running(session, experiment)
            until_logged(session, 1, "hello from trial")
        master.stop()
        renew()
        master.start()
        with gate.open("w"):
            pass
        with master.session() as session:
            assert until_over(session, experiment) == "STATE_COMPLETED"
            [trial] = trials_of(session, experiment)
            assert trial["restarts"] == 0
            log = [line["result"]["message"] for line in session.stream("/api/v1/trials/1/logs")]
            assert sum("hello from trial" in line for line in log) == 1
