from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from determined.common import util
from determined.common.api.certs import Cert, CertStore, default_load
from determined.common.api.errors import CorruptCertificateCacheException
from determined.common.util import canonical_master_url
from determined.errors import InvalidInput


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("localhost", "http://localhost:8080"),
        ("LocalHost:9000", "http://localhost:9000"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:8443/", "https://box:8443"),
        ("HTTP://Box/det/", "http://box:80/det"),
        (" 10.0.0.1 ", "http://10.0.0.1:8080"),
        ("[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_master_has_one_name(address: str, url: str) -> None:
    assert canonical_master_url(address) == url
    assert canonical_master_url(url) == url


@pytest.mark.parametrize(
    "address", ["", "http://", "ftp://box", "box:port", "box:99999", "two words", "http://u:p@box", "box?x=1", "[::1"]
)
def test_what_is_no_address_is_refused_with_examples(address: str) -> None:
    with pytest.raises(InvalidInput, match="write host, host:port"):
        canonical_master_url(address)


def test_the_environment_names_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DET_MASTER", raising=False)
    monkeypatch.delenv("DET_MASTER_ADDR", raising=False)
    assert (util.configured_master(), util.get_default_master_address()) == (None, "localhost:8080")
    monkeypatch.setenv("DET_MASTER_ADDR", "second")
    assert util.get_default_master_address() == "second"
    monkeypatch.setenv("DET_MASTER", "first")
    assert util.get_default_master_address() == "first"


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path))
    assert util.config_path() == tmp_path
    monkeypatch.setenv("DET_DATA_DIR", str(tmp_path / "data"))
    assert util.data_path() == tmp_path / "data"


def test_a_private_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    (tmp_path / ".secret.new").write_text("left over")
    util.write_private(path, "one")
    util.write_private(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.0B"), (1023, "1023.0B"), (1536, "1.5KB"), (95 << 20, "95.0MB"), (1 << 60, "1024.0PB")]
)
def test_sizes_are_shown_for_people(size: int, text: str) -> None:
    assert util.sizeof_fmt(size) == text


@pytest.mark.parametrize(
    ("text", "microseconds"), [("", 0), (".1", 100000), (".123", 123000), (".123456", 123456), (".123456789", 123456)]
)
def test_times_of_the_master_are_read_whatever_their_precision(text: str, microseconds: int) -> None:
    moment = util.parse_time(f"2023-06-01T10:00:07{text}Z")
    assert (moment.second, moment.microsecond, moment.utcoffset()) == (7, microseconds, timedelta(0))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path))
    monkeypatch.delenv("DET_MASTER_CERT_FILE", raising=False)
    monkeypatch.delenv("DET_MASTER_CERT_NAME", raising=False)
    return tmp_path


def test_a_trusted_certificate_is_remembered_per_master(config: Path) -> None:
    CertStore().set_cert("https://box:443", "PEM")
    assert default_load("https://box:443") == Cert(pinned="PEM")
    assert default_load("https://other:443") == Cert()
    CertStore().delete_cert("https://box:443")
    assert default_load("https://box:443") == Cert()


def test_the_environment_overrides_the_remembered_certificate(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CertStore().set_cert("https://box:443", "PEM")
    monkeypatch.setenv("DET_MASTER_CERT_NAME", "inner")
    monkeypatch.setenv("DET_MASTER_CERT_FILE", "noverify")
    assert default_load("https://box:443") == Cert(noverify=True, name="inner")
    (config / "own.pem").write_text("OWN")
    monkeypatch.setenv("DET_MASTER_CERT_FILE", str(config / "own.pem"))
    assert default_load("https://box:443") == Cert("OWN", name="inner")


def test_explicit_certificate_settings_rule_out_all_others(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_MASTER_CERT_FILE", "noverify")
    assert default_load("https://box:443", explicit_cert_name="n") == Cert(name="n")
    assert default_load("https://box:443", explicit_noverify=True) == Cert(noverify=True)


def test_bad_certificates_are_named(config: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        default_load("https://box:443", explicit_path=config / "missing.pem")
    with pytest.raises(InvalidInput, match="exclude each other"):
        Cert("PEM", noverify=True)
    with pytest.raises(InvalidInput, match="not readable as PEM"):
        Cert("no pem at all").ssl_context()
    (config / "certs.json").write_text("[1]")
    with pytest.raises(CorruptCertificateCacheException, match=r"certs\.json"):
        CertStore().get_cert("https://box:443")
