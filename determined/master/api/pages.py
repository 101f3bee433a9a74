"""The web UI's files, which are built into the package: one page for all of its addresses, and what that page loads."""

from __future__ import annotations

import gzip
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from determined.master.api.sending import Whole

STATIC: Final = Path(__file__).parents[2] / "webui_static"
PAGES: Final = frozenset({"experiments", "compare", "cluster", "queue", "login", "settings"})
"""First parts of the addresses that the page shows."""
ASSETS: Final = "/assets/"
CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = ((b"content-security-policy", CONTENT_SECURITY_POLICY), (b"referrer-policy", b"same-origin"))
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_HASHED: Final = re.compile(r"[.-][A-Za-z0-9_]{8,}\.[a-z0-9]+$", re.ASCII)
_FOREVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_ASK: Final = (b"cache-control", b"no-cache")
_TEXT: Final = ("text/", "application/javascript", "application/json", "image/svg+xml")
NOT_BUILT: Final = b"""The web UI is not built in this installation. In a checkout: make webui
Everything else works: det --help, and /openapi.json describes the API.
"""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent; ``packed`` is None where packing does not pay."""

    stamp: tuple[int, int]
    body: bytes
    packed: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]
    content_type: bytes


class Pages:
    """Answers what a browser asks for beside the API. Files are read once, and again when they change."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}

    def find(self, path: str, headers: Mapping[bytes, bytes]) -> Whole | None:
        """The answer to a request for a path; None if it is none of ours.

        Args:
            headers: of the request.
        """
        if path.startswith(ASSETS):
            return self._asset(path, headers)
        if path[1:].partition("/")[0] not in PAGES:
            return None
        return self._send("index.html", headers) or Whole(NOT_BUILT, b"text/plain; charset=utf-8", _HEADERS, 503)

    def _asset(self, path: str, headers: Mapping[bytes, bytes]) -> Whole | None:
        parts = path[1:].split("/")
        return self._send("/".join(parts), headers) if all(map(_PART.fullmatch, parts)) else None

    def _send(self, name: str, headers: Mapping[bytes, bytes]) -> Whole | None:
        file = self._read(name)
        if file is None:
            return None
        etag = dict(file.headers)[b"etag"]
        if etag in headers.get(b"if-none-match", b""):
            return Whole(b"", file.content_type, file.headers, 304)
        if file.packed is not None and b"gzip" in headers.get(b"accept-encoding", b""):
            packed = (b"content-encoding", b"gzip")
            return Whole(file.packed, file.content_type, (*file.headers, packed))
        return Whole(file.body, file.content_type, file.headers)

    def _read(self, name: str) -> _File | None:
        path = self._folder / name
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._files.get(name)
            if known is None or known.stamp != stamp:
                known = self._files[name] = _file(path, stamp)
        except OSError:
            self._files.pop(name, None)
            return None
        return known


def _file(path: Path, stamp: tuple[int, int]) -> _File:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_text = kind.startswith(_TEXT)
    packed = gzip.compress(body, 6, mtime=0) if is_text else None
    headers = (
        *_HEADERS,
        (b"etag", f'"{stamp[0]:x}-{stamp[1]:x}"'.encode()),
        (b"vary", b"accept-encoding"),
        _FOREVER if _HASHED.search(path.name) else _ASK,
    )
    return _File(stamp, body, packed, headers, f"{kind}; charset=utf-8".encode() if is_text else kind.encode())
