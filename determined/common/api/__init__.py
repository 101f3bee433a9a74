"""Talking to a master: the session, its errors, credentials and certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import determined.common.api.authentication as authentication
    import determined.common.api.certs as certs
    import determined.common.api.errors as errors
    from determined.common.api.session import Session

__all__ = ["Session", "authentication", "certs", "errors"]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "Session":
        return importlib.import_module("determined.common.api.session").Session
    if name in __all__:
        return importlib.import_module(f"determined.common.api.{name}")
    raise AttributeError(f"module 'determined.common.api' has no attribute {name!r}")
