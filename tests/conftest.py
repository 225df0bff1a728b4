"""Fixtures: every test that takes `app` runs on SQLite and on a real PostgreSQL; nothing may log a secret."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings
from tests.support.databases import (
    PostgresSnapshot,
    copy_sqlite,
    create_database,
    postgres_server,
    without_waiting_for_the_disk,
)
from tests.support.world import World, populate

pytest_plugins = ["tests.contract.plugin", "tests.support.log_watch", "tests.support.terms_watch"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def quick_sqlite() -> Generator[None]:
    with without_waiting_for_the_disk():
        yield


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """The URL of a PostgreSQL server that lives as long as the session."""
    with postgres_server() as url:
        yield url


def _populate(url: str, data_dir: Path) -> World:
    async def run() -> World:
        app = App(Settings(database_url=url, data_dir=data_dir))
        async with app.running():
            return await populate(app)

    # In a thread of its own: in this one a fixture of a whole module may have a loop running.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, run).result()


@pytest.fixture(scope="session")
def sqlite_template(session_folder: Path) -> Path:
    path = session_folder / "template.db"
    _populate(f"sqlite:///{path}", session_folder).save(session_folder / "sqlite.json")
    return path


@pytest.fixture(scope="session")
def postgres_world(postgres: str, session_folder: Path) -> Generator[PostgresSnapshot]:
    url = create_database(postgres)
    _populate(url, session_folder).save(session_folder / "postgres.json")
    snapshot = PostgresSnapshot(url)
    yield snapshot
    snapshot.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that holds the world and nothing else."""
    if request.param == "sqlite":
        return copy_sqlite(request.getfixturevalue("sqlite_template"), tmp_path / "store.db")
    snapshot: PostgresSnapshot = request.getfixturevalue("postgres_world")
    snapshot.restore()
    return snapshot.url


@pytest.fixture
def world(database: str, session_folder: Path) -> World:
    return World.load(session_folder / f"{'sqlite' if database.startswith('sqlite') else 'postgres'}.json")


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database, data_dir=tmp_path)


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[App]:
    """An app on the built-in sandbox, without background work."""
    app = App(settings)
    async with app.running():
        yield app
