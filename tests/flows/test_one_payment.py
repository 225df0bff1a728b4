"""A payment that is put on an invoice later was earned when it was made: what has changed since takes nothing back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.sales import Payment, SaleSource
from rekomi_mcp.storage.tables import AffiliateRow, ProgramRow
from tests.support.world import World, operate, sale, sell

pytestmark = pytest.mark.anyio
Change = Callable[[App, World], Awaitable[Any]]


async def pause(app: App, world: World) -> None:
    paused = {"affiliateId": world.acme.affiliate, "status": "Paused"}
    await operate(app, "update_affiliate", paused, System(world.acme.id))


async def lower(app: App, world: World) -> None:
    lowered = {"programId": world.acme.program, "defaultCommissionValue": 5}
    await operate(app, "update_program", lowered, System(world.acme.id))


async def nothing(app: App, world: World) -> None:
    """As most often."""


def make_older(app: App, world: World) -> None:
    """What was sold before somebody was there is decided on the terms of now."""
    with app.open_store().writing() as session:
        for row in (
            session.get_one(ProgramRow, world.acme.program),
            session.get_one(AffiliateRow, world.acme.affiliate),
        ):
            row.created_at -= timedelta(days=1)


@pytest.mark.parametrize("change", [pause, lower, nothing])
@pytest.mark.parametrize("order", ["checkout first", "invoice first", "at once"])
async def test_an_invoice_written_later_earns_what_its_checkout_did(
    app: App, world: World, change: Change, order: str
) -> None:
    acme, paid_at = world.acme, app.clock() - timedelta(hours=1)
    make_older(app, world)
    paid: dict[str, Any] = {"payments": (Payment("pi_1"),), "customer_id": "cus_1"}
    checkout = sale("cs_1", source=SaleSource.CheckoutSession, codes=("promo_acme_sarah",), at=paid_at, **paid)
    invoice = sale("in_1", at=paid_at + timedelta(hours=2), **paid)
    if order == "checkout first":
        await sell(app, acme.id, checkout)
    await change(app, world)
    if order == "at once":
        await sell(app, acme.id, invoice, checkout)
    else:
        await sell(app, acme.id, invoice)
    if order == "invoice first":
        await sell(app, acme.id, checkout)
    told = await operate(app, "explain_attribution", {"sourceId": "in_1"}, System(acme.id))
    assert (told["outcome"], told["commission"]) == ("credited", "USD 8.00")
    told = await operate(app, "explain_attribution", {"sourceId": "cs_1"}, System(acme.id))
    assert told["outcome"] == "duplicate"
