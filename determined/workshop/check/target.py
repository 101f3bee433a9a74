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
from determined.methods.registry import make_method
from determined.simulator.run import read_config
from determined.workshop.load import load_factory

Config = ExperimentConfig | Mapping[str, Any] | str | Path
SIZE_NAMES = ("max_trials", "num_trials", "n_trials", "trials")
"""Arguments that say how many trials a search makes."""
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

    def number(self, *names: str) -> int | None:
        """What the arguments, or else the configuration, give for the first of these names that is there."""
        given = {**self._known(), **self._bound(), **self.args}
        for name in names:
            value = given.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        return None

    def sized(self) -> Callable[[int], SearchMethod] | None:
        """Makes the method for a search of so many trials; None when nothing says how."""
        if self.factory is None:
            search = None if self.config is None else self.config.searcher
            if search is None or not any(f.name == "max_trials" for f in dataclasses.fields(search.method)):
                return None
            return lambda trials: make_method(_of_size(self.config, trials))
        name = self.size_name
        if name is None:
            return None
        return lambda trials: dataclasses.replace(self, args={**self.args, name: trials})()

    @property
    def size_name(self) -> str | None:
        """The argument that says how many trials the search makes."""
        parameters = self._parameters()
        return next((name for name in SIZE_NAMES if name in parameters), None)

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

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        called: Any = self.factory
        if isinstance(called, str):
            module, _, name = called.partition(":")
            called = functools.reduce(getattr, name.split("."), importlib.import_module(module))
        try:
            return inspect.signature(called).parameters
        except (TypeError, ValueError):
            return {}


def _of_size(config: ExperimentConfig | None, trials: int) -> ExperimentConfig:
    assert config is not None
    method: Any = config.searcher.method
    searcher = dataclasses.replace(config.searcher, method=dataclasses.replace(method, max_trials=trials))
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
