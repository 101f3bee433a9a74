"""The schema: made in one go or step by step, and what is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from determined.errors import CorruptState, InvalidInput, StorageFailed
from determined.storage import migrations
from determined.storage.schema import upgrade
from determined.storage.sql import SqlStore
from determined.storage.tables import metadata

SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


def _open_and_close(path: Path) -> None:
    async def run() -> None:
        store = SqlStore(f"sqlite:///{path}")
        await store.open()
        await store.close()

    asyncio.run(run())


def _schema(path: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(path) as conn:
        found = conn.execute(SCHEMA).fetchall()
    conn.close()
    return found


def _migrated(path: Path) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        upgrade(conn, None)
    return engine


def test_the_migrations_give_exactly_the_schema_of_a_new_database(tmp_path: Path) -> None:
    _migrated(tmp_path / "migrated.db").dispose()
    _open_and_close(tmp_path / "new.db")
    assert _schema(tmp_path / "migrated.db") == _schema(tmp_path / "new.db")


def test_the_migrations_give_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = _migrated(tmp_path / "migrated.db")
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_opening_again_changes_nothing_and_needs_no_alembic(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _open_and_close(path)
    before = _schema(path)
    code = (
        "import asyncio, sys\n"
        "from determined.storage.sql import SqlStore\n"
        "async def run():\n"
        "    store = SqlStore(sys.argv[1]); await store.open(); await store.close()\n"
        "asyncio.run(run())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{path}"], check=True)
    assert _schema(path) == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _open_and_close(path)
    with sqlite3.connect(path) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()
    with pytest.raises(CorruptState, match=r"schema version '9999'.*newest known: 0001"):
        _open_and_close(path)


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE recipes (name TEXT)")
    conn.close()
    with pytest.raises(CorruptState, match="another program"):
        _open_and_close(path)
    assert [name for _, name, _ in _schema(path)] == ["recipes"]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("hello" * 1000)
    with pytest.raises(CorruptState, match="damaged"):
        _open_and_close(path)
    assert path.read_text() == "hello" * 1000


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot open the database"):
        _open_and_close(tmp_path / "missing" / "store.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "no url", "oracle://"])
def test_urls_that_cannot_work_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        SqlStore(url)


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def run() -> dict[str, int]:
        store = SqlStore(f"sqlite:///{path}")
        await store.open()
        await store.get_meta("key", "value")
        found = _modes(tmp_path)
        await store.close()
        return found

    assert asyncio.run(run()) == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
