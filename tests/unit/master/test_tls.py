from __future__ import annotations

import datetime
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from determined.common.api.certs import CertStore
from determined.errors import FailedPrecondition, InvalidInput
from determined.master.listening import check_exposure, is_loopback, own_url
from determined.master.reach import Reach, arrange
from determined.master.self_signed import self_signed
from determined.master.tls import Certificate, SelfSigned, TlsFiles, prepare, read


def issued(folder: Path, *names: str, expires_at: datetime.datetime | None = None) -> TlsFiles:
    """A certificate of an authority, with the authority's after it."""
    authority = trustme.CA()
    leaf = authority.issue_cert(*names, not_after=expires_at)
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    leaf.private_key_pem.write_to_path(key)
    return TlsFiles(cert, key)


def reach_of(data: Path, certificate: Certificate | None, host: str = "127.0.0.1", url: str | None = None) -> Reach:
    return arrange(host, 8443, data=data, url=url, url_cert=None, names=(), certificate=certificate)


def test_a_certificate_says_for_which_names_it_is_and_until_when(tmp_path: Path) -> None:
    end = datetime.datetime(2999, 1, 1)
    found = read(issued(tmp_path, "*.cluster.test", "Box.test", "10.1.2.3", "fd00::2", expires_at=end))
    assert found.names == ("*.cluster.test", "box.test", "10.1.2.3", "fd00::2")
    assert found.expires == end.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert all(found.is_for(host) for host in ("a.cluster.test", "BOX.test", "10.1.2.3", "[fd00::2]"))
    assert not any(found.is_for(host) for host in ("cluster.test", "a.b.cluster.test", "10.1.2.4", "box"))
    assert found.name_to_expect() == "master.cluster.test"
    assert found.host_names == ("box.test", "10.1.2.3", "fd00::2")
    assert "PRIVATE" not in found.pem


def test_an_expired_certificate_is_served_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that pin it do not mind, and a master that does not start helps nobody."""
    files = issued(tmp_path, "box.test", expires_at=datetime.datetime(2001, 1, 1))
    assert prepare(files, tmp_path, []).names == ("box.test",)
    assert "no longer valid" in caplog.text


def test_what_cannot_be_served_is_refused_with_the_file_that_is_wrong(tmp_path: Path) -> None:
    good = issued(tmp_path, "box.test")
    other = tmp_path / "other"
    other.mkdir()
    stranger = issued(other, "box.test")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    assert good.key is not None
    for files, why in (
        (TlsFiles(tmp_path / "none.pem"), r"none\.pem cannot be read"),
        (TlsFiles(empty, good.key), r"empty\.pem holds no certificate"),
        (TlsFiles(good.cert, tmp_path / "none.pem"), r"none\.pem cannot be read"),
        (TlsFiles(good.cert), r"cert\.pem holds no key that fits"),
        (TlsFiles(good.cert, stranger.key), r"key\.pem holds no key that fits"),
    ):
        with pytest.raises(InvalidInput, match=why):
            read(files)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    files = issued(tmp_path, "box.test")
    assert files.key is not None
    key = s.load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
    files.key.write_bytes(locked)
    with pytest.raises(InvalidInput, match="without a password"):
        read(files)


def test_a_certificate_of_its_own_is_made_once_and_only_its_owner_reads_the_key(tmp_path: Path) -> None:
    first = prepare(SelfSigned(), tmp_path, ["gpu-box.test", "10.9.8.7"])
    assert {"localhost", "127.0.0.1", "::1", "gpu-box.test", "10.9.8.7"} <= set(first.names)
    assert first.files.cert.stat().st_mode & 0o777 == 0o600
    assert prepare(SelfSigned(), tmp_path, []).fingerprint == first.fingerprint
    first.files.cert.unlink()
    assert prepare(SelfSigned(), tmp_path, []).fingerprint != first.fingerprint


def test_a_strict_client_takes_a_self_signed_certificate_that_it_was_given(tmp_path: Path) -> None:
    """Python 3.13 and later check certificates strictly by default."""
    found = prepare(SelfSigned(), tmp_path, [])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(found.files.cert)
    client = ssl.create_default_context(cadata=found.pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(back, there, server_hostname="127.0.0.1"), server.wrap_bio(there, back, server_side=True))
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ends[0].getpeercert()


def test_names_that_no_certificate_can_hold_are_left_out() -> None:
    from cryptography import x509

    made = x509.load_pem_x509_certificate(self_signed(["", "hér.test", "box.test", "BOX.test", "[::1]"]))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["box.test"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["::1"]


def test_without_the_package_that_makes_certificates_its_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(FailedPrecondition, match=r"determined-search\[tls\]"):
        prepare(SelfSigned(), tmp_path, [])
    assert not (tmp_path / "tls" / "self-signed.pem").exists()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_what_no_other_machine_can_call(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert not is_loopback("box.test")


def test_beyond_loopback_open_is_never_allowed_and_plain_http_only_when_it_is_meant() -> None:
    def check(host: str, is_tls: bool = False, is_open: bool = False, is_meant: bool = False) -> None:
        check_exposure(host, is_tls=is_tls, is_open=is_open, is_insecure_allowed=is_meant)

    check("127.0.0.1", is_open=True)
    check("0.0.0.0", is_tls=True)
    check("10.0.0.1", is_meant=True)
    with pytest.raises(InvalidInput, match="--tls self-signed"):
        check("10.0.0.1")
    with pytest.raises(InvalidInput, match="--open lets anybody in"):
        check("10.0.0.1", is_tls=True, is_open=True)


def test_a_master_knows_its_own_address() -> None:
    assert own_url("0.0.0.0", 1, False) == "http://127.0.0.1:1"
    assert own_url("::1", 1, True) == "https://[::1]:1"
    assert own_url("box.test", 1, True) == "https://box.test:1"


def test_trials_check_what_they_will_be_shown(tmp_path: Path) -> None:
    certificate = read(issued(tmp_path, "box.test"))
    plain = reach_of(tmp_path, None)
    assert (plain.own, plain.url_file, plain.url_name) == ("http://127.0.0.1:8443", None, None)
    own = reach_of(tmp_path, certificate)
    assert own.url == "https://127.0.0.1:8443"
    assert own.url_name == "box.test"
    assert own.url_file is not None
    assert own.url_file.read_text() == certificate.pem
    named = reach_of(tmp_path, certificate, url="https://box.test:8443/")
    assert (named.url, named.url_name) == ("https://box.test:8443", None)
    assert reach_of(tmp_path, None, url="https://proxy.test").url_file is None


def test_a_master_answers_to_the_names_in_its_certificate(tmp_path: Path) -> None:
    hosts = reach_of(tmp_path, read(issued(tmp_path, "box.test", "*.cluster.test"))).hosts
    assert hosts.allows("box.test:8443")
    assert not hosts.allows("x.cluster.test")


def test_only_addresses_that_lead_straight_to_the_master_are_pinned(tmp_path: Path) -> None:
    certificate = read(issued(tmp_path, "box.test"))
    path = tmp_path / "certs.json"
    reach_of(tmp_path, certificate, url="https://proxy.test").pin_locally(path)
    store = CertStore(path)
    assert store.get_cert("https://proxy.test:443") is None
    assert store.get_cert("https://proxy.test") is None
    for name in ("127.0.0.1", "localhost"):
        assert store.get_cert(f"https://{name}:8443") == certificate.pem.partition("-----END")[0] + (
            "-----END CERTIFICATE-----\n"
        )
