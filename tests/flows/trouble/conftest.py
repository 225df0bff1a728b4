"""A shop, and the weather around its Stripe."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from rekomi_mcp.sandbox.app import build_sandbox
from rekomi_mcp.sandbox.state import State
from tests.support.servers import closed_port, listening, serving
from tests.support.trouble import (
    Stage,
    staged,
)
from tests.support.weather import Sky, Weather
from tests.support.world import World


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its attempts the gateway waits for seconds; not here."""

    async def pause(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", pause)


@pytest.fixture(scope="module")
async def sky(anyio_backend: str) -> AsyncGenerator[Sky]:
    sky = Sky()
    with listening() as listener:
        async with serving(sky, listener) as sky.address:
            yield sky


@pytest.fixture
async def stage(database: str, world: World, tmp_path: Path, sky: Sky) -> AsyncGenerator[Stage]:
    path = tmp_path / "stripe.db"
    state, sky.weather = State(path), Weather(build_sandbox(path, deliver=False))
    async with staged(database, world, tmp_path, sky.weather, state, sky.address) as stage:
        yield stage
    state.close()


@pytest.fixture
async def stage_without_stripe(database: str, world: World, tmp_path: Path) -> AsyncGenerator[Stage]:
    path = tmp_path / "stripe.db"
    state, nowhere = State(path), f"http://127.0.0.1:{closed_port()}"
    async with staged(database, world, tmp_path, Weather(build_sandbox(path, deliver=False)), state, nowhere) as stage:
        yield stage
    state.close()
