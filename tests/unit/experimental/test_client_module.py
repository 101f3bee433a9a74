from __future__ import annotations

import base64
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import determined.experimental as experimental
from determined.errors import InvalidConfig, InvalidContext, InvalidInput
from determined.experimental import client
from determined.experimental.create import dump_yaml
from determined.testing.http_peer import HttpPeer


@pytest.fixture
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpPeer]:
    for name in ("DET_USER", "DET_PASS", "DET_USER_TOKEN", "DET_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path / "config"))
    monkeypatch.setattr(client, "_determined", None)
    with HttpPeer() as peer:
        monkeypatch.setenv("DET_MASTER", peer.url)
        peer.on("POST", "/api/v1/auth/login", {"token": "T", "user": {}})
        peer.on("GET", "/api/v1/me", {"user": {"id": 1, "username": "determined", "admin": False, "active": True}})
        peer.on("POST", "/api/v1/experiments", {"experiment": {"id": 12}, "config": {}, "warnings": []})
        yield peer
        made = client._determined
        if made is not None:
            made._session.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "train.py").write_text("print(1)")
    return tmp_path / "model"


CONFIG = "# kept as it is\nname: n\nsearcher: {name: custom, metric: loss}\nentrypoint: python3 train.py\n"


def test_an_experiment_is_created_from_a_file(master: HttpPeer, model: Path) -> None:
    (model / "config.yaml").write_text(CONFIG)
    (model.parent / "extra.txt").touch()
    experiment = client.create_experiment(str(model / "config.yaml"), str(model), [model.parent / "extra.txt"])
    assert experiment.id == 12
    body = master.requests[-1].json
    assert body["config"] == CONFIG
    assert body["activate"] is True
    assert uuid.UUID(body["clientKey"]).version == 4
    assert [f["path"] for f in body["modelDefinition"]] == ["config.yaml", "train.py", "extra.txt"]
    assert base64.b64decode(body["modelDefinition"][1]["content"]) == b"print(1)"


def test_an_experiment_is_created_from_a_dictionary(master: HttpPeer, model: Path) -> None:
    shared = {"type": "int", "minval": 1, "maxval": 9}
    config = {"name": "n", "hyperparameters": {"a": shared, "b": shared}, "lr": 1e-5}
    client.create_experiment(config, model, client_key="key-1")
    body = master.requests[-1].json
    assert yaml.safe_load(body["config"]) == config
    assert body["clientKey"] == "key-1"


def test_what_cannot_be_read_is_refused_before_anything_is_sent(master: HttpPeer, model: Path) -> None:
    client.whoami()
    sent = len(master.requests)
    with pytest.raises(InvalidConfig, match="cannot be read"):
        client.create_experiment(str(model / "missing.yaml"), model)
    (model / "bad.yaml").write_text("a: [1,\n")
    with pytest.raises(InvalidConfig):
        client.create_experiment(model / "bad.yaml", model)
    with pytest.raises(InvalidInput, match="give a path or a dictionary"):
        client.create_experiment(5, model)  # type: ignore[arg-type]
    with pytest.raises(InvalidContext):
        client.create_experiment({"name": "n"}, model / "nowhere")
    assert len(master.requests) == sent


def test_warnings_of_the_master_are_logged(master: HttpPeer, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    warnings = ["LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED", "SOMETHING_NEW"]
    master.on("POST", "/api/v1/experiments", {"experiment": {"id": 1}, "warnings": warnings})
    client.create_experiment({"name": "n"}, model)
    assert "more slots than there are now" in caplog.text
    assert "SOMETHING_NEW" in caplog.text


def test_login_comes_first_and_only_once(master: HttpPeer) -> None:
    client.login(master.url, "determined")
    with pytest.raises(ValueError, match="must come once"):
        client.login(master.url)


def test_login_after_another_call_is_refused(master: HttpPeer) -> None:
    assert client.whoami().username == "determined"
    with pytest.raises(ValueError, match="must come once"):
        client.login()


def test_the_singleton_and_its_session_can_be_reached(master: HttpPeer) -> None:
    assert client.get_session_username() == "determined"
    assert client._determined is not None
    assert client._determined._session.master_url == master.url
    assert client.get_experiment(3).id == 3
    assert client.get_trial(4).id == 4


def test_every_promised_name_is_there() -> None:
    for name in client.__all__:
        assert hasattr(client, name)
    for name in experimental.__all__:
        assert getattr(experimental, name) is not None
    assert client.Trial is client.TrialReference
    assert client.Experiment is client.ExperimentReference


def test_yaml_keeps_the_order_and_repeats_rather_than_refers() -> None:
    inner = {"z": 1, "a": [1, 2]}
    assert dump_yaml({"b": inner, "a": inner}) == "b:\n  z: 1\n  a:\n  - 1\n  - 2\na:\n  z: 1\n  a:\n  - 1\n  - 2\n"


def test_importing_the_client_does_not_load_heavy_libraries() -> None:
    code = (
        "import sys, determined.experimental.client; print({'rich', 'urllib3', 'fsspec', 'psutil'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
