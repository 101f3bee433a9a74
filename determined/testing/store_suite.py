"""How the suites of the stores run: each test gets an open store inside of its own event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from determined.errors import DeterminedError
from determined.storage.protocol import Mutation, Store

S = TypeVar("S")


def with_store(test: Callable[[S, Store], Awaitable[None]]) -> Callable[[S, Store], None]:
    """Make a plain test of an asynchronous one; its ``store`` is opened before and closed after."""

    @functools.wraps(test)
    def run(self: S, store: Store) -> None:
        async def opened() -> None:
            await store.open()
            try:
                await test(self, store)
            finally:
                await store.close()

        asyncio.run(opened())

    return run


async def outcome(store: Store, unit: Sequence[Mutation], lane: int | None = None) -> type[Exception] | None:
    """What kind of error a unit ends with, None for success."""
    return (await outcomes(store, [unit], lane))[0]


async def outcomes(
    store: Store, units: Sequence[Sequence[Mutation]], lane: int | None = None
) -> list[type[Exception] | None]:
    """The same for units that are submitted at once."""
    futures = [store.write(unit, lane) for unit in units]
    results: list[Any] = await asyncio.gather(*futures, return_exceptions=True)
    for result in results:
        if result is not None and not isinstance(result, DeterminedError):
            raise result
    return [None if result is None else type(result) for result in results]
