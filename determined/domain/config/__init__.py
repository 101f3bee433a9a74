"""Experiment configuration: YAML text in, checked and completed values out, all problems at once."""

from determined.domain.config.bounds import MAX_BYTES
from determined.domain.config.overrides import minimal_for_test_mode, with_overrides
from determined.domain.config.parse import parse_config
from determined.domain.config.read_hparams import parse_space
from determined.domain.config.searcher import (
    AdaptiveAshaSearch,
    AsyncHalvingSearch,
    CustomSearch,
    GridSearch,
    HyperbandSearch,
    OptunaSearch,
    PbtSearch,
    RandomSearch,
    SearcherConfig,
    SingleSearch,
)
from determined.domain.config.storage import S3, Azure, CheckpointStorage, Gcs, SharedFs
from determined.domain.config.values import ConfigDefaults, Environment, ExperimentConfig, Resources

__all__ = [
    "MAX_BYTES",
    "S3",
    "AdaptiveAshaSearch",
    "AsyncHalvingSearch",
    "Azure",
    "CheckpointStorage",
    "ConfigDefaults",
    "CustomSearch",
    "Environment",
    "ExperimentConfig",
    "Gcs",
    "GridSearch",
    "HyperbandSearch",
    "OptunaSearch",
    "PbtSearch",
    "RandomSearch",
    "Resources",
    "SearcherConfig",
    "SharedFs",
    "SingleSearch",
    "minimal_for_test_mode",
    "parse_config",
    "parse_space",
    "with_overrides",
]
