"""Changes to a configuration from the command line: ``--config a.b=value`` and ``--test-mode``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from determined.domain.config.document import read_document, read_yaml
from determined.domain.config.read_hparams import parse_space
from determined.domain.hparams import Hyperparameter, Rng, Space, sample
from determined.errors import InvalidConfig, Problem

_LISTS = frozenset({"bind_mounts", "labels", "environment.environment_variables", "resources.devices"})
_TEST_PREFIX = "[test-mode]"


def with_overrides(source: str | bytes | Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A configuration with some values replaced.

    Args:
        source: the configuration; it need not be complete.
        overrides: each ``key.sub=value``. The value is YAML; outside of quotes, brackets and braces, commas
            make a list of it.

    Raises:
        InvalidConfig: the configuration cannot be read, or an override is malformed; all such are listed.
    """
    document = read_document(source)
    problems = list(document.problems)
    for override in overrides:
        problem = _apply(document.data, override)
        if problem is not None:
            problems.append(problem)
    if problems:
        raise InvalidConfig(problems)
    return document.data


def minimal_for_test_mode(config: Mapping[str, Any], rng: Rng | None = None) -> dict[str, Any]:
    """The configuration of a short trial run: one batch of one point, no restarts, no checkpoint kept.

    Args:
        config: the user's configuration; it is not changed.
        rng: draws the point; without it, the middle of each range is taken.

    Raises:
        InvalidConfig: the hyperparameters cannot be read.
    """
    searcher = _mapping(config.get("searcher"))
    space = parse_space(_mapping(config.get("hyperparameters")))
    storage = {"save_experiment_best": 0, "save_trial_best": 0, "save_trial_latest": 0}
    return {
        **config,
        "description": f"{_TEST_PREFIX} {config.get('description') or ''}".rstrip(),
        "scheduling_unit": 1,
        "min_validation_period": {"batches": 1},
        "checkpoint_storage": {**_mapping(config.get("checkpoint_storage")), **storage},
        "searcher": {
            "name": "single",
            "metric": searcher.get("metric"),
            "smaller_is_better": searcher.get("smaller_is_better"),
            "max_length": {"batches": 1},
        },
        "hyperparameters": _constants(space, sample(space, rng or _Middle())),
        "max_restarts": 0,
    }


class _Middle:
    """A generator that always gives the middle."""

    def random(self) -> float:
        return 0.5

    def randrange(self, start: int, /) -> int:
        return start // 2


def _constants(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point of the space as a space of its own."""
    return {name: _constant(member, point[name]) for name, member in space}


def _constant(member: Hyperparameter, value: Any) -> dict[str, Any]:
    return _constants(member, value) if isinstance(member, Space) else {"type": "const", "val": value}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _apply(config: dict[str, Any], override: str) -> Problem | None:
    name, found, text = override.partition("=")
    keys = name.split(".")
    if not found or not all(keys):
        return Problem("", f"--config {override!r:.100} must be of the form key.sub=value")
    try:
        value = _value(name, text)
    except InvalidConfig as error:
        return Problem(name, f"--config {override!r:.100}: {error.problems[0].message}")
    return _set(config, keys, value)


def _set(config: dict[str, Any], keys: list[str], value: Any) -> Problem | None:
    here = config
    for depth, key in enumerate(keys[:-1], start=1):
        inner = here.get(key)
        # Aliases may share a mapping, so the one to change is copied.
        inner = dict(inner) if isinstance(inner, dict) else inner
        if inner is None:
            inner = {}
        elif not isinstance(inner, dict):
            return Problem(".".join(keys), f"cannot be set: {'.'.join(keys[:depth])} is not a mapping")
        here[key] = inner
        here = inner
    here[keys[-1]] = value
    return None


def _value(name: str, text: str) -> Any:
    if text.startswith(("[", "{")) or _is_quoted(text) or "," not in text:
        value = _yaml(text)
    else:
        value = [_yaml(part) for part in text.split(",")]
    if name in _LISTS and value is not None and not isinstance(value, list):
        # A mapping of variables or labels is a form of its own; a lone mount or device is one of a list.
        is_form = isinstance(value, dict) and name in ("labels", "environment.environment_variables")
        return value if is_form else [value]
    return value


def _is_quoted(text: str) -> bool:
    quote = text[:1]
    return quote in ("'", '"') and len(text) > 1 and text.find(quote, 1) == len(text) - 1


def _yaml(text: str) -> Any:
    data, problems, _ = read_yaml(text)
    if problems:
        raise InvalidConfig(problems)
    return data
