"""The tables of a durable store, in SQLAlchemy Core; their migrations are held equal to this by a test.

Columns carry the names of the fields in ``domain.records``. Times are seconds since the epoch. Rows that are only ever
read in the order of their owner (journal, queue, logs) are stored in that order.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite makes a column its row number only when the type is exactly INTEGER."""

TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Sorted by code points, as SQLite and Python do, whatever the locale of the database is."""


def _id() -> Column[int]:
    return Column("id", ID, primary_key=True, autoincrement=False)


def _need(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _may(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _owner(name: str, table: str, primary_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, ForeignKey(f"{table}.id"), nullable=False, primary_key=primary_key)


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False, nullable=False)


meta: Final = Table("meta", metadata, _key("key", TEXT), _need("value", TEXT))

counters: Final = Table("counters", metadata, _key("name", TEXT), _need("used", BigInteger))
"""Largest id ever used, by kind; outlives the rows."""

users: Final = Table(
    "users",
    metadata,
    _id(),
    _need("username", TEXT),
    _need("password_hash", TEXT),
    _need("admin", Boolean),
    _need("active", Boolean),
    _need("display_name", TEXT),
    _need("remote", Boolean),
    _need("modified_at", Double),
    UniqueConstraint("username"),
)

tokens: Final = Table(
    "tokens",
    metadata,
    _key("digest", TEXT),
    _need("user_id", BigInteger),
    _need("created_at", Double),
    _may("expires_at", Double),
)

experiments: Final = Table(
    "experiments",
    metadata,
    _id(),
    _need("owner_id", BigInteger),
    _need("name", TEXT),
    _need("state", TEXT),
    _need("config", TEXT),
    _need("original_config", TEXT),
    _need("searcher_type", TEXT),
    _need("metric", TEXT),
    _need("smaller_is_better", Boolean),
    _need("context", TEXT),
    _need("job_id", TEXT),
    _need("created_at", Double),
    _need("description", TEXT),
    _need("labels", TEXT),
    _need("notes", TEXT),
    _need("archived", Boolean),
    _may("ended_at", Double),
    _may("progress", Double),
    _need("resource_pool", TEXT),
    _need("project_id", BigInteger),
    _may("forked_from", BigInteger),
    _may("client_key", TEXT),
    _need("submission", TEXT),
    _need("epoch", BigInteger),
    _need("num_trials", BigInteger),
    _may("best_trial_id", BigInteger),
    _may("best_metric", Double),
    _need("checkpoint_count", BigInteger),
    _need("checkpoint_size", BigInteger),
    _need("message", TEXT),
    _may("warm_start", TEXT),
    _need("uncollected", Boolean),
    UniqueConstraint("owner_id", "client_key"),
    Index(None, "state"),
    Index(None, "uncollected"),
)

trials: Final = Table(
    "trials",
    metadata,
    _id(),
    _owner("experiment_id", "experiments"),
    _need("request_id", TEXT),
    _need("state", TEXT),
    _need("hparams", TEXT),
    _need("seed", BigInteger),
    _need("created_at", Double),
    _may("ended_at", Double),
    _need("run_id", BigInteger),
    _may("phase", TEXT),
    _need("restarts", BigInteger),
    _need("closed", Boolean),
    _need("runner_state", TEXT),
    _may("warm_start", TEXT),
    _need("total_batches", BigInteger),
    _need("units", Double),
    _may("best_validation", BigInteger),
    _may("best_metric", Double),
    _may("latest_validation", BigInteger),
    _may("latest_metric", Double),
    _need("checkpoint_count", BigInteger),
    _need("checkpoint_size", BigInteger),
    UniqueConstraint("experiment_id", "request_id"),
    Index(None, "experiment_id", "id"),
    Index(None, "experiment_id", "best_metric"),
    Index(None, "warm_start"),
)

runs: Final = Table(
    "runs",
    metadata,
    _key("allocation_id", TEXT),
    _need("experiment_id", BigInteger),
    _owner("trial_id", "trials"),
    _need("run_id", BigInteger),
    _need("agent", TEXT),
    _need("slot_ids", TEXT),
    _need("granted_at", Double),
    _may("seen_at", Double),
    _may("ended_at", Double),
    _may("code", BigInteger),
    _need("reason", TEXT),
    _need("lines", BigInteger),
    Index(None, "trial_id", "run_id"),
)

metrics: Final = Table(
    "metrics",
    metadata,
    _id(),
    _need("experiment_id", BigInteger),
    _owner("trial_id", "trials"),
    _need("run_id", BigInteger),
    _need("group", TEXT),
    _need("steps", BigInteger),
    _need("at", Double),
    _need("metrics", TEXT),
    _need("batch_metrics", TEXT),
    _need("has_searcher_metric", Boolean),
    _may("searcher_metric", Double),
    _need("archived", Boolean),
    UniqueConstraint("trial_id", "group", "steps", "run_id"),
    Index(None, "trial_id", "id"),
)

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    _key("uuid", TEXT),
    _need("experiment_id", BigInteger),
    _owner("trial_id", "trials"),
    _need("run_id", BigInteger),
    _need("task_id", TEXT),
    _need("allocation_id", TEXT),
    _need("state", TEXT),
    _need("steps", BigInteger),
    _need("reported_at", Double),
    _need("resources", TEXT),
    _need("metadata", TEXT),
    _need("size", BigInteger),
    Index(None, "trial_id", "steps"),
    Index(None, "experiment_id", "trial_id"),
)

logs: Final = Table(
    "logs",
    metadata,
    _owner("trial_id", "trials", primary_key=True),
    _key("id", BigInteger),
    _need("run_id", BigInteger),
    _need("allocation_id", TEXT),
    _need("at", Double),
    _need("text", TEXT),
    _need("level", TEXT),
    _may("rank", BigInteger),
    _need("stdtype", TEXT),
    _need("source", TEXT),
    _need("agent_id", TEXT),
    _need("container_id", TEXT),
    sqlite_with_rowid=False,
)

journal: Final = Table(
    "journal",
    metadata,
    _owner("experiment_id", "experiments", primary_key=True),
    _key("seq", BigInteger),
    _need("at", Double),
    _need("kind", TEXT),
    _need("format", BigInteger),
    _need("body", LargeBinary),
    sqlite_with_rowid=False,
)

events: Final = Table(
    "events",
    metadata,
    _owner("experiment_id", "experiments", primary_key=True),
    _key("id", BigInteger),
    _need("seq", BigInteger),
    _need("body", LargeBinary),
    sqlite_with_rowid=False,
)

batches: Final = Table(
    "batches",
    metadata,
    _owner("experiment_id", "experiments", primary_key=True),
    _key("trigger", BigInteger),
    _need("digest", TEXT),
    sqlite_with_rowid=False,
)

parts: Final = Table(
    "parts",
    metadata,
    _owner("experiment_id", "experiments", primary_key=True),
    _key("part", TEXT),
    _need("seq", BigInteger),
    _need("body", LargeBinary),
)
"""Parts of the engines' snapshots."""
