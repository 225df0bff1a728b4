"""A server that misses what happens, and the comparison of its books with Stripe afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlmodel import select

import rekomi_mcp.storage as storage
from rekomi_mcp.storage.tables import ConversionRow, LedgerEntryRow, ReversalRow, SaleRow
from tests.support.shop import JsonObject, Shop


def go_away(shop: Shop) -> None:
    """What happens from now on is older than anything the server will ever read of Stripe's events."""
    shop.customers.advance(days=1)


async def come_back(shop: Shop) -> None:
    shop.customers.advance(days=1)
    with shop.app.open_store().writing() as session:
        storage.inbox.set_read_until(session, "self", shop.app.clock())
    assert await shop.catch_up() == 0


async def find(shop: Shop, **wanted: Any) -> JsonObject:
    return await shop.do("find_missed_sales", **wanted)


async def kinds(shop: Shop, **wanted: Any) -> dict[str, int]:
    return {kind: number for kind, number in (await find(shop, **wanted))["counts"].items() if number}


async def repair(shop: Shop, **window: Any) -> JsonObject:
    """Look at the plan, and confirm it."""
    plan = await shop.do("repair_missed_sales", **window)
    assert plan["repaired"] is False
    done = await shop.do("repair_missed_sales", **window, confirm=plan["confirm"])
    assert done["repaired"] is True
    assert (done["effects"], done["findings"]) == (plan["effects"], plan["findings"])
    return done


def books(shop: Shop) -> dict[str, Any]:
    """Everything that is owed, and why."""
    with shop.app.open_store().reading() as session:
        sales = session.exec(select(SaleRow).where(SaleRow.organization_id == shop.id)).all()
        conversions = session.exec(select(ConversionRow).where(ConversionRow.organization_id == shop.id)).all()
        entries = session.exec(select(LedgerEntryRow).where(LedgerEntryRow.organization_id == shop.id)).all()
        reversals = session.exec(select(ReversalRow).where(ReversalRow.organization_id == shop.id)).all()
        return {
            "sales": sorted((s.source_id, s.outcome, s.net_minor, s.gross_minor, s.occurred_at) for s in sales),
            "conversions": sorted(
                (c.sale_id, c.affiliate_id, c.method, c.commission_minor, c.remaining_minor, c.on_hold_minor, c.state)
                for c in conversions
            ),
            "entries": sorted((e.conversion_id, e.kind, e.cause_id, e.amount_minor) for e in entries),
            "reversals": sorted((r.id, r.status, r.amount_minor) for r in reversals),
        }


def long_ago(shop: Shop) -> str:
    """Before everything in these tests, and still within one call's reach."""
    return (shop.app.clock() - timedelta(days=90)).isoformat()


def now(shop: Shop) -> str:
    return shop.app.clock().isoformat()


async def sign_for_one_renewal(shop: Shop) -> str:
    """An affiliate who earns on the first payment and one renewal; answers her id."""
    program = await shop.open_program(recurringMonths=1)
    return (await shop.sign(program=program, coupon={"duration": "Forever"})).affiliate


async def earned(shop: Shop) -> list[str | None]:
    return sorted(each["externalEventId"] for each in await shop.conversions())
