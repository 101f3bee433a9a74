"""Lists that the master gives out page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from determined.common.api.errors import BadResponseException
from determined.common.api.session import Session


def read_paginated(
    session: Session,
    path: str,
    key: str,
    *,
    params: Mapping[str, Any] | None = None,
    offset: int = 0,
    single_page: bool = False,
) -> Iterator[Any]:
    """The members of a list, fetched as they are needed.

    Args:
        path: of the list.
        key: its name in the answer.
        params: filters, order, and ``limit`` as the size of a page.
        offset: how many to skip.
        single_page: stop after the first page.

    Raises:
        BadResponseException: the answer is no such list.
    """
    while True:
        answer = session.get(path, params={**(params or {}), "offset": offset})
        try:
            members, page = answer[key], answer.get("pagination") or {}
            end, total = int(page.get("endIndex", 0)), int(page.get("total", 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadResponseException(f"{session.master_url}{path} did not answer with a list of {key}") from error
        yield from members
        # A page that does not get on would be asked for for ever.
        if single_page or end >= total or end <= offset:
            return
        offset = end
