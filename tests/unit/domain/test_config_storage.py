from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from determined.domain.config import S3, Azure, CheckpointStorage, ConfigDefaults, Gcs, SharedFs, parse_config
from determined.errors import InvalidConfig

LOCAL = {"type": "shared_fs", "host_path": "/default", "storage_path": "sub", "save_trial_latest": 7}
CLOUD = {"type": "s3", "bucket": "mine", "access_key": "AK", "secret_key": "SK", "save_trial_best": 2}


def parse(section: str, default: Mapping[str, Any] = LOCAL) -> CheckpointStorage:
    config = {
        "entrypoint": "x",
        "searcher": {"name": "custom", "metric": "loss"},
        "checkpoint_storage": yaml.safe_load(section),
    }
    return parse_config(config, ConfigDefaults(default, "generated", 1)).checkpoint_storage


def problems(section: str, default: Mapping[str, Any] = LOCAL) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        parse(section, default)
    return {problem.path.removeprefix("checkpoint_storage."): problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{type: shared_fs, host_path: /data}", SharedFs("/data")),
        ("{type: shared_fs, host_path: /data/../x//y/}", SharedFs("/x/y")),
        ("{type: shared_fs, host_path: //data}", SharedFs("/data")),
        ("{type: shared_fs, host_path: /data, storage_path: a/b}", SharedFs("/data", "a/b")),
        ("{type: shared_fs, host_path: /data, storage_path: a/../b/.}", SharedFs("/data", "b")),
        ("{type: shared_fs, host_path: /data, storage_path: .}", SharedFs("/data")),
        ("{type: shared_fs, host_path: /data, storage_path: /data/in}", SharedFs("/data", "in")),
        ("{type: shared_fs, host_path: /, storage_path: /a}", SharedFs("/", "a")),
        ("{type: shared_fs, host_path: /data, checkpoint_path: old}", SharedFs("/data", "old")),
        ("{type: shared_fs, host_path: /data, tensorboard_path: tb, checkpoint_path: c}", SharedFs("/data", "tb")),
        ("{type: shared_fs, host_path: /d, propagation: shared, container_path: /c}", SharedFs("/d", None, "shared")),
        (
            "{type: s3, bucket: b, access_key: a, secret_key: s, endpoint_url: 'http://x', prefix: p/q}",
            S3("b", "a", "s", "http://x", "p/q"),
        ),
        ("{type: s3, bucket: b, prefix: ''}", S3("b")),
        ("{type: gcs, bucket: b, prefix: p}", Gcs("b", "p")),
        ("{type: azure, container: c, connection_string: s}", Azure("c", "s")),
        ("{type: azure, container: c, account_url: u, credential: k}", Azure("c", None, "u", "k")),
    ],
)
def test_each_type_is_read(section: str, expected: Any) -> None:
    storage = parse(section)
    assert storage.location == expected
    assert storage.kind == expected.kind
    assert parse(yaml.safe_dump(storage.to_json())) == storage


@pytest.mark.parametrize(
    ("section", "path", "part"),
    [
        ("5", "checkpoint_storage", "a mapping"),
        ("{type: shared}", "type", "did you mean shared_fs?"),
        ("{type: hdfs, hdfs_url: x}", "type", "not supported; use one of shared_fs, s3"),
        ("{type: directory, container_path: /x}", "type", "use shared_fs"),
        ("{type: shared_fs, host_path: data}", "host_path", "absolute"),
        ("{type: shared_fs, host_path: 5}", "host_path", "text"),
        ('{type: shared_fs, host_path: "/a\\n"}', "host_path", "control"),
        ("{type: shared_fs, host_path: /data, storage_path: ../x}", "storage_path", "not inside '/data'"),
        ("{type: shared_fs, host_path: /data, storage_path: a/../../x}", "storage_path", "not inside"),
        ("{type: shared_fs, host_path: /data, storage_path: /data-evil}", "storage_path", "not inside"),
        ("{type: shared_fs, host_path: /data, storage_path: //data-evil}", "storage_path", "not inside"),
        ("{type: shared_fs, host_path: /data, storage_path: /}", "storage_path", "not inside"),
        ("{type: shared_fs, host_path: /data, storage_path: 5}", "storage_path", "text"),
        ('{type: shared_fs, host_path: /data, storage_path: "a\\tb"}', "storage_path", "control"),
        ("{type: shared_fs, host_path: /data, checkpoint_path: ../x}", "checkpoint_path", "not inside"),
        ("{type: shared_fs, host_path: /data, propagation: x}", "propagation", "rprivate"),
        ("{type: shared_fs, host_path: /data, bucket: x}", "bucket", "known"),
        ("{type: shared_fs, host_path: /data, hostpath: null}", "hostpath", "did you mean host_path?"),
        ("{type: shared_fs, host_path: /data, save_trial_best: -1}", "save_trial_best", "from 0"),
        ("{type: s3}", "bucket", "missing"),
        ("{type: s3, bucket: b, prefix: a/../b}", "prefix", "'..'"),
        ("{type: s3, bucket: b, prefix: 5}", "prefix", "text"),
        ("{type: gcs, bucket: 5}", "bucket", "text"),
        ("{type: azure, connection_string: s}", "container", "missing"),
        ("{type: azure, container: c}", "connection_string", "account_url"),
        ("{type: azure, container: c, connection_string: s, account_url: u}", "account_url", "keep one"),
        ("{type: azure, container: c, connection_string: s, credential: k}", "credential", "account_url only"),
    ],
)
def test_each_type_refuses_what_it_cannot_use(section: str, path: str, part: str) -> None:
    found = problems(section)
    assert list(found) == [path]
    assert part in found[path]


def test_without_a_section_the_default_of_the_master_is_taken() -> None:
    assert parse("null") == CheckpointStorage(SharedFs("/default", "sub"), 0, 1, 7)


def test_a_policy_alone_changes_the_policy_of_the_default_place() -> None:
    assert parse("{save_experiment_best: 4}") == CheckpointStorage(SharedFs("/default", "sub"), 4, 1, 7)


def test_the_same_place_inherits_what_is_not_given() -> None:
    storage = parse("{type: s3, bucket: mine, prefix: p}", CLOUD)
    assert storage == CheckpointStorage(S3("mine", "AK", "SK", None, "p"), 0, 2, 1)


@pytest.mark.parametrize("section", ["{bucket: other}", "{type: s3, bucket: other}"])
def test_another_place_inherits_no_credentials(section: str) -> None:
    assert parse(section, CLOUD).location == S3("other")


def test_another_folder_inherits_no_storage_path() -> None:
    assert parse("{host_path: /other}") == CheckpointStorage(SharedFs("/other"), 0, 1, 7)


def test_another_type_inherits_the_policy_only() -> None:
    assert parse("{type: shared_fs, host_path: /d}", CLOUD) == CheckpointStorage(SharedFs("/d"), 0, 2, 1)


def test_a_default_without_type_asks_for_one() -> None:
    assert "missing" in problems("{}", {})["type"]


def test_the_root_is_the_folder_that_holds_the_checkpoints() -> None:
    assert SharedFs("/data", "a/b").root == "/data/a/b"
    assert SharedFs("/data").root == "/data"
    assert SharedFs("/", "a").root == "/a"


def test_the_complete_section_has_only_keys_that_readers_accept() -> None:
    assert parse("{type: shared_fs, host_path: /data, container_path: /c, checkpoint_path: x}").to_json() == {
        "type": "shared_fs",
        "host_path": "/data",
        "storage_path": "x",
        "propagation": "rprivate",
        "save_experiment_best": 0,
        "save_trial_best": 1,
        "save_trial_latest": 7,
    }


def test_secrets_are_hidden_when_printed_or_masked() -> None:
    storage = parse("null", CLOUD)
    assert "SK" not in repr(storage)
    masked = storage.to_json(masked=True)
    assert (masked["secret_key"], masked["access_key"], masked["bucket"]) == ("********", "********", "mine")
    assert storage.to_json()["secret_key"] == "SK"
    assert Gcs("b").prefix is None


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    assert "4711" not in problems("{type: s3, bucket: b, secret_key: 4711}")["secret_key"]
