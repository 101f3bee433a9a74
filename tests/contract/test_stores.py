from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from determined.storage.memory import MemoryStore
from determined.storage.protocol import Store
from determined.storage.sql import SqlStore
from determined.testing.postgres import drop_database, new_database
from determined.testing.store_columns import ColumnsContract
from determined.testing.store_contract import StoreContract
from determined.testing.store_queries import QueriesContract
from determined.testing.store_reports import ReportsContract


class TestMemoryStore(StoreContract, ReportsContract, QueriesContract, ColumnsContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreContract, ReportsContract, QueriesContract, ColumnsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return SqlStore(f"sqlite:///{tmp_path}/store.db")


class TestPostgresStore(StoreContract, ReportsContract, QueriesContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        url = new_database()
        yield SqlStore(url)
        drop_database(url)
