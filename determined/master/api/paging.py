"""Pages and order of lists, as requests ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from determined.errors import InvalidInput
from determined.master.api.query import Query
from determined.storage.orders import check_order, window
from determined.storage.protocol import Listing, Order, Page
from determined.wire.answers import Pagination

DEFAULT_LIMIT: Final = 100
ALL: Final = 0
PARAMETERS: Final = ("limit", "offset", "sortBy", "orderBy")
R = TypeVar("R")


def page_of(query: Query, default: int = ALL) -> Page:
    """The page that a request asks for.

    Args:
        default: how many where the request says nothing; 0 for all.
    """
    limit = query.integer("limit", low=-2)
    offset = query.integer("offset")
    if limit == -2:
        return Page(offset, 0)
    wanted = limit or default
    return Page(offset, wanted if wanted > 0 else None)


def pagination(query: Query, listing: Listing, default: int = ALL) -> Pagination:
    """The description of a page that was read; ``default`` as for ``page_of``.

    Raises:
        InvalidInput: the request asks for a page beyond the end.
    """
    offset = query.integer("offset")
    if offset > listing.total:
        raise InvalidInput(f"offset {offset} lies beyond the end of the list, which has {listing.total} entries")
    return Pagination(
        offset=offset,
        limit=query.integer("limit") or default,
        start_index=listing.start,
        end_index=listing.start + len(listing.rows),
        total=listing.total,
    )


def page_in_memory(rows: Sequence[R], page: Page) -> tuple[Sequence[R], Listing]:
    """A page of rows that are all at hand."""
    start, count = window(page, len(rows))
    part = rows[start : start + count]
    return part, Listing(part, start, len(rows))


def order_of(query: Query, what: str, keys: Sequence[str], default: str = "ID") -> Order:
    """The order that a request asks for.

    Raises:
        InvalidInput: there is no such key or direction.
    """
    name = query.text("sortBy") or query.text("sortByAttr")
    key = name.upper().removeprefix("SORT_BY_")
    order = Order(default if key in ("", "UNSPECIFIED") else key, is_descending(query))
    check_order(what, order, keys)
    return order


def is_descending(query: Query) -> bool:
    """Whether a request asks for the reverse order.

    Raises:
        InvalidInput: there is no such direction.
    """
    direction = query.text("orderBy").upper().removeprefix("ORDER_BY_")
    if direction not in ("", "UNSPECIFIED", "ASC", "DESC"):
        raise InvalidInput(f"orderBy must be ORDER_BY_ASC or ORDER_BY_DESC, got {direction[:40]!a}")
    return direction == "DESC"


def has_direction(query: Query) -> bool:
    """Whether a request says which way to sort."""
    return query.text("orderBy").upper().removeprefix("ORDER_BY_") in ("ASC", "DESC")
