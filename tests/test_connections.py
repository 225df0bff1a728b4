"""Far more calls at once than there are connections: each is answered, and no connection is lost, also not by who hangs up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, System, TokenKind
from tests.storage.test_engine import left_open
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

CALLS = 200


async def crowd(app: App, world: World, done: Counter[str]) -> None:
    """Reads without and with a transaction, and writes, all at once."""
    acme = world.acme
    reader, owner = BearerToken(acme.mcp_token, TokenKind.MCP), System(acme.id)

    async def call(number: int) -> None:
        calls: list[tuple[str, dict[str, Any], Any]] = [
            ("explain_attribution", {"sourceId": acme.source}, reader),
            ("list_conversions", {}, reader),
            ("record_lead", {"email": f"customer-{number}@example.com", "affiliateId": acme.affiliate}, owner),
            ("update_program", {"programId": acme.program, "defaultCommissionValue": number % 50 + 1}, owner),
        ]
        name, arguments, credential = calls[number % len(calls)]
        await operate(app, name, arguments, credential)
        done[name] += 1

    async with anyio.create_task_group() as group:
        for number in range(CALLS):
            group.start_soon(call, number)


async def test_two_hundred_calls_at_once_are_all_answered(app: App, world: World) -> None:
    done: Counter[str] = Counter()
    await crowd(app, world, done)
    assert set(done.values()) == {CALLS // 4}
    assert left_open(app.open_store()) == []


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.1])
async def test_callers_that_hang_up_leave_no_connection_behind(app: App, world: World, seconds: float) -> None:
    app.open_store()
    with anyio.move_on_after(seconds) as patience:
        await crowd(app, world, Counter())
    assert patience.cancelled_caught
    # A write that has begun goes on to its end; then there is room for everybody again.
    done: Counter[str] = Counter()
    await crowd(app, world, done)
    assert sum(done.values()) == CALLS
    assert left_open(app.open_store()) == []
