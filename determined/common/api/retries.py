"""When a call is sent again."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from determined.errors import InvalidInput

if TYPE_CHECKING:
    import urllib3

BACKOFF_FACTOR_S = 0.5
_RENAMED = {"method_whitelist": "allowed_methods"}


def retry_policy(max_retries: int, statuses: Collection[int] = ()) -> urllib3.Retry:
    """How often and how fast to send again after a connection failure, and after answers with one of ``statuses``.

    ``DET_RETRY_CONFIG``, a JSON object of settings of ``urllib3.Retry``, overrides the defaults wherever there are
    retries at all.

    Raises:
        InvalidInput: that variable cannot be understood.
    """
    import urllib3

    if max_retries <= 0:
        return urllib3.Retry(total=False, connect=0, read=0, redirect=False, respect_retry_after_header=False)
    settings: dict[str, Any] = {
        "total": max_retries,
        "backoff_factor": BACKOFF_FACTOR_S,
        "allowed_methods": None,
        "status_forcelist": tuple(statuses),
        "respect_retry_after_header": False,
        **_configured(),
    }
    # Refusals are turned into our own errors by the session, once the retries are used up.
    settings.update(raise_on_status=False, redirect=False)
    if settings["allowed_methods"] is False:
        settings["allowed_methods"] = None
    try:
        return urllib3.Retry(**settings)
    except TypeError as error:
        raise InvalidInput(f"DET_RETRY_CONFIG: {error}; allowed are the settings of urllib3.Retry") from error


def _configured() -> dict[str, Any]:
    text = os.environ.get("DET_RETRY_CONFIG")
    if not text:
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"DET_RETRY_CONFIG is {text[:80]!r}, which is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise InvalidInput(f'DET_RETRY_CONFIG is {text[:80]!r}; it must be a JSON object like {{"total": 10}}')
    return {_RENAMED.get(str(key), str(key)): value for key, value in given.items()}
