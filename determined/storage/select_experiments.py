"""Queries about experiments, their journals and queues, and users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, or_, select

from determined.domain.records import EventRow, Experiment, JournalRow, Token, User
from determined.storage import codec
from determined.storage.orders import EXPERIMENT_KEYS, UNFINISHED, check_order
from determined.storage.protocol import EngineState, ExperimentFilter, Listing, Order, Page
from determined.storage.query_parts import any_id, count, fetch, find, get, holds, one_of, page_of, sorted_by
from determined.storage.tables import batches, counters, events, experiments, journal, meta, parts, tokens, users

_E: Final = experiments.c
_USERNAME: Final = select(users.c.username).where(users.c.id == _E.owner_id).scalar_subquery()
_SORT: Final[Mapping[str, Any]] = {
    "ID": _E.id,
    "DESCRIPTION": _E.description,
    "START_TIME": _E.created_at,
    "END_TIME": _E.ended_at,
    "STATE": _E.state,
    "NUM_TRIALS": _E.num_trials,
    "PROGRESS": _E.progress,
    "USER": _USERNAME,
    "NAME": _E.name,
    "FORKED_FROM": _E.forked_from,
    "RESOURCE_POOL": _E.resource_pool,
    "PROJECT_ID": _E.project_id,
    "CHECKPOINT_SIZE": _E.checkpoint_size,
    "CHECKPOINT_COUNT": _E.checkpoint_count,
    "SEARCHER_METRIC_VAL": _E.best_metric,
}
_UNFINISHED: Final = [state.value for state in UNFINISHED]


def get_meta(conn: Connection, key: str) -> str | None:
    """The value of a key."""
    return conn.execute(select(meta.c.value).where(meta.c.key == key)).scalar()


def next_ids(conn: Connection) -> tuple[int, int, int]:
    """The next unused ids of experiments, trials and users."""
    used = {row.name: row.used for row in conn.execute(select(counters))}
    return used.get("experiments", 0) + 1, used.get("trials", 0) + 1, used.get("users", 0) + 1


def find_user(conn: Connection, username: str) -> User | None:
    """The user of that name."""
    return find(conn, codec.USER, users.c.username == username)


def get_user(conn: Connection, user_id: int) -> User:
    """The user with that id."""
    return get(conn, "user", codec.USER, user_id)


def list_users(conn: Connection) -> Sequence[User]:
    """Every user, by id."""
    return fetch(conn, codec.USER, select(users).order_by(users.c.id))


def find_token(conn: Connection, digest: str) -> Token | None:
    """The login with that digest."""
    return find(conn, codec.TOKEN, tokens.c.digest == digest)


def get_experiment(conn: Connection, experiment_id: int) -> Experiment:
    """The experiment with that id."""
    return get(conn, "experiment", codec.EXPERIMENT, experiment_id)


def find_by_client_key(conn: Connection, owner_id: int, client_key: str) -> Experiment | None:
    """The experiment that its owner submitted under this key."""
    return find(conn, codec.EXPERIMENT, _E.owner_id == owner_id, _E.client_key == client_key)


def list_experiments(conn: Connection, where: ExperimentFilter, order: Order, page: Page) -> Listing:
    """One page of the experiments that match."""
    check_order("experiments", order, EXPERIMENT_KEYS)
    matching = conditions(where)
    total = count(conn, experiments, *matching)
    query = sorted_by(select(experiments).where(*matching), _SORT[order.key], _E.id, order)
    start, query = page_of(query, page, total)
    return Listing(fetch(conn, codec.EXPERIMENT, query), start, total)


def conditions(where: ExperimentFilter) -> list[ColumnElement[bool]]:
    """What the rows of matching experiments fulfil."""
    named = select(users.c.id).where(*one_of(users.c.username, where.usernames))
    found = [
        *holds(_E.name, where.name),
        *holds(_E.description, where.description),
        *one_of(_E.state, where.states),
        *one_of(_E.owner_id, where.user_ids),
    ]
    for label in where.labels:
        # Unlike LIKE, this tells upper from lower case in every database.
        found.append(func.replace(_E.labels, codec.label_line(label), "") != _E.labels)
    if where.usernames:
        found.append(_E.owner_id.in_(named))
    if where.archived is not None:
        found.append(_E.archived.is_(where.archived))
    if where.project_id is not None:
        found.append(_E.project_id == where.project_id)
    if where.ids is not None:
        found.append(_E.id.in_(any_id(where.ids)))
    if where.not_ids:
        found.append(_E.id.not_in(any_id(where.not_ids)))
    if where.min_id is not None:
        found.append(_E.id >= where.min_id)
    if where.max_id is not None:
        found.append(_E.id <= where.max_id)
    return found


def list_unfinished(conn: Connection) -> Sequence[Experiment]:
    """Experiments with something left to do: those that go on, are being deleted or are uncollected; by id."""
    query = select(experiments).where(or_(_E.state.in_(_UNFINISHED), _E.uncollected.is_(True))).order_by(_E.id)
    return fetch(conn, codec.EXPERIMENT, query)


def load_engine(conn: Connection, experiment_id: int) -> EngineState:
    """The parts of the snapshot, and the journal after the newest of them."""
    saved = select(parts.c.part, parts.c.seq, parts.c.body).where(parts.c.experiment_id == experiment_id)
    found = {part: (seq, body) for part, seq, body in conn.execute(saved)}
    newest = max((seq for seq, _ in found.values()), default=-1)
    return EngineState(found, read_journal(conn, experiment_id, newest, None))


def find_state(conn: Connection, experiment_id: int, part: str) -> bytes | None:
    """The body of one part."""
    body: bytes | None = conn.execute(
        select(parts.c.body).where(parts.c.experiment_id == experiment_id, parts.c.part == part)
    ).scalar_one_or_none()
    return body


def read_journal(
    conn: Connection, experiment_id: int, after: int, limit: int | None, kinds: Sequence[str] = ()
) -> Sequence[JournalRow]:
    """Facts with a sequence number above ``after``, in order; of all kinds if none is named."""
    c = journal.c
    query = select(journal).where(c.experiment_id == experiment_id, c.seq > after, *one_of(c.kind, kinds))
    query = query.order_by(c.seq)
    return fetch(conn, codec.JOURNAL, query if limit is None else query.limit(max(0, limit)))


def read_events(conn: Connection, experiment_id: int, after: int, limit: int) -> Sequence[EventRow]:
    """Events with an id above ``after``, in order."""
    c = events.c
    query = select(events).where(c.experiment_id == experiment_id, c.id > after).order_by(c.id)
    return fetch(conn, codec.EVENT, query.limit(max(0, limit)))


def find_batch(conn: Connection, experiment_id: int, trigger: int) -> str | None:
    """Digest of what was posted in answer to this event."""
    c = batches.c
    return conn.execute(select(c.digest).where(c.experiment_id == experiment_id, c.trigger == trigger)).scalar()
