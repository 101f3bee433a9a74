"""Samplers of Optuna by name. Nothing here is imported from Optuna before somebody asks for one."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from determined.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    import optuna

SamplerFactory = Callable[[int], "optuna.samplers.BaseSampler"]
"""Makes a sampler from a seed. With equal seeds and equal histories it has to propose equal points."""

KEPT_AS_DATA = frozenset({"RandomSampler", "TPESampler", "QMCSampler", "NSGAIISampler", "NSGAIIISampler"})
"""Samplers whose whole state is the study and NumPy generators."""
NEEDS: Mapping[str, str] = {"CmaEsSampler": "cmaes", "GPSampler": "torch", "QMCSampler": "scipy"}
"""Packages that samplers import only when they are asked."""
_INSTALL = "install it with pip install 'determined-search[optuna]'"
_UNFIT = frozenset({"BaseSampler", "BaseGASampler", "BruteForceSampler", "GridSampler", "PartialFixedSampler"})


def import_optuna() -> Any:
    """The package.

    Raises:
        FailedPrecondition: it is not installed, or too old.
    """
    try:
        import optuna
    except ImportError as missing:
        raise FailedPrecondition(f"this search needs Optuna, which is not here ({missing}); {_INSTALL}") from missing
    version = optuna.__version__
    if int(version.partition(".")[0]) < 4:
        raise FailedPrecondition(f"this search needs Optuna 4 or newer, not {version}; {_INSTALL}")
    return optuna


def make_sampler(name: str, arguments: Mapping[str, Any], seed: int) -> optuna.samplers.BaseSampler:
    """A sampler of ``optuna.samplers``, with ``seed`` unless the arguments hold another.

    Raises:
        InvalidInput: there is no such sampler, or it refuses the arguments.
        FailedPrecondition: Optuna, or a package that the sampler needs, is not installed.
    """
    package = import_optuna()
    names = sampler_names(package)
    if name not in names:
        allowed = ", ".join(names)
        raise InvalidInput(f"Optuna {package.__version__} has no sampler {name!r} for a search (allowed: {allowed})")
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        raise FailedPrecondition(f"{name} of Optuna needs the package {NEEDS[name]}; pip install {NEEDS[name]}")
    sampler = getattr(package.samplers, name)
    given = {**arguments, "seed": seed if arguments.get("seed") is None else arguments["seed"]}
    with warnings.catch_warnings():
        # Whoever names an experimental sampler or argument has chosen it.
        warnings.simplefilter("ignore", package.exceptions.ExperimentalWarning)
        try:
            return cast("optuna.samplers.BaseSampler", sampler(**given))
        except (TypeError, ValueError) as refused:
            raise InvalidInput(f"{name} of Optuna refuses the sampler_args {dict(arguments)}: {refused}") from refused


def make_by_function(factory: Any, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler that a function makes.

    Raises:
        InvalidInput: it is no function, or made something else.
        FailedPrecondition: Optuna is not installed.
    """
    base = import_optuna().samplers.BaseSampler
    if not callable(factory):
        raise InvalidInput(
            "sampler must be the name of a class in optuna.samplers, or a function that makes a sampler from a seed, "
            f"got {factory!r:.80}"
        )
    made = factory(seed)
    if not isinstance(made, base):
        raise InvalidInput(f"the function that was given as sampler made {made!r:.80}, which is no sampler of Optuna")
    return cast("optuna.samplers.BaseSampler", made)


def sampler_names(package: Any) -> list[str]:
    """Names of the samplers that need nothing but their arguments and are not made for grids."""
    found = ((name, getattr(package.samplers, name)) for name in package.samplers.__all__ if name not in _UNFIT)
    return [n for n, kind in found if isinstance(kind, type) and issubclass(kind, package.samplers.BaseSampler)]


def remembers_the_space(sampler: optuna.samplers.BaseSampler) -> bool:
    """Whether what a sampler has seen of the space stays with it when the trials are hidden from it again."""
    if type(sampler).__name__ == "TPESampler":
        return bool(getattr(sampler, "_multivariate", True))
    return type(sampler).__name__ != "RandomSampler"


def is_kept_as_data(sampler: optuna.samplers.BaseSampler) -> bool:
    """Whether the sampler, and each that it leaves parts of its work to, is one of ``KEPT_AS_DATA``."""
    samplers = import_optuna().samplers
    parts = (sampler, *(part for part in vars(sampler).values() if isinstance(part, samplers.BaseSampler)))
    names = (type(part).__name__ for part in parts)
    return all(
        name in KEPT_AS_DATA and type(part) is getattr(samplers, name) for part, name in zip(parts, names, strict=True)
    )
