"""``simulate``: a whole search in virtual time, from its configuration to its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from determined.domain.config import ConfigDefaults, CustomSearch, ExperimentConfig, parse_config
from determined.domain.search_method import SearchMethod
from determined.engine.experiment import Settings
from determined.errors import InvalidInput
from determined.methods.registry import make_method
from determined.simulator.curves import Table
from determined.simulator.garbage import only_young_collected
from determined.simulator.model import Capacity, CurveFunction, Limits, TrialModel, check, is_whole
from determined.simulator.result import SimulationResult, Stalled
from determined.simulator.search import EXPERIMENT, Observer
from determined.simulator.stall import what_is_waited_for
from determined.simulator.world import Plan, World

Config = ExperimentConfig | Mapping[str, Any] | str | Path

DEFAULT_MAX_RESTARTS = 5


def simulate(
    method: SearchMethod | None = None,
    config: Config | None = None,
    curve: CurveFunction | None = None,
    *,
    table: Any = None,
    workers: int | Sequence[tuple[float, int]] = 4,
    seed: int = 0,
    trials: TrialModel | None = None,
    limits: Limits | None = None,
    smaller_is_better: bool | None = None,
    max_restarts: int | None = None,
    on_event: Observer | None = None,
    keep_decisions: bool = True,
    raise_when_stalled: bool = True,
) -> SimulationResult:
    """Run a search in virtual time, with the engine of the master and trials that are only computed.

    Nothing but the arguments decides the result: no clock is read, and random numbers come from ``seed`` alone.

    Args:
        method: any newly made search method; None for the built-in one that ``config`` names.
        config: an experiment's configuration, as a mapping, the path of its file, or parsed. It says the direction of
            the metric, ``max_restarts``, ``slots_per_trial``, ``max_slots`` and where trials start from; None for a
            metric of which less is better and everything else as by default. A mapping needs no entrypoint.
        curve: ``(hparams, length)`` -> the metric of a trial that has trained so far, a number of Python or NumPy.
        table: recorded curves instead, as ``Table`` or anything that ``Table.of`` reads, such as the path of a recorded
            experiment.
        workers: how many trials can run at the same time, or a list of (time, workers) with ascending times.
        seed: of everything that goes wrong, and of a built-in method without ``experiment_seed``.
        trials: how long they take and what goes wrong with them; see ``TrialModel``.
        limits: where to stop; see ``Limits``.
        smaller_is_better, max_restarts: instead of what the configuration says.
        on_event: ``(time, event, operations)``, called with each event that the method has heard and its answer.
        keep_decisions: whether the result lists them; they take most of its memory.
        raise_when_stalled: whether a stall is an error; otherwise the result says so.

    Raises:
        InvalidInput: an argument is out of its range, or the curve gives something else than a number.
        InvalidConfig: the configuration cannot be used.
        Stalled: nothing runs and nothing can start, but the method has not ended the search.
        NotRecorded: a table refuses what it does not have.
        Exception: whatever the method or the curve raises.

    Cost: O(1) for each report, and O(log workers) for the clock.
    """
    check("seed", seed, "a whole number", is_whole)
    check("trials", trials, "a TrialModel", lambda v: v is None or isinstance(v, TrialModel))
    check("limits", limits, "a value of Limits", lambda v: v is None or isinstance(v, Limits))
    whole = "None or a whole number from 0 on"
    check("max_restarts", max_restarts, whole, lambda v: v is None or (is_whole(v) and v >= 0))
    _check_flags(keep_decisions=keep_decisions, raise_when_stalled=raise_when_stalled)
    if smaller_is_better is not None:
        _check_flags(smaller_is_better=smaller_is_better)
    seed = index(seed)
    checked = None if config is None else read_config(config, seed)
    plan = Plan(
        settings=_settings(checked, max_restarts),
        curve=_curve(curve, table),
        capacity=Capacity.of(workers),
        model=trials or TrialModel(),
        limits=limits or Limits(),
        seed=seed,
        smaller_is_better=_direction(checked, smaller_is_better),
        max_slots=None if checked is None else checked.resources.max_slots,
        observer=on_event,
        keep_decisions=keep_decisions,
    )
    world = World(_method(method, checked), plan)
    with only_young_collected():
        world.run()
        result = _result(world)
    if raise_when_stalled and result.outcome == "stalled":
        raise Stalled(result)
    return result


def _check_flags(**flags: object) -> None:
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise InvalidInput(f"{name} of a simulation is True or False, not {value!r:.80}")


def read_config(config: Config, seed: int) -> ExperimentConfig:
    """A configuration in any of its forms, checked.

    Raises:
        InvalidInput: its file cannot be read.
        InvalidConfig: it has problems.
    """
    if isinstance(config, ExperimentConfig):
        return config
    if isinstance(config, Mapping):
        return parsed({"entrypoint": "simulated", **config}, seed)
    check("config", config, "a mapping, a path or a parsed configuration", lambda v: isinstance(v, (str, Path)))
    try:
        return parsed(Path(config).read_bytes(), seed)
    except OSError as e:
        raise InvalidInput(f"the experiment configuration {config} cannot be read: {e.strerror or e}") from e


def parsed(source: bytes | Mapping[str, Any], seed: int) -> ExperimentConfig:
    """A configuration, completed with what a simulation does not care about.

    Args:
        seed: of the search, unless the configuration has an ``experiment_seed``.
    Raises:
        InvalidConfig: it has problems.
    """
    storage = {"type": "shared_fs", "host_path": "/tmp"}  # noqa: S108  # nothing is stored
    return parse_config(source, ConfigDefaults(checkpoint_storage=storage, name="simulated", seed=seed))


def _settings(config: ExperimentConfig | None, max_restarts: int | None) -> Settings:
    if config is None:
        return Settings(EXPERIMENT, DEFAULT_MAX_RESTARTS if max_restarts is None else max_restarts)
    return Settings(
        EXPERIMENT,
        config.max_restarts if max_restarts is None else max_restarts,
        # A trial without slots takes a worker like any other here.
        max(config.resources.slots_per_trial, 1),
        config.searcher.source_checkpoint_uuid,
    )


def _direction(config: ExperimentConfig | None, smaller_is_better: bool | None) -> bool:
    if smaller_is_better is not None:
        return smaller_is_better
    return True if config is None else config.searcher.smaller_is_better


def _curve(curve: CurveFunction | None, table: Any) -> CurveFunction:
    if (curve is None) == (table is None):
        raise InvalidInput("a simulation takes its metrics from either curve=... or table=...; give one of them")
    if curve is None:
        return Table.of(table)
    check("curve", curve, "a function of hyperparameters and a length", callable)
    return curve


def _method(method: SearchMethod | None, config: ExperimentConfig | None) -> SearchMethod:
    if method is not None:
        if not isinstance(method, SearchMethod):
            raise InvalidInput(f"method is an object of a subclass of SearchMethod, not {method!r:.80}")
        return method
    if config is None:
        raise InvalidInput("say what to simulate: a search method, or the configuration of a built-in one")
    if isinstance(config.searcher.method, CustomSearch):
        raise InvalidInput("the configuration names a custom search method, which lives elsewhere; pass it as method")
    return make_method(config)


def _result(world: World) -> SimulationResult:
    events, operations = world.search.counts()
    engine = world.search.engine
    stalled = world.ended == "stalled"
    return SimulationResult(
        outcome=world.ended,
        message=what_is_waited_for(world) if stalled else engine.message,
        trials=tuple(world.processes),
        best_so_far=tuple(world.best),
        time=world.now,
        units=world.units,
        worker_time=sum(process.worker_time for process in world.processes),
        available=world.plan.capacity.worker_time(world.now),
        reports=world.reports,
        events=events,
        operations=operations,
        decisions=tuple(world.search.decisions),
        progress=engine.progress,
        smaller_is_better=world.plan.smaller_is_better,
    )
