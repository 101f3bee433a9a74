from __future__ import annotations

from pathlib import Path

import pytest

from determined.storage.memory import MemoryStore
from determined.storage.protocol import Store
from determined.storage.sql import SqlStore
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
