"""Renewals that were missed, of subscriptions that began before the span that is repaired: they are not the first payments."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from rekomi_mcp.domain.errors import Conflict
from rekomi_mcp.domain.sales import EarlierPayment, Sale
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.gateways.stripe_lists import paid_with
from rekomi_mcp.storage.tables import SaleRow
from rekomi_mcp.tools.reconciling import payments_before, stripe_walk
from tests.support.reconciling import (
    books,
    come_back,
    earned,
    find,
    go_away,
    kinds,
    long_ago,
    now,
    repair,
    sign_for_one_renewal,
)
from tests.support.shop import JsonObject, Shop

pytestmark = pytest.mark.anyio


def subscribe(shop: Shop, *, code: str | None = "SARAH20") -> JsonObject:
    """A subscription that is paid three times while the server is away."""
    sold = shop.customers.checkout(amount=10_000, code=code, email="kim@example.com", interval="month")
    for _ in range(2):
        shop.customers.renew(sold["subscription"])
    return sold


def sales(shop: Shop, subscription: str) -> int:
    with shop.app.open_store().reading() as session:
        return len(session.exec(select(SaleRow.id).where(col(SaleRow.subscription_id) == subscription)).all())


async def test_a_renewal_whose_earlier_payments_lie_before_the_span_is_counted_with_them(shop: Shop) -> None:
    await sign_for_one_renewal(shop)
    go_away(shop)
    sold = subscribe(shop)
    shop.customers.advance(days=1)
    since = now(shop)
    shop.customers.renew(sold["subscription"])
    await come_back(shop)
    [found] = (await find(shop, since=since))["items"]
    assert (found["kind"], found["commissionCents"]) == ("missing", None)
    done = await repair(shop, since=since)
    assert (done["counts"]["missing"], done["effects"]) == (1, [])
    assert await kinds(shop, since=since) == {}
    # And so is the one after it, which comes by itself.
    await shop.renew(sold)
    assert await earned(shop) == []
    assert sales(shop, sold["subscription"]) == 2


async def test_what_was_paid_before_the_span_earns_once_it_is_repaired_too(shop: Shop) -> None:
    await sign_for_one_renewal(shop)
    go_away(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com", interval="month")
    second = shop.customers.renew(sold["subscription"])
    shop.customers.advance(days=1)
    since = now(shop)
    shop.customers.renew(sold["subscription"])
    await come_back(shop)
    await repair(shop, since=since)
    assert await earned(shop) == []
    await repair(shop, since=long_ago(shop))
    assert await earned(shop) == sorted([sold["invoice"], second["invoice"]])
    assert await kinds(shop, since=long_ago(shop)) == {}


async def test_a_renewal_that_is_nobodys_is_asked_about_when_the_next_is_somebodys(shop: Shop) -> None:
    affiliate = await sign_for_one_renewal(shop)
    go_away(shop)
    sold = subscribe(shop, code=None)
    shop.customers.advance(days=1)
    since = now(shop)
    shop.customers.renew(sold["subscription"])
    shop.customers.checkout(amount=10_000, code="SARAH20", email="lee@example.com")
    await come_back(shop)
    assert (await find(shop, since=since))["unrelatedSales"] == 1
    assert (await repair(shop, since=since))["counts"]["missing"] == 1
    assert (await find(shop, since=since))["unrelatedSales"] == 1
    assert sales(shop, sold["subscription"]) == 0
    await shop.do("record_lead", affiliateId=affiliate, email="kim@example.com")
    shop.customers.advance(days=1)
    renewed = await shop.renew(sold)
    told = await shop.do("explain_attribution", sourceId=renewed["invoice"])
    assert told["outcome"] == "recurring_months_over"
    assert len(await earned(shop)) == 1


async def test_of_too_many_subscriptions_some_are_left_for_the_next_repair(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_walk, "MOST_LOOKUPS", 1)
    await sign_for_one_renewal(shop)
    go_away(shop)
    for number in range(2):
        shop.customers.checkout(amount=10_000, code="SARAH20", email=f"kim{number}@example.com", interval="month")
    shop.customers.advance(days=65)  # two renewals each
    since = now(shop)
    shop.customers.advance(days=28)  # and one
    await come_back(shop)
    for left in (True, False):
        done = await repair(shop, since=since)
        assert (done["counts"]["missing"], done["effects"]) == (1, [])
        assert [note for note in done["notes"] if "could not be looked up" in note] == (
            ["1 objects could not be looked up one by one: ask about a shorter span, or again after a repair."]
            if left
            else []
        )
    assert await kinds(shop, since=since) == {}
    assert await earned(shop) == []


async def test_a_renewal_that_comes_in_while_stripe_is_asked_is_no_part_of_the_repair(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_for_one_renewal(shop)
    go_away(shop)
    sold = subscribe(shop)
    await come_back(shop)
    since = now(shop)
    shop.customers.renew(sold["subscription"])
    plan = await shop.do("repair_missed_sales", since=since)

    async def meanwhile(stripe: StripeAccount, sale: Sale) -> list[EarlierPayment]:
        await shop.catch_up()
        return await paid_with(stripe, sale)

    monkeypatch.setattr(payments_before, "paid_with", meanwhile)
    with pytest.raises(Conflict, match="was changed while Stripe was asked"):
        await shop.do("repair_missed_sales", since=since, confirm=plan["confirm"])
    before = books(shop)
    assert (await shop.do("repair_missed_sales", since=since))["summary"] == "There is nothing to repair."
    assert books(shop) == before
