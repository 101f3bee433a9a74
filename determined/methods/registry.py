"""From the searcher's name in a configuration to the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.config import ExperimentConfig, searcher
from determined.domain.search_method import SearchMethod
from determined.errors import FailedPrecondition, InvalidConfig, InvalidInput, Problem
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.grid import GridSearch
from determined.methods.hyperband import HyperbandSearch
from determined.methods.optuna import OptunaSearch
from determined.methods.pbt import PBTSearch
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch

HOSTED = ("single", "random", "grid", "async_halving", "adaptive_asha", "hyperband", "pbt", "optuna")


def make_method(config: ExperimentConfig) -> SearchMethod:
    """The built-in method that a configuration names.

    Raises:
        InvalidConfig: it names none of ``HOSTED``, or asks Optuna for what it does not have.
    """
    make = _MAKERS.get(type(config.searcher.method))
    if make is None:
        problem = f"{config.searcher.name!r} is not a built-in method (allowed: {', '.join(HOSTED)})"
        raise InvalidConfig([Problem("searcher.name", problem)])
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


def _async_halving(config: ExperimentConfig, search: searcher.AsyncHalvingSearch) -> SearchMethod:
    return AsyncHalvingSearch(
        config.hyperparameters,
        search.max_length.units,
        search.max_trials,
        search.num_rungs,
        divisor=search.divisor,
        max_concurrent_trials=search.max_concurrent_trials,
        stop_once=search.stop_once,
        smaller_is_better=config.searcher.smaller_is_better,
        seed=config.seed,
    )


def _adaptive_asha(config: ExperimentConfig, search: searcher.AdaptiveAshaSearch) -> SearchMethod:
    return AdaptiveASHASearch(
        config.hyperparameters,
        search.max_length.units,
        search.max_trials,
        bracket_rungs=search.bracket_rungs,
        mode=search.mode,
        divisor=search.divisor,
        max_rungs=search.max_rungs,
        max_concurrent_trials=search.max_concurrent_trials,
        stop_once=search.stop_once,
        smaller_is_better=config.searcher.smaller_is_better,
        seed=config.seed,
    )


def _hyperband(config: ExperimentConfig, search: searcher.HyperbandSearch) -> SearchMethod:
    return HyperbandSearch(
        config.hyperparameters,
        search.max_length.units,
        search.max_trials,
        divisor=search.divisor,
        max_rungs=search.max_rungs,
        max_concurrent_trials=search.max_concurrent_trials,
        stop_once=search.stop_once,
        smaller_is_better=config.searcher.smaller_is_better,
        seed=config.seed,
    )


def _pbt(config: ExperimentConfig, search: searcher.PbtSearch) -> SearchMethod:
    return PBTSearch(
        config.hyperparameters,
        search.max_length.units,
        search.population_size,
        search.num_rounds,
        truncate_fraction=search.truncate_fraction,
        resample_probability=search.resample_probability,
        perturb_factor=search.perturb_factor,
        smaller_is_better=config.searcher.smaller_is_better,
        seed=config.seed,
    )


def _optuna(config: ExperimentConfig, search: searcher.OptunaSearch) -> SearchMethod:
    try:
        return OptunaSearch(
            config.hyperparameters,
            search.max_length.units,
            search.max_trials,
            sampler=search.sampler,
            sampler_args=search.sampler_args,
            num_rungs=search.num_rungs,
            num_brackets=search.num_brackets,
            divisor=search.divisor,
            stop_once=search.stop_once,
            max_concurrent_trials=search.max_concurrent_trials,
            smaller_is_better=config.searcher.smaller_is_better,
            seed=config.seed,
        )
    except (InvalidInput, FailedPrecondition) as refused:
        raise InvalidConfig([Problem("searcher", str(refused))]) from refused


_MAKERS: Mapping[type[Any], Callable[[ExperimentConfig, Any], SearchMethod]] = {
    searcher.SingleSearch: _single,
    searcher.RandomSearch: _random,
    searcher.GridSearch: _grid,
    searcher.AsyncHalvingSearch: _async_halving,
    searcher.AdaptiveAshaSearch: _adaptive_asha,
    searcher.HyperbandSearch: _hyperband,
    searcher.PbtSearch: _pbt,
    searcher.OptunaSearch: _optuna,
}
