"""A store on the populated world, on either database, and one that is still empty."""

from collections.abc import Generator
from pathlib import Path

import pytest

from rekomi_mcp.storage.engine import Store
from tests.support.databases import create_database


@pytest.fixture
def store(database: str) -> Generator[Store]:
    store = Store(database)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a single table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return create_database(request.getfixturevalue("postgres"))


@pytest.fixture
def empty_store(empty_database: str) -> Generator[Store]:
    store = Store(empty_database)
    yield store
    store.close()
