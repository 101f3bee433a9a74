"""From the searcher's name in a configuration to the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.config import ExperimentConfig, searcher
from determined.domain.search_method import SearchMethod
from determined.errors import InvalidConfig, Problem
from determined.methods.grid import GridSearch
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch

HOSTED = ("single", "random", "grid")


def make_method(config: ExperimentConfig) -> SearchMethod:
    """The built-in method that a configuration names.

    Raises:
        InvalidConfig: it names none of ``HOSTED``.
    """
    make = _MAKERS.get(type(config.searcher.method))
    if make is None:
        allowed = ", ".join(("custom", *HOSTED))
        name = config.searcher.name
        raise InvalidConfig([Problem("searcher.name", f"{name!r} is not available yet (allowed: {allowed})")])
    return make(config, config.searcher.method)


def _single(config: ExperimentConfig, search: searcher.SingleSearch) -> SearchMethod:
    return SingleSearch(config.hyperparameters, search.max_length.units, seed=config.seed)


def _random(config: ExperimentConfig, search: searcher.RandomSearch) -> SearchMethod:
    return RandomSearch(
        config.hyperparameters,
        search.max_length.units,
        search.max_trials,
        max_concurrent_trials=search.max_concurrent_trials,
        seed=config.seed,
    )


def _grid(config: ExperimentConfig, search: searcher.GridSearch) -> SearchMethod:
    return GridSearch(
        config.hyperparameters,
        search.max_length.units,
        max_concurrent_trials=search.max_concurrent_trials,
        seed=config.seed,
    )


_MAKERS: Mapping[type[Any], Callable[[ExperimentConfig, Any], SearchMethod]] = {
    searcher.SingleSearch: _single,
    searcher.RandomSearch: _random,
    searcher.GridSearch: _grid,
}
