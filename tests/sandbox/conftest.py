"""A running sandbox, the real Stripe client for it, and the people around it."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.server import RunningSandbox, running_sandbox
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    """A state file of the test's own, which does not exist yet."""
    return tmp_path / "sandbox.db"


@pytest.fixture(scope="module")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, State]]:
    path = tmp_path_factory.mktemp("sandbox") / "shared.db"
    state = State(path)
    yield path, state
    state.close()


@pytest.fixture(scope="module")
async def shared_sandbox(anyio_backend: str, shared_state: tuple[Path, State]) -> AsyncGenerator[RunningSandbox]:
    """One server a module: stopping one takes a fifth of a second."""
    async with running_sandbox(shared_state[0]) as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox, shared_state: tuple[Path, State]) -> RunningSandbox:
    """A running sandbox with nothing in it."""
    with shared_state[1].write() as work:
        for table in ("objects", "deliveries", "idempotency", "settings"):
            work.db.execute(f"DELETE FROM {table}")
    return shared_sandbox


@pytest.fixture
def people(sandbox: RunningSandbox, shared_state: tuple[Path, State]) -> Simulation:
    """What customers do and time does, on the same state file as the running sandbox."""
    return Simulation(shared_state[1])


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncGenerator[StripeClient]:
    """The real client; only its base URL differs from production."""
    stripe.enable_telemetry = False
    http = stripe.HTTPXClient(timeout=10, verify_ssl_certs=False)
    yield StripeClient(SANDBOX_KEY, base_addresses={"api": sandbox.url}, http_client=http)
    await http.close_async()


@pytest.fixture
async def http(sandbox: RunningSandbox) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without Stripe's help, for the control API and for malformed requests."""
    async with httpx.AsyncClient(base_url=sandbox.url) as plain:
        yield plain
