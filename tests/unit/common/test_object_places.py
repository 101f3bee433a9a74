"""From the words of a configuration to what the libraries of Amazon, Google and Azure are opened with."""

from __future__ import annotations

from typing import Any

import pytest

from determined.common.objects.place import Place, place_of
from determined.common.objects.store import ObjectStore, _part_options
from determined.common.objects.trouble import explained, may_pass
from determined.errors import DeterminedError, InvalidInput, NotFound, PermissionDenied, StorageFailed, Unavailable

CONNECTION = "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/acc;"
ACCOUNT = "https://acc.blob.core.windows.net"


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"type": "s3", "bucket": "b"}, Place("s3", "b")),
        (
            {"type": "s3", "bucket": "b", "prefix": "/p/q/", "access_key": "k", "secret_key": "s"},
            Place("s3", "b/p/q", {"key": "k", "secret": "s"}),
        ),
        (
            {"type": "s3", "bucket": "b", "prefix": None, "endpoint_url": "http://x"},
            Place("s3", "b", {"client_kwargs": {"endpoint_url": "http://x"}}),
        ),
        ({"type": "gcs", "bucket": "b", "prefix": "p"}, Place("gs", "b/p")),
        (
            {"type": "azure", "container": "c", "connection_string": CONNECTION},
            Place("abfs", "c", {"connection_string": CONNECTION}),
        ),
        (
            {"type": "azure", "container": "c", "account_url": ACCOUNT},
            Place("abfs", "c", {"account_name": "acc", "account_host": "acc.blob.core.windows.net"}),
        ),
        (
            {"type": "azure", "container": "c", "account_url": "acc.blob.core.windows.net/", "credential": "a2V5"},
            Place(
                "abfs",
                "c",
                {"account_name": "acc", "account_host": "acc.blob.core.windows.net", "account_key": "a2V5"},
            ),
        ),
        (
            {"type": "azure", "container": "c", "account_url": ACCOUNT, "credential": "?sv=1&sig=x"},
            Place(
                "abfs",
                "c",
                {"account_name": "acc", "account_host": "acc.blob.core.windows.net", "sas_token": "sv=1&sig=x"},
            ),
        ),
        (
            {"type": "azure", "container": "c", "account_url": ACCOUNT + "/?sv=1&sig=x"},
            Place(
                "abfs",
                "c",
                {"account_name": "acc", "account_host": "acc.blob.core.windows.net", "sas_token": "sv=1&sig=x"},
            ),
        ),
    ],
)
def test_a_section_becomes_a_place(section: dict[str, Any], place: Place) -> None:
    assert place_of(section) == place


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ({"type": "shared_fs"}, "no object store"),
        ({"type": "s3"}, "bucket is None"),
        ({"type": "gcs", "bucket": "/"}, "bucket is '/'"),
        ({"type": "s3", "bucket": "b", "prefix": "a/../b"}, "without '..'"),
        ({"type": "azure", "connection_string": CONNECTION}, "container is None"),
        ({"type": "azure", "container": "c"}, "one of them"),
        ({"type": "azure", "container": "c", "connection_string": CONNECTION, "account_url": ACCOUNT}, "one of them"),
        ({"type": "azure", "container": "c", "account_url": "http://acc.example"}, "without TLS"),
    ],
)
def test_a_section_that_describes_no_place_is_refused(section: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        place_of(section)
    assert part in str(caught.value)


def test_the_libraries_take_the_options() -> None:
    """They are built as for the cloud, and point at nothing."""
    azure = {"type": "azure", "container": "c", "account_url": ACCOUNT, "credential": "a2V5"}
    keyed = ObjectStore(place_of(azure))._files
    assert type(keyed).__module__ == "adlfs.spec"
    assert keyed.account_url == ACCOUNT
    assert keyed.service_client.credential.account_key == "a2V5"
    signed = ObjectStore(place_of({**azure, "credential": "sv=1&sig=x"}))._files
    assert "sig=x" in signed.service_client.url
    connected = ObjectStore(place_of({"type": "azure", "container": "c", "connection_string": CONNECTION}))._files
    assert connected.service_client.url.startswith("http://127.0.0.1:1/acc")
    google = ObjectStore(Place("gs", "b", {"token": "anon"}))._files
    assert type(google).__module__.startswith("gcsfs.")


def test_an_azure_store_that_cannot_be_reached_is_told_in_one_sentence() -> None:
    section = {"type": "azure", "container": "c", "connection_string": CONNECTION + "Retries=0"}
    store = ObjectStore(place_of(section), patience_s=0)
    store._files.service_client._config.retry_policy.total_retries = 0
    with pytest.raises(Unavailable, match=r"abfs://c could not be reached") as caught:
        store.write("x", b"1")
    assert "c2VjcmV0" not in str(caught.value)


def test_a_google_store_that_cannot_be_reached_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcsfs.retry.asyncio.sleep", _at_once)
    place = Place("gs", "b", {"token": "anon", "endpoint_url": "http://127.0.0.1:1"})
    with pytest.raises(Unavailable, match=r"gs://b could not be reached"):
        ObjectStore(place, patience_s=0).write("x", b"1")


async def _at_once(_: float) -> None:
    return


class HttpError(Exception):
    """As Google's and Azure's libraries have it."""

    def __init__(self, code: int) -> None:
        self.status_code = code


def s3_error(status: int, code: str) -> OSError:
    error, cause = OSError(5, "it failed"), Exception()
    cause.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes", "kind"),
    [
        (s3_error(503, "SlowDown"), True, Unavailable),
        (s3_error(200, "InternalError"), True, Unavailable),
        (s3_error(400, "InvalidArgument"), False, StorageFailed),
        (HttpError(429), True, Unavailable),
        (HttpError(500), True, Unavailable),
        (HttpError(401), False, PermissionDenied),
        (HttpError(404), False, NotFound),
        (ConnectionResetError("reset"), True, Unavailable),
        (TimeoutError(), True, Unavailable),
        (PermissionError("no"), False, PermissionDenied),
        (OSError("Forbidden: b/x"), False, PermissionDenied),
        (FileNotFoundError("b"), False, NotFound),
        (RuntimeError("what?"), False, StorageFailed),
    ],
)
def test_trouble_is_told_apart_by_whether_it_may_pass(
    error: Exception, passes: bool, kind: type[DeterminedError]
) -> None:
    assert may_pass(error) is passes
    told = explained(error, Place("s3", "b/p"))
    assert type(told) is kind
    assert "s3://b/p" in str(told)


def test_secrets_are_blotted_out_of_what_a_library_says() -> None:
    place = Place("s3", "b", {"key": "AKIAKEY", "secret": "SHH"})
    assert "SHH" not in repr(place)
    told = str(explained(OSError("AKIAKEY with SHH is wrong\n  twice"), place))
    assert "AKIAKEY" not in told
    assert "SHH" not in told
    assert "\n" not in told


def test_parts_of_huge_files_grow_so_that_there_are_never_too_many() -> None:
    assert _part_options("s3", 1) == {"chunksize": 8 << 20, "max_concurrency": 4}
    size = 5 << 40
    assert size / _part_options("s3", size)["chunksize"] <= 10_000
    assert _part_options("memory", size) == {}
