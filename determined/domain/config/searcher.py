"""The ``searcher`` section: which search method, for how long, and over which metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from determined.domain.lengths import Length, Unit

DEFAULT_CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class CustomSearch:
    """A search method that lives elsewhere and posts its operations."""

    name: ClassVar[str] = "custom"
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class SingleSearch:
    """One trial."""

    name: ClassVar[str] = "single"
    max_length: Length


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Independent random points; ``max_concurrent_trials`` 0 means no limit."""

    name: ClassVar[str] = "random"
    max_length: Length
    max_trials: int
    max_concurrent_trials: int = DEFAULT_CONCURRENCY


@dataclass(frozen=True, slots=True)
class GridSearch:
    """Every point of the grid; ``max_concurrent_trials`` 0 means no limit."""

    name: ClassVar[str] = "grid"
    max_length: Length
    max_concurrent_trials: int = DEFAULT_CONCURRENCY


@dataclass(frozen=True, slots=True)
class AsyncHalvingSearch:
    """Asynchronous successive halving in one bracket."""

    name: ClassVar[str] = "async_halving"
    max_length: Length
    max_trials: int
    num_rungs: int
    divisor: float = 4
    max_concurrent_trials: int = DEFAULT_CONCURRENCY
    stop_once: bool = False


@dataclass(frozen=True, slots=True)
class AdaptiveAshaSearch:
    """Several brackets of asynchronous successive halving; empty ``bracket_rungs`` follow from ``mode``."""

    name: ClassVar[str] = "adaptive_asha"
    max_length: Length
    max_trials: int
    bracket_rungs: tuple[int, ...] = ()
    mode: str = "standard"
    divisor: float = 4
    max_rungs: int = 5
    max_concurrent_trials: int = DEFAULT_CONCURRENCY
    stop_once: bool = False


@dataclass(frozen=True, slots=True)
class HyperbandSearch:
    """All brackets of asynchronous successive halving, from the most rungs to one."""

    name: ClassVar[str] = "hyperband"
    max_length: Length
    max_trials: int
    divisor: float = 4
    max_rungs: int = 5
    max_concurrent_trials: int = DEFAULT_CONCURRENCY
    stop_once: bool = False


@dataclass(frozen=True, slots=True)
class PbtSearch:
    """Population-based training: after each round the worst members go on as copies of the best, slightly changed."""

    name: ClassVar[str] = "pbt"
    max_length: Length
    population_size: int
    num_rounds: int
    truncate_fraction: float = 0.2
    resample_probability: float = 0.2
    perturb_factor: float = 0.2


@dataclass(frozen=True, slots=True)
class OptunaSearch:
    """Points from a sampler of Optuna; with more than one rung, successive halving stops trials early.

    ``num_brackets`` is at most ``num_rungs``; 0, and None for ``stop_once``, leave it to the method.
    """

    name: ClassVar[str] = "optuna"
    max_length: Length
    max_trials: int
    sampler: str = "TPESampler"
    sampler_args: Mapping[str, Any] = field(default_factory=dict)
    num_rungs: int = 1
    divisor: float = 4
    max_concurrent_trials: int = DEFAULT_CONCURRENCY
    stop_once: bool | None = None
    num_brackets: int = 0


Search = (
    CustomSearch
    | SingleSearch
    | RandomSearch
    | GridSearch
    | AsyncHalvingSearch
    | AdaptiveAshaSearch
    | HyperbandSearch
    | PbtSearch
    | OptunaSearch
)


@dataclass(frozen=True, slots=True)
class SearcherConfig:
    """What every search method has, and ``method`` with what only some of them have.

    Attributes:
        source_trial_id, source_checkpoint_uuid: where trials start from; at most one of them is set.
    """

    metric: str
    method: Search
    smaller_is_better: bool = True
    source_trial_id: int | None = None
    source_checkpoint_uuid: str | None = None

    @property
    def name(self) -> str:
        """Name of the search method in configurations and on the wire."""
        return self.method.name

    @property
    def unit(self) -> Unit | None:
        """What lengths count, when the configuration says so."""
        return self.method.unit if isinstance(self.method, CustomSearch) else self.method.max_length.unit

    @property
    def max_length(self) -> Length | None:
        """The longest a trial trains; None for ``custom``."""
        return None if isinstance(self.method, CustomSearch) else self.method.max_length

    @property
    def max_trials(self) -> int | None:
        """How many trials there will be; None when the section does not say it (``custom``, ``grid``, ``pbt``)."""
        if isinstance(self.method, (CustomSearch, GridSearch, PbtSearch)):
            return None
        return 1 if isinstance(self.method, SingleSearch) else self.method.max_trials

    @property
    def max_concurrent_trials(self) -> int | None:
        """How many trials may be open at once, 0 for no limit; None when the method has no such setting."""
        if isinstance(self.method, (CustomSearch, SingleSearch, PbtSearch)):
            return None
        return self.method.max_concurrent_trials

    def to_json(self) -> dict[str, Any]:
        """The section with all defaults."""
        method = {f.name: _json(getattr(self.method, f.name)) for f in dataclasses.fields(self.method)}
        return {
            "name": self.name,
            "metric": self.metric,
            "smaller_is_better": self.smaller_is_better,
            "source_trial_id": self.source_trial_id,
            "source_checkpoint_uuid": self.source_checkpoint_uuid,
            **method,
        }


def _json(value: Any) -> Any:
    if isinstance(value, Length):
        return value.to_json()
    if isinstance(value, Unit):
        return value.value
    return list(value) if isinstance(value, tuple) else value
