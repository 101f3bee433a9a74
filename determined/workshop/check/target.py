"""What is checked: a method in any of the forms in which it can be named, and what its arguments say about it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.domain.config import CustomSearch, ExperimentConfig
from determined.domain.lengths import Length
from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput
from determined.methods.grid import GridSearch
from determined.methods.registry import make_method
from determined.methods.single import SingleSearch
from determined.simulator.run import read_config
from determined.workshop.load import load_factory, parameters_of

Config = ExperimentConfig | Mapping[str, Any] | str | Path
SIZE_NAMES = ("max_trials", "num_trials", "n_trials", "trials", "population_size")
"""Arguments that say how many trials a search makes."""
_ONE_SIZE = {"single": "it makes one trial", "grid": "a grid has the size of its space"}
_ONE_SIZE_OF: Mapping[type[Any], str] = {SingleSearch: _ONE_SIZE["single"], GridSearch: _ONE_SIZE["grid"]}
METRIC = "METRIC"
"""What stands for the number in a template of a metric."""


@dataclass(frozen=True)
class Target:
    """Makes the method; can be pickled, so that other processes can make it too.

    Attributes:
        factory: a class or function, ``module:Name`` of one, or None for the built-in that the configuration names.
        args: arguments by name.
    """

    factory: Callable[..., SearchMethod] | str | None
    args: Mapping[str, Any] = field(default_factory=dict)
    config: ExperimentConfig | None = None

    def __call__(self) -> SearchMethod:
        """A new method.

        Raises:
            InvalidInput: it cannot be made.
        """
        if self.factory is None:
            if self.config is None:
                raise InvalidInput("name a search method, or give the configuration of a built-in one")
            return make_method(self.config)
        if isinstance(self.factory, str):
            return load_factory(self.factory, self.args, self._known())()
        made = self.factory(**self.args)
        if not isinstance(made, SearchMethod):
            raise InvalidInput(f"{self.name} made {made!r:.60}, which is no SearchMethod")
        return made

    @property
    def name(self) -> str:
        """What to call it."""
        if self.factory is None:
            return "" if self.config is None else self.config.searcher.name
        if isinstance(self.factory, str):
            return self.factory.rpartition(":")[2]
        made: Any = self.factory.func if isinstance(self.factory, functools.partial) else self.factory
        return str(getattr(made, "__name__", type(made).__name__))

    def number(self, name: str) -> int | None:
        """What the arguments, or else the configuration, or else the defaults of the method, give for a name."""
        default = next((p.default for p in self._own_parameters() if p.name == name), None)
        value = {name: default, **self._known(), **self._bound(), **self.args}[name]
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def sized(self, name: str | None = None) -> Callable[[int], SearchMethod] | None:
        """Makes the method for a search of so many trials; None when nothing says how.

        Args:
            name: of the argument that says how many trials; by default the first of ``SIZE_NAMES`` that there is.
        Raises:
            InvalidInput: there is no argument of that name.
        """
        known = self._names()
        if name is not None and name not in known and not self._takes_any():
            raise InvalidInput(
                f"sized is {name!r}, but {self.name} has no argument of this name (it has: "
                f"{', '.join(known) or 'none'}); name the one that says how many trials the search makes"
            )
        name = name or next((size for size in SIZE_NAMES if size in known), None)
        if name is None:
            return None
        if self.factory is None:
            return lambda trials: make_method(_of_size(self.config, name, trials))
        return lambda trials: dataclasses.replace(self, args={**self.args, name: trials})()

    @property
    def why_one_size(self) -> str:
        """Why no search of another size can be made, and what helps when something does."""
        if self.factory is None:
            return _ONE_SIZE.get(self.name, f"nothing in the configuration of {self.name} says how many trials it has")
        called = self._called()
        called = getattr(called, "func", called)
        for kind, why in _ONE_SIZE_OF.items():
            if isinstance(called, type) and issubclass(called, kind):
                return why
        known = self._names()
        if not known and not self._takes_any():
            return f"{self.name} has no arguments, so none says how many trials it makes; give it one"
        return f"no argument is called {', '.join(SIZE_NAMES)}; name the one that says how many trials with sized=NAME"

    def _known(self) -> dict[str, Any]:
        if self.config is None:
            return {}
        known: dict[str, Any] = {"config": self.config, "space": self.config.hyperparameters}
        method = self.config.searcher.method
        if not isinstance(method, CustomSearch):
            known |= {"seed": self.config.seed, "smaller_is_better": self.config.searcher.smaller_is_better}
            known |= {f.name: _plain(getattr(method, f.name)) for f in dataclasses.fields(method)}
        return known

    def _bound(self) -> Mapping[str, Any]:
        return self.factory.keywords if isinstance(self.factory, functools.partial) else {}

    def _called(self) -> Any:
        called: Any = self.factory
        if isinstance(called, str):
            module, _, name = called.partition(":")
            called = functools.reduce(getattr, name.split("."), importlib.import_module(module))
        return called

    def _own_parameters(self) -> list[inspect.Parameter]:
        """Without those of bases: a class may hand on what differs from their defaults."""
        try:
            return list(inspect.signature(self._called()).parameters.values())
        except (TypeError, ValueError):
            return []

    def _parameters(self) -> list[inspect.Parameter]:
        return list(parameters_of(self._called()))

    def _takes_any(self) -> bool:
        return any(parameter.kind is parameter.VAR_KEYWORD for parameter in self._parameters())

    def _names(self) -> list[str]:
        """Arguments that may be given by name, those that are given first."""
        if self.factory is None:
            search: Any = None if self.config is None else self.config.searcher.method
            return [] if search is None else [f.name for f in dataclasses.fields(search)]
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        there = [parameter.name for parameter in self._parameters() if parameter.kind in by_name]
        return list(dict.fromkeys([*self.args, *self._bound(), *there]))


def _of_size(config: ExperimentConfig | None, name: str, trials: int) -> ExperimentConfig:
    assert config is not None
    method: Any = config.searcher.method
    searcher = dataclasses.replace(config.searcher, method=dataclasses.replace(method, **{name: trials}))
    return dataclasses.replace(config, searcher=searcher)


def _plain(value: Any) -> Any:
    return value.units if isinstance(value, Length) else value


def target_of(
    factory: Callable[..., SearchMethod] | str | None, args: Mapping[str, Any] | None, config: Config | None
) -> Target:
    """Read a method in any of its forms, and make it once.

    Raises:
        InvalidInput: it cannot be made, or the configuration is wrong.
    """
    read = None if config is None else read_config(config, 0)
    target = Target(factory, dict(args or {}), read)
    target()
    return target


@dataclass(frozen=True)
class Template:
    """Makes metrics of a form, e.g. ``{"error": "METRIC"}``, from numbers."""

    form: Any

    def __call__(self, value: float) -> Any:
        """The form with this number in it."""
        return _filled(self.form, value)


def template(text: str) -> Template:
    """Read a form.

    Raises:
        InvalidInput: it is no JSON, or holds no ``METRIC``.
    """
    try:
        form = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the metric {text!r:.80} is no JSON: {error}") from None
    if METRIC not in text:
        raise InvalidInput(f'the metric {text:.80} has no place for a number; write "{METRIC}" where it belongs')
    return Template(form)


def _filled(form: Any, value: float) -> Any:
    if form == METRIC:
        return value
    if isinstance(form, dict):
        return {name: _filled(member, value) for name, member in form.items()}
    return [_filled(member, value) for member in form] if isinstance(form, list) else form
