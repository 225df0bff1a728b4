"""A sale is decided on the terms of its own time, whenever its news comes, and later terms take nothing back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rekomi_mcp.sandbox.state import State
from tests.support.shop import Deal, Shop
from tests.support.stripe_events import deliver, events_of

Change = Callable[[Shop, Deal], Awaitable[Any]]


async def pause_affiliate(shop: Shop, deal: Deal) -> None:
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Paused")


async def ban_affiliate(shop: Shop, deal: Deal) -> None:
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Banned")


async def switch_program_off(shop: Shop, deal: Deal) -> None:
    await shop.do("update_program", programId=deal.program, isActive=False)


async def archive_program(shop: Shop, deal: Deal) -> None:
    await shop.do("archive_program", programId=deal.program)


async def lower_program_rate(shop: Shop, deal: Deal) -> None:
    await shop.do("update_program", programId=deal.program, defaultCommissionValue=5)


async def lower_own_rate(shop: Shop, deal: Deal) -> None:
    await shop.do(
        "update_affiliate", affiliateId=deal.affiliate, customCommissionType="Percentage", customCommissionValue=5
    )


async def end_renewals(shop: Shop, deal: Deal) -> None:
    await shop.do("update_program", programId=deal.program, recurringMonths=0, recurringDelayInvoices=1)


pytestmark = pytest.mark.anyio

CHANGES: tuple[Change, ...] = (
    pause_affiliate,
    ban_affiliate,
    switch_program_off,
    archive_program,
    lower_program_rate,
    lower_own_rate,
    end_renewals,
)


async def signed(shop: Shop, **more: Any) -> Deal:
    """A deal in a shop whose events are read from now on."""
    deal = await shop.sign(**more)
    await shop.catch_up()
    return deal


@pytest.mark.parametrize("change", CHANGES)
async def test_news_that_comes_after_a_change_is_decided_as_it_was_before(shop: Shop, change: Change) -> None:
    deal = await signed(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval="month")
    shop.customers.advance(days=1)
    await change(shop, deal)
    await shop.catch_up()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert conversion["commissionCents"] == 1600
    again = await shop.conversion(await shop.sell(code="SARAH20", interval="month"))
    assert again is None or again["commissionCents"] == 400


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_takes_nothing_back_when_a_sale_is_told_again(shop: Shop, state: State, change: Change) -> None:
    deal = await shop.sign()
    sold = await shop.sell(code="SARAH20", interval="month")
    await change(shop, deal)
    told = events_of(state, "checkout.session.completed", "invoice.paid")
    await deliver(shop.app, *({**event, "id": f"{event['id']}_again"} for event in told))
    await shop.catch_up()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["commissionCents"], conversion["remainingCommissionCents"]) == (1600, 1600)


async def test_a_sale_during_a_pause_earns_nothing_though_its_news_comes_after_it(shop: Shop) -> None:
    deal = await signed(shop)
    await pause_affiliate(shop, deal)
    shop.customers.advance(days=1)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20")
    shop.customers.advance(days=1)
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Approved")
    await shop.catch_up()
    assert (await shop.explain(sold))["outcome"] == "affiliate_paused"
    assert await shop.conversions() == []
    assert await shop.conversion(await shop.sell(code="SARAH20")) is not None


async def test_several_changes_each_count_for_their_own_time(shop: Shop) -> None:
    deal = await signed(shop)
    sold: dict[int, Any] = {}
    for percent in (20, 10, 30, 5):
        await shop.do("update_program", programId=deal.program, defaultCommissionValue=percent)
        shop.customers.advance(days=1)
        sold[percent] = shop.customers.checkout(amount=10_000, code="SARAH20")
        shop.customers.advance(days=1)
    await shop.catch_up()
    cents = {percent: (await shop.conversion(each) or {})["commissionCents"] for percent, each in sold.items()}
    assert cents == {20: 1600, 10: 800, 30: 2400, 5: 400}


async def test_an_own_purchase_is_judged_by_what_the_program_allowed_then(shop: Shop) -> None:
    deal = await signed(shop, program=await shop.open_program(allowSelfPurchases=True))
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="sarah@example.com")
    shop.customers.advance(days=1)
    await shop.do("update_program", programId=deal.program, allowSelfPurchases=False)
    await shop.catch_up()
    assert (await shop.explain(sold))["outcome"] == "credited"
    later = await shop.sell(code="SARAH20", email="sarah@example.com")
    assert (await shop.explain(later))["outcome"] == "self_purchase"
