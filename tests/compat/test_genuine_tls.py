"""The genuine client, unmodified, against a master over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster
from tests.compat.conftest import GENUINE, checked

MODEL = Path(__file__).parent.parent / "model"
SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    folder = tmp_path_factory.mktemp("compat-tls")
    with LocalMaster(folder, open_mode=True, arguments=["--tls", "self-signed"]) as running:
        yield running


def test_the_genuine_runner_searches_with_the_certificate_in_a_file(
    secure: LocalMaster, fresh_config: dict[str, str], tmp_path: Path
) -> None:
    env = {**fresh_config, "DET_MASTER_CERT_FILE": str(secure.data / "tls" / "certificate.pem")}
    script = [GENUINE, "-W", "ignore", str(SCRIPTS / "run_search.py"), "random", str(MODEL), str(tmp_path / "searcher")]
    assert "created=5 closed=5" in checked(secure, script, env).stdout


def test_the_genuine_command_shares_what_was_trusted(secure: LocalMaster, fresh_config: dict[str, str]) -> None:
    """Both clients keep certificates in one file."""
    det = [GENUINE, "-W", "ignore", "-m", "determined.cli"]
    checked(secure, [*det, "user", "whoami"], {"XDG_CONFIG_HOME": secure.env["XDG_CONFIG_HOME"]})
    checked(secure, [*det, "user", "whoami"], fresh_config, code=1, typed="n\n")
