"""From the searcher's name in a configuration to the method."""

from __future__ import annotations

from determined.domain.config import ExperimentConfig
from determined.domain.search_method import SearchMethod
from determined.errors import InvalidConfig, Problem
from determined.methods.grid import GridSearch
from determined.methods.points import Draw
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch

HOSTED = ("single", "random", "grid")


def make_method(config: ExperimentConfig, draw: Draw) -> SearchMethod:
    """The built-in method that a configuration names.

    Raises:
        InvalidConfig: it names none of ``HOSTED``.
    """
    searcher = config.searcher
    length = 0 if searcher.max_length is None else searcher.max_length.units
    if searcher.name == "single":
        return SingleSearch(config.hyperparameters, length, draw)
    if searcher.name == "random":
        return RandomSearch(
            config.hyperparameters, length, searcher.max_trials or 1, searcher.max_concurrent_trials or 0, draw
        )
    if searcher.name == "grid":
        return GridSearch(config.hyperparameters, length, searcher.max_concurrent_trials or 0, draw)
    allowed = ", ".join(("custom", *HOSTED))
    raise InvalidConfig([Problem("searcher.name", f"{searcher.name!r} is not available yet (allowed: {allowed})")])
