"""Times that are over, repaired piece by piece: what was paid after a piece counts too, before it is repaired."""

from __future__ import annotations

import pytest

import rekomi_mcp.storage as storage
from tests.support.reconciling import come_back, earned, go_away, kinds, now, repair, sign_for_one_renewal
from tests.support.shop import JsonObject, Shop

pytestmark = pytest.mark.anyio


async def outcome(shop: Shop, billed: JsonObject) -> str:
    return (await shop.do("explain_attribution", sourceId=billed["invoice"]))["outcome"]


@pytest.mark.parametrize("repaired", ["beginning", "renewal"])
async def test_a_renewal_is_counted_with_what_was_paid_after_the_one_that_is_repaired(
    shop: Shop, repaired: str
) -> None:
    """What came between is still missing when the next comes live: one past those that earn."""
    of_beginning = repaired == "beginning"
    program = await shop.open_program(recurringMonths=1 if of_beginning else 2)
    await shop.sign(program=program, coupon={"duration": "Forever"})
    go_away(shop)
    since = now(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com", interval="month")
    shop.customers.advance(days=1)
    if not of_beginning:
        since = now(shop)
        shop.customers.renew(sold["subscription"])
        shop.customers.advance(days=1)
    until = now(shop)
    shop.customers.renew(sold["subscription"])
    await come_back(shop)
    done = await repair(shop, since=since, until=until)
    assert done["counts"]["missing"] == 1
    assert await outcome(shop, await shop.renew(sold)) == "recurring_months_over"


async def test_repaired_again_from_the_newest_nothing_earns_for_a_renewal_between_that_is_missing(shop: Shop) -> None:
    """Pieces: newest (nobody's then), oldest, and again from the newest, as the note says; the middle is still missing."""
    program = await shop.open_program(recurringMonths=1)
    await shop.sign(program=program, coupon={"duration": "Once"})
    go_away(shop)
    oldest = now(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com", interval="month")
    shop.customers.advance(days=3)
    middle = now(shop)
    shop.customers.renew(sold["subscription"])
    shop.customers.advance(days=3)
    newest = now(shop)
    shop.customers.renew(sold["subscription"])
    await come_back(shop)
    assert await kinds(shop, since=newest) == {}
    assert await kinds(shop, since=middle, until=newest) == {}
    await repair(shop, since=oldest, until=middle)
    done = await repair(shop, since=newest)
    assert done["effects"] == []
    await repair(shop, since=middle, until=newest)
    assert len(await earned(shop)) == 2


async def test_what_was_nobodys_in_a_time_that_is_over_is_asked_about_when_it_is_somebodys(shop: Shop) -> None:
    """Recorded as nobody's with another sale's repair; what is after the span never is; then it becomes somebody's."""
    affiliate = await sign_for_one_renewal(shop)
    go_away(shop)
    since = now(shop)
    sold = shop.customers.checkout(amount=10_000, email="kim@example.com", interval="month")
    shop.customers.checkout(amount=10_000, code="SARAH20", email="lee@example.com")
    shop.customers.advance(days=1)
    until = now(shop)
    for _ in range(2):
        shop.customers.renew(sold["subscription"])
    await come_back(shop)
    await repair(shop, since=since, until=until)
    assert await kinds(shop, since=since) == {}  # all in order, says the whole
    await shop.do("record_lead", affiliateId=affiliate, email="kim@example.com")
    shop.customers.advance(days=1)
    fourth = await shop.renew(sold)
    assert await outcome(shop, fourth) == "recurring_months_over"


async def lose_two_renewals(shop: Shop, *, code: str | None = "SARAH20") -> tuple[JsonObject, str, str]:
    """Kim's first payment was told, the server is away for the second and the third, and knows it; the sale and when."""
    await sign_for_one_renewal(shop)
    sold = await shop.sell(code=code, email="kim@example.com", interval="month")
    shop.customers.advance(days=1)
    since, gone = now(shop), shop.app.clock()
    shop.customers.renew(sold["subscription"])
    shop.customers.advance(days=1)
    between = now(shop)
    shop.customers.renew(sold["subscription"])
    shop.customers.advance(days=1)
    with shop.app.open_store().writing() as session:
        storage.inbox.set_read_until(session, "self", shop.app.clock(), lost=storage.inbox.Span(gone, shop.app.clock()))
    assert await shop.catch_up() == 0
    return sold, since, between


async def test_while_news_is_lost_a_renewal_is_counted_with_what_was_paid_meanwhile(shop: Shop) -> None:
    sold, since, _ = await lose_two_renewals(shop)
    fourth = await shop.renew(sold)
    assert await outcome(shop, fourth) == "recurring_months_over"
    await repair(shop, since=since)
    assert len(await earned(shop)) == 2
    assert await kinds(shop, since=since) == {}


async def test_of_what_is_lost_the_newest_piece_is_counted_with_the_older(shop: Shop) -> None:
    _, since, between = await lose_two_renewals(shop)
    assert (await repair(shop, since=between))["effects"] == []
    assert len((await repair(shop, since=since))["effects"]) == 1
    assert len(await earned(shop)) == 2


async def test_what_was_lost_and_is_nobodys_is_counted_once_it_is_compared(shop: Shop) -> None:
    """Its first sale was told; two renewals are lost and nobody's: nothing to repair. Then it becomes somebody's."""
    sold, since, _ = await lose_two_renewals(shop, code=None)
    assert (await shop.do("tracking_health"))["healthy"] is False
    assert (await shop.do("repair_missed_sales", since=since))["summary"] == "There is nothing to repair."
    assert (await shop.do("tracking_health"))["healthy"] is True
    [sarah] = (await shop.do("list_affiliates"))["items"]
    await shop.do("record_lead", affiliateId=sarah["id"], email="kim@example.com")
    shop.customers.advance(days=1)
    fourth = await shop.renew(sold)
    assert await kinds(shop, since=since) == {}
    assert (await shop.do("explain_attribution", sourceId=fourth["invoice"]))["outcome"] == "recurring_months_over"
