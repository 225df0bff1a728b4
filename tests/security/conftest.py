"""One populated app a file, on each database: what these tests send is refused, so it may be shared."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings
from tests.support.databases import PostgresSnapshot, copy_sqlite
from tests.support.doors import Doors, doors_of
from tests.support.world import World


@dataclass(frozen=True, slots=True)
class Scene:
    app: App
    world: World
    doors: Doors


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stored(
    request: pytest.FixtureRequest, session_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, World]:
    """The URL of a database that holds the world, and the world. A file may ask for one of the two only."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        url = copy_sqlite(template, tmp_path_factory.mktemp("stored") / "store.db")
    else:
        snapshot: PostgresSnapshot = request.getfixturevalue("postgres_world")
        snapshot.restore()
        url = snapshot.url
    return url, World.load(session_folder / f"{request.param}.json")


@pytest.fixture(scope="module")
async def scene(
    anyio_backend: str, stored: tuple[str, World], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Scene]:
    url, world = stored
    app = App(Settings(database_url=url, data_dir=tmp_path_factory.mktemp("scene"), rate_limit_per_minute=1_000_000))
    async with app.running(), doors_of(app) as doors:
        yield Scene(app, world, doors)
