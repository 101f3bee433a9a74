"""Every statement that units are made of, as data: built once in SQLAlchemy Core, run for many rows at a time.

One statement with many rows of values is worth the trouble: the driver gives up the interpreter's lock at each step,
and under load it is long before it gets it back, so what counts is the number of steps, not of rows.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Dialect, Table, bindparam, column, delete, select, tuple_, update, values

from determined.storage import codec, tables
from determined.storage.shapes import SHAPES

_VALUES: Final = re.compile(r"VALUES (\([^()]*\))")
_Build = Callable[[Any], Any]


class Repeat(enum.Enum):
    """What several rows with the same key in one batch mean."""

    EACH = "each"
    """All are written; the database refuses equal keys."""
    LAST = "last"
    """The last one replaces those before."""
    SUM = "sum"
    """They are added up, but for the key."""
    APART = "apart"
    """Those before must have been written first."""


class Statement:
    """One statement over rows of one shape.

    Attributes:
        table: whose rows it touches.
        place: where it comes when a batch is written: what a row belongs to before the row.
        rank: statements of one rank may change places with each other on the same row; those of a lower rank
            (0: insert, 1: change, 2: remove) must not come after those of a higher one.
        exact: every row must hit exactly one row of the table.
        width: values per row; the first ``key`` of them are the row's key.
    """

    _made = itertools.count()

    def __init__(
        self,
        build: _Build,
        table: Table,
        names: Sequence[str],
        *,
        key: int,
        rank: int,
        repeat: Repeat,
        exact: bool = False,
    ) -> None:
        self.table: Final = table.name
        self._columns: Final = table
        self.place: Final = next(Statement._made)
        self.rank: Final = rank
        self.repeat: Final = repeat
        self.exact: Final = exact
        self.width: Final = len(names)
        self.key: Final = key
        self._build = build
        self._names = tuple(names)
        self._texts: dict[str, tuple[str, str, str]] = {}

    def call(self, dialect: Dialect, rows: Sequence[codec.Row]) -> tuple[str, Sequence[Any]]:
        """SQL for these rows, and the values to bind to it."""
        if dialect.name not in self._texts:
            self._texts[dialect.name] = self._compile(dialect)
        before, row, behind = self._texts[dialect.name]
        every = ", ".join([row] * len(rows)) if row else ""
        return f"{before}{every}{behind}", SHAPES[dialect.name].values(self._columns, self._names, rows)

    def _compile(self, dialect: Dialect) -> tuple[str, str, str]:
        kind: Any = type(dialect)
        shape = SHAPES[dialect.name]
        by_position = dialect if dialect.positional else kind(paramstyle="format")
        compiled: Any = self._build(shape.insert).compile(dialect=by_position)
        assert tuple(compiled.positiontup) == self._names, "values must come in the order of the names"
        before, placeholders, behind = _VALUES.split(str(compiled), maxsplit=1)
        source, row = shape.source(self._columns, self._names, placeholders)
        return before + source, row, behind


def _insert(table: Table, names: Sequence[str], key: int, repeat: Repeat = Repeat.EACH) -> Statement:
    def build(insert: Any) -> Any:
        return insert(table).values({name: bindparam(name) for name in names})

    return Statement(build, table, names, key=key, rank=0, repeat=repeat)


def _upsert(
    table: Table, names: Sequence[str], key: str | Sequence[str], keep: str = "", repeat: Repeat = Repeat.LAST
) -> Statement:
    """Insert, or replace the row of the same key but for the column to ``keep`` (``*`` for all)."""
    keys = [key] if isinstance(key, str) else list(key)

    def build(insert: Any) -> Any:
        stmt = insert(table).values({name: bindparam(name) for name in names})
        changed = {n: stmt.excluded[n] for n in names if n not in (*keys, keep) and keep != "*"}
        if not changed:
            return stmt.on_conflict_do_nothing(index_elements=keys)
        return stmt.on_conflict_do_update(index_elements=keys, set_=changed)

    return Statement(build, table, names, key=len(keys), rank=0, repeat=repeat)


def _rows(table: Table, names: Sequence[str]) -> Any:
    row: tuple[Any, ...] = tuple(bindparam(name) for name in names)
    return values(*(column(n, table.c[n].type) for n in names), name="v").data([row]).cte("v", nesting=True)


def _change(table: Table, *names: str, repeat: Repeat = Repeat.LAST) -> Statement:
    """Set the columns behind the first name, in the row whose column of the first name has this value."""

    def build(insert: Any) -> Any:
        # Inside of a subquery, since the driver counts changed rows only when the text begins with UPDATE.
        v = select(_rows(table, names)).subquery("w")
        add = repeat is Repeat.SUM
        changed = {n: table.c[n] + v.c[n] if add else v.c[n] for n in names[1:]}
        return update(table).values(changed).where(table.c[names[0]] == v.c[names[0]])

    return Statement(build, table, names, key=1, rank=1, repeat=repeat, exact=True)


def _remove(table: Table, *names: str) -> Statement:
    """Remove the row of this key, if there is one."""

    def build(insert: Any) -> Any:
        v = _rows(table, names)
        return delete(table).where(tuple_(*(table.c[n] for n in names)).in_(select(v)))

    return Statement(build, table, names, key=len(names), rank=2, repeat=Repeat.LAST)


_t = tables
PUT_META: Final = _upsert(_t.meta, ("key", "value"), "key", keep="*", repeat=Repeat.EACH)
RAISE_COUNTER: Final = _upsert(_t.counters, ("name", "used"), "name")
PUT_USER: Final = _upsert(_t.users, codec.USER.fields, "id")
PUT_TOKEN: Final = _upsert(_t.tokens, codec.TOKEN.fields, "digest")
DROP_TOKEN: Final = _remove(_t.tokens, "digest")

INSERT_EXPERIMENT: Final = _insert(_t.experiments, codec.EXPERIMENT.fields, key=1)
UPDATE_EXPERIMENT: Final = _change(_t.experiments, "id", "state", "progress", "ended_at", "message")
SET_EXPERIMENT_BEST: Final = _change(_t.experiments, "id", "best_trial_id", "best_metric")
COUNT_IN_EXPERIMENT: Final = _change(
    _t.experiments, "id", "num_trials", "checkpoint_count", "checkpoint_size", repeat=Repeat.SUM
)

INSERT_TRIAL: Final = _insert(_t.trials, codec.TRIAL.fields, key=1)
UPDATE_TRIAL: Final = _change(_t.trials, "id", "state", "run_id", "phase", "restarts", "closed", "ended_at")
UPDATE_UNITS: Final = _change(_t.trials, "id", "units")
UPDATE_RUNNER_STATE: Final = _change(_t.trials, "id", "runner_state")
SET_SUMMARY: Final = _change(
    _t.trials,
    "id",
    "total_batches",
    "best_validation",
    "best_metric",
    "latest_validation",
    "latest_metric",
)
COUNT_IN_TRIAL: Final = _change(_t.trials, "id", "checkpoint_count", "checkpoint_size", repeat=Repeat.SUM)

PUT_RUN: Final = _upsert(_t.runs, codec.RUN.fields, "allocation_id", keep="lines", repeat=Repeat.APART)
SET_LINES: Final = _change(_t.runs, "allocation_id", "lines")
INSERT_METRICS: Final = _insert(_t.metrics, codec.METRICS.fields, key=1)
PUT_CHECKPOINT: Final = _upsert(_t.checkpoints, codec.CHECKPOINT.fields, "uuid")
SET_CHECKPOINT_STATE: Final = _change(_t.checkpoints, "uuid", "state")
SET_CHECKPOINT_METADATA: Final = _change(_t.checkpoints, "uuid", "metadata")
INSERT_LOG: Final = _insert(_t.logs, codec.LOG.fields, key=2)

APPEND_JOURNAL: Final = _insert(_t.journal, codec.JOURNAL.fields, key=2)
APPEND_EVENT: Final = _insert(_t.events, codec.EVENT.fields, key=2)
PUT_BATCH: Final = _upsert(_t.batches, ("experiment_id", "trigger", "digest"), ("experiment_id", "trigger"))
PUT_PART: Final = _upsert(_t.parts, ("experiment_id", "part", "seq", "body"), ("experiment_id", "part"))
DROP_PART: Final = _remove(_t.parts, "experiment_id", "part")
