"""Brings the schema of a database up to date, and refuses one that is newer than this code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from determined.errors import CorruptState
from determined.storage.migrations import HEAD
from determined.storage.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_VERSION: Final = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "alembic_version_pkc"}),
    Column("version_num", String(32), primary_key=True, nullable=False),
)
"""Where Alembic keeps the revision."""


def current_revision(conn: Connection) -> str | None:
    """Version of the schema, None for an empty database."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(select(_VERSION.c.version_num)).scalar()


def bring_up_to_date(conn: Connection) -> None:
    """Apply the missing steps in the transaction of ``conn``: all of them or none.

    Raises:
        CorruptState: the schema is newer than this code, or the tables are not ours.
    """
    revision = current_revision(conn)
    if revision == HEAD:
        return
    if revision is not None:
        upgrade(conn, revision)
    elif inspect(conn).get_table_names():
        raise CorruptState("the database holds tables of another program; choose another database")
    else:
        _create(conn)


def _create(conn: Connection) -> None:
    # What all the steps together give (a test compares), without the time that it takes to import Alembic.
    metadata.create_all(conn)
    _VERSION.create(conn)
    conn.execute(_VERSION.insert().values(version_num=HEAD))


def upgrade(conn: Connection, revision: str | None) -> None:
    """Apply the steps after ``revision``, None for an empty database.

    Raises:
        CorruptState: there is no such revision in this code.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(conn)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise CorruptState(
            f"the database has schema version {revision!r}, which this version of determined-search does not know "
            f"(newest known: {HEAD}); install the version that wrote it, or a newer one"
        )
    command.upgrade(config, HEAD)


def _config(conn: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config
