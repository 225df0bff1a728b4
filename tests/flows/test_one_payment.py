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


@pytest.mark.parametrize("first", ["checkout", "invoice"])
async def test_an_invoice_that_a_later_claim_won_is_its_checkouts_and_earns_what_that_did(
    app: App, world: World, first: str
) -> None:
    """The checkout was a guest's; before the invoice was written somebody's lead, and the rate was another."""
    acme, paid_at = world.acme, app.clock() - timedelta(hours=2)
    make_older(app, world)
    hired = {"email": "tom@example.com", "fullName": "Tom Ray"}
    tom = await operate(app, "create_affiliate", hired, System(acme.id))
    await operate(app, "record_lead", {"email": "kim@example.com", "affiliateId": tom["id"]}, System(acme.id))
    await lower(app, world)
    paid: dict[str, Any] = {"payments": (Payment("pi_1"),), "customer_email": "kim@example.com"}
    told = {
        "checkout": sale("cs_1", source=SaleSource.CheckoutSession, codes=("promo_acme_sarah",), at=paid_at, **paid),
        "invoice": sale("in_1", at=app.clock() + timedelta(seconds=1), **paid),
    }
    for name in sorted(told, reverse=first == "invoice"):
        await sell(app, acme.id, told[name])
    told = await operate(app, "explain_attribution", {"sourceId": "in_1"}, System(acme.id))
    assert (told["affiliateName"], told["commission"]) == ("Sarah Lee", "USD 8.00")
