"""Looks for what cannot be in a database: references to nothing, counts that are wrong, gaps in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, func, inspect, or_, select
from sqlalchemy.exc import DBAPIError

from determined.errors import NotFound
from determined.storage import tables as t
from determined.storage.backend import backend_for
from determined.storage.migrations import HEAD
from determined.storage.query_parts import count
from determined.storage.schema import current_revision

_REFERENCES: Final = (
    *((fk.parent, fk.column) for table in t.metadata.sorted_tables for fk in table.foreign_keys),
    # These are kept by the master alone.
    (t.experiments.c.owner_id, t.users.c.id),
    (t.experiments.c.best_trial_id, t.trials.c.id),
    (t.tokens.c.user_id, t.users.c.id),
    (t.runs.c.experiment_id, t.experiments.c.id),
    (t.metrics.c.experiment_id, t.experiments.c.id),
    (t.checkpoints.c.experiment_id, t.experiments.c.id),
    (t.trials.c.best_validation, t.metrics.c.id),
    (t.trials.c.latest_validation, t.metrics.c.id),
)
_COUNTED: Final = (
    ("experiments", t.experiments.c.id),
    ("trials", t.trials.c.id),
    ("users", t.users.c.id),
    ("metrics", t.metrics.c.id),
    ("logs", t.logs.c.id),
)
_NUMBERED: Final = ((t.events, t.events.c.id), (t.journal, t.journal.c.seq))


class Checked(NamedTuple):
    """What was found.

    Attributes:
        schema: its version; None where there is none.
        rows: of each table.
        problems: a sentence each; none for a database that is sound.
    """

    schema: str | None
    rows: dict[str, int]
    problems: list[str]


def check(url: str) -> Checked:
    """Look at a database, which a master may be using; nothing is changed.

    Raises:
        NotFound: there is no such file.
        StorageFailed: it cannot be opened.
    """
    backend = backend_for(url)
    if not backend.exists():
        raise NotFound(f"there is no database {backend.shown}")
    engine = backend.readers(1)
    try:
        with engine.connect() as conn:
            return _check(conn, backend.damages(conn))
    except DBAPIError as error:
        raise backend.unopened(error) from error
    finally:
        engine.dispose()


def _check(conn: Connection, problems: list[str]) -> Checked:
    schema = current_revision(conn)
    if schema != HEAD:
        problems.append(_of_schema(schema))
        return Checked(schema, {}, problems)
    lacking = list(_lacking(conn))
    if lacking:
        return Checked(schema, {}, problems + lacking)
    problems += [*_references(conn), *_counters(conn), *_counts(conn), *_gaps(conn)]
    return Checked(schema, {table.name: count(conn, table) for table in t.metadata.sorted_tables}, problems)


def _of_schema(schema: str | None) -> str:
    if schema is None:
        return (
            "it has no schema of ours: it is empty, or of another program; `det db migrate` makes one where it is empty"
        )
    if schema < HEAD:
        return f"its schema has version {schema}, the newest is {HEAD}; `det db migrate` brings it up to date"
    return f"its schema has version {schema}, newer than {HEAD}; use the version of determined-search that wrote it"


def _lacking(conn: Connection) -> Iterator[str]:
    found = inspect(conn)
    for table in t.metadata.sorted_tables:
        if not found.has_table(table.name):
            yield f"table {table.name} is missing"
            continue
        lacks = {c.name for c in table.columns} - {c["name"] for c in found.get_columns(table.name)}
        yield from (f"column {name} of table {table.name} is missing" for name in sorted(lacks))


def _references(conn: Connection) -> Iterator[str]:
    for column, meant in _REFERENCES:
        child, parent = column.table, meant.table.alias("p")
        joined = child.outerjoin(parent, column == parent.c[meant.name])
        lost = (column.is_not(None), parent.c[meant.name].is_(None))
        number = conn.execute(select(func.count()).select_from(joined).where(*lost)).scalar_one()
        if number:
            example = conn.execute(select(column).select_from(joined).where(*lost).limit(1)).scalar()
            yield f"{number} rows of {child.name} refer to {meant.table.name} that do not exist, for example {example}"


def _counters(conn: Connection) -> Iterator[str]:
    used = {row.name: row.used for row in conn.execute(select(t.counters))}
    for name, column in _COUNTED:
        largest = conn.execute(select(func.max(column))).scalar() or 0
        if largest > used.get(name, 0):
            yield f"the counter of {name} is at {used.get(name, 0)}, but {largest} is in use: ids would be given twice"


def _counts(conn: Connection) -> Iterator[str]:
    e, trials = t.experiments, t.trials
    real = select(func.count()).where(trials.c.experiment_id == e.c.id).correlate(e).scalar_subquery()
    for row in conn.execute(select(e.c.id, e.c.num_trials, real).where(e.c.num_trials != real)):
        yield f"experiment {row[0]} is said to have {row[1]} trials, and has {row[2]}"
    kept = t.checkpoints.c.state != "DELETED"
    for owner, what in ((e, "experiment"), (trials, "trial")):
        reference = t.checkpoints.c[f"{what}_id"]
        own = (reference == owner.c.id, kept)
        number = select(func.count()).select_from(t.checkpoints).where(*own).correlate(owner).scalar_subquery()
        size = select(func.coalesce(func.sum(t.checkpoints.c.size), 0)).where(*own).correlate(owner).scalar_subquery()
        wrong = or_(owner.c.checkpoint_count != number, owner.c.checkpoint_size != size)
        for row in conn.execute(select(owner.c.id, owner.c.checkpoint_count, number).where(wrong)):
            yield f"{what} {row[0]} is said to have {row[1]} checkpoints, and has {row[2]}, or their sizes differ"


def _gaps(conn: Connection) -> Iterator[str]:
    for table, number in _NUMBERED:
        yield from _gaps_of(conn, table, number)


def _gaps_of(conn: Connection, table: Table, number: Any) -> Iterator[str]:
    least, most, rows = func.min(number), func.max(number), func.count()
    query = select(table.c.experiment_id, least, most, rows).group_by(table.c.experiment_id)
    for experiment, first, last, found in conn.execute(query.having(or_(most - least + 1 != rows, least > 1))):
        numbers = f"{found} rows in {table.name}, numbered from {first} to {last}"
        yield f"experiment {experiment} has {numbers}: some are missing"
