"""What a configuration's search would do, before anything is trained."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from determined.domain.config import CustomSearch, ExperimentConfig
from determined.errors import InvalidInput
from determined.simulator.model import TrialModel
from determined.simulator.result import SimulationResult
from determined.simulator.run import simulate

DEFAULT_WORKERS = 16


@dataclass(frozen=True, slots=True)
class Rung:
    """A length that trials are asked for.

    Attributes:
        validated: trials that reach it.
        ended: those of them that go no further.
    """

    length: int
    validated: int
    ended: int


@dataclass(frozen=True, slots=True)
class Preview:
    """The planned schedule of a search, and its cost. One unit of training takes one unit of time.

    Attributes:
        unit: what lengths count; None for units of the script's own.
        rungs: shortest first.
        full_units: what training every trial to the longest length would cost.
    """

    searcher: str
    unit: str | None
    workers: int
    seed: int
    trials: int
    rungs: tuple[Rung, ...]
    units: float
    full_units: float
    time: float
    utilisation: float


def preview(config: ExperimentConfig, workers: int | None = None, seed: int = 0) -> Preview:
    """Simulate the search of a configuration with metrics that are random numbers.

    Each trial is then as likely to be promoted as any other, and the numbers below are one draw of many.

    Args:
        workers: how many trials can run at the same time; by default as many as the search wants at most, within the
            ``max_slots`` of the experiment.
        seed: of the metrics.
    Raises:
        InvalidInput: the search method is a custom one.
    """
    if isinstance(config.searcher.method, CustomSearch):
        raise InvalidInput(
            "a custom search method lives outside of the configuration, so that only its author can preview it: "
            "call determined.searcher.simulate(method, config, curve)"
        )
    rng = random.Random(seed)
    number = _workers(config) if workers is None else workers
    result = simulate(
        config=config,
        curve=lambda hparams, length: rng.random(),
        workers=number,
        seed=seed,
        trials=TrialModel(report_every=None),
        keep_decisions=False,
    )
    rungs = _rungs(result)
    return Preview(
        searcher=config.searcher.name,
        unit=None if config.searcher.unit is None else config.searcher.unit.value,
        workers=number,
        seed=seed,
        trials=len(result.trials),
        rungs=rungs,
        units=result.units,
        full_units=float(len(result.trials) * rungs[-1].length) if rungs else 0.0,
        time=result.time,
        utilisation=result.utilisation,
    )


def _workers(config: ExperimentConfig) -> int:
    wanted = config.searcher.max_concurrent_trials
    number = 1 if wanted is None else wanted or DEFAULT_WORKERS
    if config.resources.max_slots is not None:
        number = min(number, config.resources.max_slots // max(config.resources.slots_per_trial, 1))
    return max(number, 1)


def _rungs(result: SimulationResult) -> tuple[Rung, ...]:
    ended = Counter(trial.length for trial in result.trials)
    return tuple(Rung(length, number, ended[length]) for length, number in result.trials_by_length().items())
