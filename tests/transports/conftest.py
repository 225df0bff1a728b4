"""The whole HTTP application, in process, on SQLite: what a transport does does not depend on the database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.pipeline.rate_limit import RateLimiter
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.settings import Settings
from tests.support.databases import copy_sqlite
from tests.support.world import World


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> str:
    return copy_sqlite(sqlite_template, tmp_path / "store.db")


@pytest.fixture
def settings(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Settings:
    """A test may ask for others: `@pytest.mark.parametrize("settings", [{"port": 1}], indirect=True)`."""
    return Settings(database_url=database, data_dir=tmp_path, **getattr(request, "param", {}))


@pytest.fixture
def still_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute in which calls are counted does not turn during the test."""
    monkeypatch.setattr("rekomi_mcp.app.RateLimiter", partial(RateLimiter, clock=lambda: 0.5))


@pytest.fixture
def facade(app: App) -> Starlette:
    """The application that `serve http` serves; its background work does not run."""
    return build_http_app(app)


@pytest.fixture
async def client(facade: Starlette) -> AsyncGenerator[httpx.AsyncClient]:
    """Somebody without a token."""
    transport = httpx.ASGITransport(facade, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as client:
        yield client


@pytest.fixture
async def script(facade: Starlette, world: World) -> AsyncGenerator[httpx.AsyncClient]:
    """A script with Acme's rk_live_ token."""
    transport = httpx.ASGITransport(facade, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {world.acme.live_token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321", headers=headers) as client:
        yield client
