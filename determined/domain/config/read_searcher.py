"""Reads and checks the ``searcher`` section."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from determined.domain.config.bounds import MAX_INT32, MAX_POPULATION, MAX_RUNGS
from determined.domain.config.fields import Fields
from determined.domain.config.node import Node
from determined.domain.config.searcher import (
    DEFAULT_CONCURRENCY,
    AdaptiveAshaSearch,
    AsyncHalvingSearch,
    CustomSearch,
    GridSearch,
    HyperbandSearch,
    OptunaSearch,
    PbtSearch,
    RandomSearch,
    Search,
    SearcherConfig,
    SingleSearch,
)
from determined.domain.lengths import Length, Unit

MODES = ("aggressive", "standard", "conservative")
_REMOVED: Mapping[str, str] = {
    "adaptive": "use adaptive_asha",
    "adaptive_simple": "use adaptive_asha with max_trials and max_length",
    "sync_halving": "use async_halving, or adaptive_asha",
}
_UNREAD = SingleSearch(Length(1))
"""Stands in for a section that could not be read; it never leaves a parse without problems."""


def read_searcher(root: Fields) -> SearcherConfig:
    """Read the section from the top-level fields."""
    node = root.find("searcher", needed="give name, metric and the fields of the search method")
    if node is None or not isinstance(node.value, dict):
        if node is not None:
            node.must_be("a mapping")
        return SearcherConfig("", _UNREAD)
    fields = Fields(node)
    name = _name(fields)
    metric = fields.name("metric", "", needed="name the validation metric to search over, e.g. validation_loss")
    smaller_is_better = fields.boolean("smaller_is_better", True)
    trial, checkpoint = _source(fields)
    method = _READERS[name](fields) if name else _UNREAD
    _check_foreign(fields, name)
    fields.done()
    return SearcherConfig(metric, method, smaller_is_better, trial, checkpoint)


def _name(fields: Fields) -> str | None:
    node = fields.find("name", needed=f"one of {', '.join(_READERS)}")
    if node is None:
        return None
    if isinstance(node.value, str) and node.value in _REMOVED:
        node.refuse(f"{node.value} was removed; {_REMOVED[node.value]}")
        return None
    return node.choice(tuple(_READERS))


def _source(fields: Fields) -> tuple[int | None, str | None]:
    trial = fields.integer("source_trial_id", None, least=1)
    checkpoint = fields.name("source_checkpoint_uuid", None)
    if trial is not None and checkpoint is not None:
        fields.refuse("source_checkpoint_uuid", "cannot be given together with source_trial_id; keep one of them")
    return trial, checkpoint


def _check_foreign(fields: Fields, name: str | None) -> None:
    """Fields of other search methods: refused, but ``custom`` ignores them; fine while the name is unknown."""
    for field in fields.unknown():
        owners = [cls.name for cls in _METHODS if field in _field_names(cls)]
        if not owners:
            continue
        fields.skip(field)
        if name is None or field not in fields:
            continue
        if name == CustomSearch.name:
            fields.report.warn((*fields.path, field), "has no effect with the custom searcher")
        else:
            fields.refuse(field, f"is a field of {', '.join(owners)}, not of {name}; remove it")


def _custom(fields: Fields) -> Search:
    unit = fields.choice("unit", [u.value for u in Unit], "")
    return CustomSearch(Unit(unit) if unit else None)


def _single(fields: Fields) -> Search:
    return SingleSearch(_max_length(fields))


def _random(fields: Fields) -> Search:
    return RandomSearch(_max_length(fields), _max_trials(fields), _concurrency(fields))


def _grid(fields: Fields) -> Search:
    return GridSearch(_max_length(fields), _concurrency(fields))


def _async_halving(fields: Fields) -> Search:
    divisor = _divisor(fields)
    node = fields.find("num_rungs", needed="give the number of rungs, e.g. 3")
    return AsyncHalvingSearch(
        _max_length(fields, with_unit=True),
        _max_trials(fields),
        (node and _rungs(node, divisor)) or 1,
        divisor,
        _concurrency(fields),
        fields.boolean("stop_once", False),
    )


def _adaptive_asha(fields: Fields) -> Search:
    divisor = _divisor(fields)
    return AdaptiveAshaSearch(
        _max_length(fields),
        _max_trials(fields),
        _bracket_rungs(fields, divisor),
        fields.choice("mode", MODES, "standard"),
        divisor,
        fields.integer("max_rungs", 5, least=1, most=MAX_RUNGS),
        _concurrency(fields),
        fields.boolean("stop_once", False),
    )


def _hyperband(fields: Fields) -> Search:
    return HyperbandSearch(
        _max_length(fields),
        _max_trials(fields),
        _divisor(fields),
        fields.integer("max_rungs", 5, least=1, most=MAX_RUNGS),
        _concurrency(fields),
        fields.boolean("stop_once", False),
    )


def _pbt(fields: Fields) -> Search:
    max_length = _max_length(fields)
    size = fields.integer(
        "population_size", 2, least=2, most=MAX_POPULATION, needed="say how many trials train at a time, e.g. 16"
    )
    rounds = fields.integer("num_rounds", 1, least=1, most=MAX_INT32, needed="say how often they are compared, e.g. 10")
    if "max_length" in fields and rounds > max_length.units:
        fields.refuse("num_rounds", f"{rounds} rounds do not fit into a max_length of {max_length.units}; use fewer")
    return PbtSearch(
        max_length,
        size,
        rounds,
        _share(fields, "truncate_fraction", 0.2, most=0.5),
        _share(fields, "resample_probability", 0.2, most=1.0),
        _share(fields, "perturb_factor", 0.2, most=0.99),
    )


def _optuna(fields: Fields) -> Search:
    divisor = _divisor(fields)
    node = fields.find("num_rungs")
    rungs = 1 if node is None else _rungs(node, divisor)
    return OptunaSearch(
        _max_length(fields),
        _max_trials(fields),
        fields.name("sampler", "TPESampler"),
        fields.free("sampler_args"),
        rungs or 1,
        divisor,
        _concurrency(fields),
        fields.boolean_or_none("stop_once"),
        _brackets(fields, rungs),
    )


def _share(fields: Fields, name: str, default: float, *, most: float) -> float:
    node = fields.find(name)
    value = node and node.number()
    if node and value is not None and not 0 <= value <= most:
        node.must_be(f"a number from 0 to {most:g}")
        return default
    return default if value is None else value


def _max_length(fields: Fields, *, with_unit: bool = False) -> Length:
    node = fields.find("max_length", needed="say how long a trial trains, e.g. {batches: 1000}")
    length = node and node.length()
    if node and length and length.unit is None and with_unit:
        node.refuse(f"needs a unit here; write {{batches: {length.units}}}, records or epochs")
    return length or Length(1)


def _max_trials(fields: Fields) -> int:
    return fields.integer("max_trials", 1, least=1, most=MAX_INT32, needed="give the number of trials, e.g. 16")


def _concurrency(fields: Fields) -> int:
    return fields.integer("max_concurrent_trials", DEFAULT_CONCURRENCY, least=0, most=MAX_INT32)


def _divisor(fields: Fields) -> float:
    node = fields.find("divisor")
    divisor = node and node.number()
    if node and divisor is not None and divisor <= 1:
        node.must_be("a number greater than 1")
        return 4
    return 4 if divisor is None else divisor


def _bracket_rungs(fields: Fields, divisor: float) -> tuple[int, ...]:
    node = fields.find("bracket_rungs")
    if node is None:
        return ()
    members = list(node.items())
    if len(members) > MAX_RUNGS:
        node.refuse(f"has {len(members)} brackets (at most {MAX_RUNGS})")
        return ()
    found = (_rungs(member, divisor) for member in members)
    return tuple(rungs for rungs in found if rungs is not None)


def _rungs(node: Node, divisor: float) -> int | None:
    """A number of rungs whose lowest one is not smaller than the longest length divided down to nothing."""
    rungs = node.integer(least=1, most=MAX_RUNGS)
    if rungs is not None and (rungs - 1) * math.log(divisor) > 63 * math.log(2):
        node.refuse(f"{rungs} rungs with divisor {divisor:g} leave nothing to train in the lowest; use fewer")
        return None
    return rungs


def _brackets(fields: Fields, rungs: int | None) -> int:
    """How many brackets there are, each with one rung less than that before; 0: as many as suit the places.

    Args:
        rungs: of the first; None: they could not be read.
    """
    brackets = fields.integer("num_brackets", 0, least=0, most=MAX_RUNGS)
    if rungs is not None and brackets > rungs:
        fields.refuse("num_brackets", f"{brackets} brackets do not go with num_rungs {rungs}; use at most {rungs}")
        return 0
    return brackets


def _field_names(cls: type[Search]) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(cls))


_READERS: Mapping[str, Callable[[Fields], Search]] = {
    CustomSearch.name: _custom,
    SingleSearch.name: _single,
    RandomSearch.name: _random,
    GridSearch.name: _grid,
    AsyncHalvingSearch.name: _async_halving,
    AdaptiveAshaSearch.name: _adaptive_asha,
    HyperbandSearch.name: _hyperband,
    PbtSearch.name: _pbt,
    OptunaSearch.name: _optuna,
}
_METHODS: tuple[type[Search], ...] = (
    CustomSearch,
    SingleSearch,
    RandomSearch,
    GridSearch,
    AsyncHalvingSearch,
    AdaptiveAshaSearch,
    HyperbandSearch,
    PbtSearch,
    OptunaSearch,
)
