"""Where an object store is, and what opens it: from the words of a configuration to those of fsspec."""

from __future__ import annotations

import importlib.util
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from determined.errors import InvalidInput


class Driver(NamedTuple):
    """What serves one kind of store.

    Attributes:
        package: the Python module that must be installed.
        extra: the extra of this package that installs it.
        credentials: where credentials come from, for messages.
    """

    package: str
    extra: str
    credentials: str


_S3 = Driver("s3fs", "s3", "access_key and secret_key in checkpoint_storage, or AWS_ACCESS_KEY_ID and its like")
_GCS = Driver("gcsfs", "gcs", "GOOGLE_APPLICATION_CREDENTIALS, or the account of the machine")
_AZURE = Driver("adlfs", "azure", "connection_string, or account_url with credential, in checkpoint_storage")
DRIVERS: Mapping[str, Driver] = {"s3": _S3, "gs": _GCS, "gcs": _GCS, "abfs": _AZURE, "az": _AZURE}
"""By the scheme, as fsspec names it."""
KINDS: Mapping[str, str] = {"s3": "s3", "gcs": "gs", "azure": "abfs"}
"""From ``checkpoint_storage.type`` to the scheme."""


@dataclass(frozen=True, slots=True)
class Place:
    """One prefix of an object store.

    Attributes:
        protocol: the scheme as fsspec names it, such as ``s3``, ``gs`` or ``abfs``.
        root: bucket (of Azure: container) and prefix, without slashes around them.
        options: given to the fsspec file system; may be secret.
    """

    protocol: str
    root: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.protocol}://{self.root}"

    @property
    def bucket(self) -> str:
        """The bucket or container alone."""
        return self.root.partition("/")[0]

    @property
    def credentials(self) -> str:
        """Where credentials for it come from."""
        driver = DRIVERS.get(self.protocol)
        return "what the store wants" if driver is None else driver.credentials

    def without_secrets(self, text: str) -> str:
        """``text`` with every option that opens the store blotted out."""
        for name in _SECRET:
            if secret := self.options.get(name):
                text = text.replace(str(secret), "********")
        return text


_SECRET = ("key", "secret", "connection_string", "account_key", "sas_token")


def missing_package(protocol: str) -> str | None:
    """What has to be done before a store can be used by this Python; None when nothing has to."""
    driver = DRIVERS.get(protocol)
    if driver is None or importlib.util.find_spec(driver.package) is not None:
        return None
    return (
        f"needs the package {driver.package}, which is not installed: pip install 'determined-search[{driver.extra}]'"
    )


def place_of(section: Mapping[str, Any]) -> Place:
    """The place that a ``checkpoint_storage`` section of type ``s3``, ``gcs`` or ``azure`` describes.

    Raises:
        InvalidInput: of another type, or a field is missing or wrong.
    """
    kind = section.get("type")
    if kind == "s3":
        return Place("s3", _root(section, "bucket"), _s3_options(section))
    if kind == "gcs":
        return Place("gs", _root(section, "bucket"))
    if kind == "azure":
        return Place("abfs", _root(section, "container"), _azure_options(section))
    raise InvalidInput(f"checkpoint_storage.type is {kind!r}, which is no object store; those are {', '.join(KINDS)}")


def _root(section: Mapping[str, Any], name: str) -> str:
    bucket, prefix = section.get(name), section.get("prefix") or ""
    if not isinstance(bucket, str) or not bucket.strip("/"):
        raise InvalidInput(f"checkpoint_storage.{name} is {bucket!r}; give the name of the {name}")
    if not isinstance(prefix, str) or ".." in prefix.split("/"):
        raise InvalidInput(f"checkpoint_storage.prefix is {prefix!r}; give a path without '..'")
    return posixpath.join(bucket.strip("/"), prefix.strip("/")).rstrip("/")


def _s3_options(section: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if section.get("access_key"):
        options["key"] = section["access_key"]
    if section.get("secret_key"):
        options["secret"] = section["secret_key"]
    if section.get("endpoint_url"):
        options["client_kwargs"] = {"endpoint_url": section["endpoint_url"]}
    return options


def _azure_options(section: Mapping[str, Any]) -> dict[str, Any]:
    connection, account, credential = (section.get(n) for n in ("connection_string", "account_url", "credential"))
    if bool(connection) == bool(account):
        raise InvalidInput("checkpoint_storage of type azure wants connection_string or account_url; give one of them")
    if connection:
        return {"connection_string": connection}
    account = str(account)
    url = urlsplit(account if "://" in account else f"https://{account}")
    if url.scheme != "https" or not url.hostname:
        raise InvalidInput(
            f"checkpoint_storage.account_url is {account!r:.200}; give https://ACCOUNT.blob.core.windows.net,"
            " or connection_string for a server without TLS"
        )
    host = f"{url.netloc}{url.path}".rstrip("/")
    options: dict[str, Any] = {"account_name": host.rpartition("/")[2].partition(".")[0], "account_host": host}
    # As the client library of Azure has it: a shared access signature, in the URL or alone, or the key of the account.
    if url.query:
        options["sas_token"] = url.query
    elif credential and "sig=" in credential:
        options["sas_token"] = credential.lstrip("?")
    elif credential:
        options["account_key"] = credential
    return options
