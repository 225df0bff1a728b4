"""A shop with customers, for the stories."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from tests.support.shop import Shop, open_shop
from tests.support.world import World


@pytest.fixture
def state(app: App) -> Generator[State]:
    """The sandbox's memory, as another process would open it."""
    state = State(app.settings.sandbox_path)
    yield state
    state.close()


@pytest.fixture
async def shop(app: App, world: World, state: State) -> Shop:
    return await open_shop(app, world, Simulation(state))
