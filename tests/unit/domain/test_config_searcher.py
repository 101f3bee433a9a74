from __future__ import annotations

from typing import Any

import pytest
import yaml

from determined.domain.config import (
    AdaptiveAshaSearch,
    AsyncHalvingSearch,
    ConfigDefaults,
    CustomSearch,
    GridSearch,
    HyperbandSearch,
    PbtSearch,
    RandomSearch,
    SearcherConfig,
    SingleSearch,
    parse_config,
)
from determined.domain.lengths import Length, Unit
from determined.errors import InvalidConfig

DEFAULTS = ConfigDefaults({"type": "shared_fs", "host_path": "/ckpt"}, "generated", 17)
BATCHES = Length(100, Unit.BATCHES)


def parse(section: str, hyperparameters: str = "{}") -> SearcherConfig:
    """A searcher section without its metric."""
    searcher = {"metric": "loss", **yaml.safe_load(section)}
    config = {"entrypoint": "x", "searcher": searcher, "hyperparameters": yaml.safe_load(hyperparameters)}
    return parse_config(config, DEFAULTS).searcher


def problems(section: str, hyperparameters: str = "{}") -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        parse(section, hyperparameters)
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("section", "method"),
    [
        ("{name: custom}", CustomSearch()),
        ("{name: custom, unit: epochs}", CustomSearch(Unit.EPOCHS)),
        ("{name: custom, unit: null}", CustomSearch()),
        ("{name: single, max_length: {batches: 100}}", SingleSearch(BATCHES)),
        ("{name: single, max_length: 100}", SingleSearch(Length(100))),
        ("{name: random, max_length: 100, max_trials: 5}", RandomSearch(Length(100), 5, 16)),
        (
            "{name: random, max_length: 100, max_trials: 5, max_concurrent_trials: 0}",
            RandomSearch(Length(100), 5, 0),
        ),
        ("{name: grid, max_length: {records: 7}}", GridSearch(Length(7, Unit.RECORDS), 16)),
        (
            "{name: async_halving, max_length: {batches: 100}, max_trials: 9, num_rungs: 3}",
            AsyncHalvingSearch(BATCHES, 9, 3, 4, 16, False),
        ),
        (
            "{name: async_halving, max_length: {batches: 100}, max_trials: 9, num_rungs: 3, divisor: 1.5, "
            "max_concurrent_trials: 2, stop_once: true}",
            AsyncHalvingSearch(BATCHES, 9, 3, 1.5, 2, True),
        ),
        (
            "{name: adaptive_asha, max_length: {batches: 100}, max_trials: 9}",
            AdaptiveAshaSearch(BATCHES, 9, (), "standard", 4, 5, 16, False),
        ),
        (
            "{name: adaptive_asha, max_length: {batches: 100}, max_trials: 9, bracket_rungs: [3, 1], "
            "mode: conservative, divisor: 3, max_rungs: 4, max_concurrent_trials: 0, stop_once: yes}",
            AdaptiveAshaSearch(BATCHES, 9, (3, 1), "conservative", 3, 4, 0, True),
        ),
        ("{name: single, max_length: 100, max_trials: null}", SingleSearch(Length(100))),
        ("{name: hyperband, max_length: 100, max_trials: 9}", HyperbandSearch(Length(100), 9, 4, 5, 16, False)),
        (
            "{name: hyperband, max_length: {batches: 100}, max_trials: 9, divisor: 3, max_rungs: 4, "
            "max_concurrent_trials: 0, stop_once: true}",
            HyperbandSearch(BATCHES, 9, 3, 4, 0, True),
        ),
        (
            "{name: pbt, max_length: {batches: 100}, population_size: 8, num_rounds: 10}",
            PbtSearch(BATCHES, 8, 10, 0.2, 0.2, 0.2),
        ),
        (
            "{name: pbt, max_length: 100, population_size: 8, num_rounds: 100, truncate_fraction: 0.5, "
            "resample_probability: 1, perturb_factor: 0}",
            PbtSearch(Length(100), 8, 100, 0.5, 1, 0),
        ),
    ],
)
def test_each_search_method_is_read_with_its_defaults(section: str, method: Any) -> None:
    searcher = parse(section)
    assert searcher.method == method
    assert searcher.name == method.name
    assert parse(yaml.safe_dump(searcher.to_json())) == searcher


def test_what_all_have_is_read() -> None:
    searcher = parse("{name: custom, metric: acc, smaller_is_better: false, source_checkpoint_uuid: u-1}")
    assert (searcher.metric, searcher.smaller_is_better) == ("acc", False)
    assert (searcher.source_trial_id, searcher.source_checkpoint_uuid) == (None, "u-1")
    assert parse("{name: custom, source_trial_id: 3}").source_trial_id == 3
    assert parse("{name: custom}").smaller_is_better is True


@pytest.mark.parametrize(
    ("section", "unit", "max_length", "max_trials", "concurrent"),
    [
        ("{name: custom, unit: batches}", Unit.BATCHES, None, None, None),
        ("{name: single, max_length: {epochs: 2}}", Unit.EPOCHS, Length(2, Unit.EPOCHS), 1, None),
        ("{name: grid, max_length: 2}", None, Length(2), None, 16),
        ("{name: random, max_length: 2, max_trials: 3}", None, Length(2), 3, 16),
        ("{name: hyperband, max_length: 2, max_trials: 3}", None, Length(2), 3, 16),
        ("{name: pbt, max_length: 2, population_size: 3, num_rounds: 1}", None, Length(2), None, None),
    ],
)
def test_common_questions_have_answers_for_every_method(
    section: str, unit: Unit | None, max_length: Length | None, max_trials: int | None, concurrent: int | None
) -> None:
    searcher = parse(section)
    assert searcher.unit is unit
    assert searcher.max_length == max_length
    assert searcher.max_trials == max_trials
    assert searcher.max_concurrent_trials == concurrent


def test_the_complete_section_has_unit_for_custom_only() -> None:
    # Clients take the unit from this key when it is there, and from max_length when it is not.
    assert parse("{name: custom, max_length: {batches: 5}}").to_json() == {
        "name": "custom",
        "metric": "loss",
        "smaller_is_better": True,
        "source_trial_id": None,
        "source_checkpoint_uuid": None,
        "unit": None,
    }
    assert "unit" not in parse("{name: single, max_length: 5}").to_json()


@pytest.mark.parametrize(
    ("section", "path", "part"),
    [
        ("{name: null}", "searcher.name", "missing; one of custom, single"),
        ("{name: rando}", "searcher.name", "did you mean random?"),
        ("{name: 5}", "searcher.name", "one of custom"),
        ("{name: adaptive}", "searcher.name", "use adaptive_asha"),
        ("{name: adaptive_simple}", "searcher.name", "use adaptive_asha"),
        ("{name: sync_halving}", "searcher.name", "use async_halving"),
        ("{name: custom, metric: null}", "searcher.metric", "missing"),
        ("{name: custom, metric: ''}", "searcher.metric", "blank"),
        ("{name: custom, metric: 5}", "searcher.metric", "text"),
        ("{name: custom, smaller_is_better: 'false'}", "searcher.smaller_is_better", "remove the quotes"),
        ("{name: custom, smaller_is_better: 0}", "searcher.smaller_is_better", "true or false, not 0"),
        ("{name: custom, unit: batch}", "searcher.unit", "did you mean batches?"),
        ("{name: custom, source_trial_id: 0}", "searcher.source_trial_id", "at least 1"),
        (
            "{name: custom, source_trial_id: 1, source_checkpoint_uuid: u}",
            "searcher.source_checkpoint_uuid",
            "keep one",
        ),
        ("{name: custom, max_lenght: 5}", "searcher.max_lenght", "known here"),
        ("{name: single}", "searcher.max_length", "missing"),
        ("{name: single, max_length: 0}", "searcher.max_length", "at least 1"),
        ("{name: single, max_length: -5}", "searcher.max_length", "from 0"),
        ("{name: single, max_length: 1.5}", "searcher.max_length", "whole number"),
        ("{name: single, max_length: 9223372036854775808}", "searcher.max_length", "from 0"),
        ("{name: single, max_length: {batch: 5}}", "searcher.max_length", "unknown unit"),
        ("{name: single, max_length: {batches: 5, epochs: 1}}", "searcher.max_length", "exactly one unit"),
        ("{name: single, max_length: 5, max_trials: 3}", "searcher.max_trials", "random, async_halving, adaptive"),
        ("{name: single, max_length: 5, unit: batches}", "searcher.unit", "is a field of custom, not of single"),
        ("{name: single, max_lenth: 5, max_length: 5}", "searcher.max_lenth", "did you mean max_length?"),
        ("{name: random, max_length: 5}", "searcher.max_trials", "missing"),
        ("{name: random, max_length: 5, max_trials: 0}", "searcher.max_trials", "from 1"),
        (
            "{name: random, max_length: 5, max_trials: 1, max_concurrent_trials: -1}",
            "searcher.max_concurrent_trials",
            "from 0",
        ),
        ("{name: grid, max_length: 5, max_trials: 4}", "searcher.max_trials", "not of grid"),
        (
            "{name: async_halving, max_length: 5, max_trials: 4, num_rungs: 1}",
            "searcher.max_length",
            "{batches: 5}",
        ),
        ("{name: async_halving, max_length: {batches: 5}, max_trials: 4}", "searcher.num_rungs", "missing"),
        (
            "{name: async_halving, max_length: {batches: 5}, max_trials: 4, num_rungs: 0}",
            "searcher.num_rungs",
            "from 1",
        ),
        (
            "{name: async_halving, max_length: {batches: 5}, max_trials: 4, num_rungs: 50}",
            "searcher.num_rungs",
            "use fewer",
        ),
        (
            "{name: async_halving, max_length: {batches: 5}, max_trials: 4, num_rungs: 2, divisor: 1}",
            "searcher.divisor",
            "greater than 1",
        ),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, divisor: x}", "searcher.divisor", "a number"),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, divisor: .inf}", "searcher.divisor", "finite"),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, mode: fast}", "searcher.mode", "aggressive"),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, max_rungs: 0}", "searcher.max_rungs", "from 1"),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, bracket_rungs: 3}", "searcher.bracket_rungs", "list"),
        (
            "{name: adaptive_asha, max_length: 5, max_trials: 4, bracket_rungs: [1, 0]}",
            "searcher.bracket_rungs.1",
            "from 1",
        ),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, num_rungs: 3}", "searcher.num_rungs", "async_halving"),
        ("{name: hyperband, max_length: 5}", "searcher.max_trials", "missing"),
        ("{name: hyperband, max_length: 5, max_trials: 4, divisor: 0.5}", "searcher.divisor", "greater than 1"),
        ("{name: hyperband, max_length: 5, max_trials: 4, max_rungs: 0}", "searcher.max_rungs", "from 1"),
        ("{name: hyperband, max_length: 5, max_trials: 4, mode: standard}", "searcher.mode", "adaptive_asha, not"),
        ("{name: pbt, max_length: 5, num_rounds: 4}", "searcher.population_size", "how many trials train at a time"),
        ("{name: pbt, max_length: 5, population_size: 4}", "searcher.num_rounds", "missing"),
        ("{name: pbt, population_size: 4, num_rounds: 4}", "searcher.max_length", "missing"),
        ("{name: pbt, max_length: 5, population_size: 1, num_rounds: 4}", "searcher.population_size", "from 2"),
        ("{name: pbt, max_length: 5, population_size: 4, num_rounds: 6}", "searcher.num_rounds", "do not fit"),
        (
            "{name: pbt, max_length: 5, population_size: 4, num_rounds: 5, truncate_fraction: 0.51}",
            "searcher.truncate_fraction",
            "a number from 0 to 0.5, not 0.51",
        ),
        (
            "{name: pbt, max_length: 5, population_size: 4, num_rounds: 5, resample_probability: -0.1}",
            "searcher.resample_probability",
            "from 0 to 1",
        ),
        (
            "{name: pbt, max_length: 5, population_size: 4, num_rounds: 5, perturb_factor: x}",
            "searcher.perturb_factor",
            "a number",
        ),
        (
            "{name: pbt, max_length: 5, population_size: 4, num_rounds: 5, max_concurrent_trials: 5}",
            "searcher.max_concurrent_trials",
            "not of pbt",
        ),
        ("{name: adaptive_asha, max_length: 5, max_trials: 4, stop_once: 1}", "searcher.stop_once", "true or false"),
    ],
)
def test_each_search_method_refuses_what_it_cannot_use(section: str, path: str, part: str) -> None:
    found = problems(section)
    assert list(found) == [path]
    assert part in found[path]


def test_too_many_brackets_are_refused() -> None:
    brackets = [1] * 1001
    found = problems(f"{{name: adaptive_asha, max_length: 5, max_trials: 4, bracket_rungs: {brackets}}}")
    assert "at most 1000" in found["searcher.bracket_rungs"]


@pytest.mark.parametrize("searcher", [None, 5, [1]])
def test_a_searcher_that_is_no_mapping_is_one_problem(searcher: Any) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_config({"entrypoint": "x", "searcher": searcher}, DEFAULTS)
    assert [problem.path for problem in caught.value.problems] == ["searcher"]


def test_an_empty_searcher_lacks_name_and_metric_only() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_config({"entrypoint": "x", "searcher": {}}, DEFAULTS)
    assert [problem.path for problem in caught.value.problems] == ["searcher.name", "searcher.metric"]


def test_fields_of_any_method_pass_while_the_name_is_unknown() -> None:
    assert list(problems("{name: asha, max_trials: 5, num_rungs: 2}")) == ["searcher.name"]


COUNTED = (
    "{a: {type: int, minval: 0, maxval: 9, count: 5}, n: {b: {type: log, base: 2, minval: 0, maxval: 1, count: 2}}}"
)


def test_a_grid_needs_the_count_of_every_range() -> None:
    assert parse("{name: grid, max_length: 5}", COUNTED).name == "grid"
    bare = COUNTED.replace(", count: 5", "").replace(", count: 2", "")
    assert list(problems("{name: grid, max_length: 5}", bare)) == [
        "hyperparameters.a.count",
        "hyperparameters.n.b.count",
    ]
    assert parse("{name: random, max_length: 5, max_trials: 1}", bare).name == "random"


@pytest.mark.parametrize(("count", "part"), [(100, "1000000 points"), (2**31 - 1, "far too many points")])
def test_a_grid_of_too_many_points_is_refused(count: int, part: str) -> None:
    member = f"{{type: double, minval: 0, maxval: 1, count: {count}}}"
    found = problems("{name: grid, max_length: 5}", f"{{a: {member}, b: {member}, c: {member}}}")
    assert part in found["hyperparameters"]
