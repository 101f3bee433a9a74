"""Where our files are, how a master is addressed, and how a shared file is changed safely."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from determined import files
from determined.errors import InvalidInput

DEFAULT_ADDRESS = "localhost:8080"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN_PORT = 8080


def config_path() -> Path:
    """The folder of ``auth.json`` and ``certs.json``; the reference client uses the same."""
    if chosen := os.environ.get("DET_DEBUG_CONFIG_PATH"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "determined"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / ".config") / "determined"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "determined"


def data_path() -> Path:
    """The folder of the local master: ``DET_DATA_DIR``, or one of the user's own."""
    if chosen := os.environ.get("DET_DATA_DIR"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("determined-search", appauthor=False)


def configured_master() -> str | None:
    """The master that the environment names, or None."""
    return os.environ.get("DET_MASTER") or os.environ.get("DET_MASTER_ADDR") or None


def get_default_master_address() -> str:
    """The master that the environment names, else ``localhost:8080``."""
    return configured_master() or DEFAULT_ADDRESS


def debug_mode() -> bool:
    """Whether ``DET_DEBUG`` asks for tracebacks."""
    return os.environ.get("DET_DEBUG", "").lower() in ("true", "1", "yes")


def canonical_master_url(address: str) -> str:
    """A master address as ``scheme://host:port``, so that one master has one name.

    Without a scheme it is ``http`` on port 8080; with one, the usual port of the scheme.

    Raises:
        InvalidInput: it cannot be an address.
    """
    text = address.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise _bad_address(address, str(error)) from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise _bad_address(address, f"{scheme}:// is not supported")
    host = (parts.hostname or "").lower()
    if not re.fullmatch(r"[^\s/@\\\x00-\x1f]+", host):
        raise _bad_address(address, "it names no host")
    if parts.username is not None or parts.query or parts.fragment:
        raise _bad_address(address, "user, query and fragment are not allowed")
    if port is None:
        port = _DEFAULT_PORTS[scheme] if "://" in text else _PLAIN_PORT
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}{parts.path.rstrip('/')}"


def _bad_address(address: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{address!r} is no master address: {why}; write host, host:port, http://host:port or https://host"
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that goes with a shared file, ``<path>.lock``, creating its folder if need be."""
    import filelock

    files.make_folder(path.parent, "client.folder", 0o700)
    with filelock.FileLock(f"{path}.lock", mode=0o600):
        yield


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, whole or not at all."""
    files.replace_file(path, text.encode(), "client.file", 0o600)


def sizeof_fmt(size: float) -> str:
    """A number of bytes for people, in powers of 1024."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if abs(value) < 1024.0 or unit == "PB":
            break
        value /= 1024.0
    return f"{value:.1f}{unit}"


def parse_time(text: str) -> datetime:
    """A time as the master writes it, RFC 3339.

    Raises:
        ValueError: it is none.
    """
    # Python 3.10 reads neither the Z nor any number of digits but three and six.
    whole = re.sub(r"\.(\d{1,6})\d*", lambda match: f".{match[1]:0<6}", text)
    return datetime.fromisoformat(whole.replace("Z", "+00:00"))
