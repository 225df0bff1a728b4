"""Anyone can ask why: by conversion, Stripe id, customer or code, also where nobody earned anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.domain.sales import Payment
from rekomi_mcp.storage.tables import AffiliateCodeRow
from tests.support.shop import Shop
from tests.support.world import sale, sell

pytestmark = pytest.mark.anyio


async def test_a_customer_is_asked_after_by_the_address_in_any_case(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20", email="Kim@Example.com")
    renewed = shop.customers.renew(sold["subscription"])
    await shop.catch_up()
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert (told["sourceId"], told["affiliateName"]) == (renewed["invoice"], "Sarah Lee")
    assert [(row["sourceId"], row["outcome"], row["affiliateName"]) for row in told["otherSales"]] == [
        (sold["invoice"], "credited", "Sarah Lee")
    ]
    assert "Of the 2 sales of this customer the newest:" in told["explanation"]


async def test_a_customer_who_only_signed_up_has_no_sale_and_the_answer_names_who_brought_them(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.do("record_lead", affiliateId=deal.affiliate, email="kim@example.com")
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert (told["outcome"], told["candidates"], told["otherSales"]) == ("no_sale", [], [])
    assert "Sarah Lee on 20" in told["explanation"]
    assert "tracking_health" in told["explanation"]


async def test_a_code_tells_whose_it_is_and_explains_its_newest_sale(shop: Shop) -> None:
    deal = await shop.sign()
    unsold = await shop.do("explain_attribution", code="sarah20")
    assert unsold["outcome"] == "no_sale"
    assert unsold["explanation"].startswith("The code SARAH20 of Sarah Lee is live. No sale with it has arrived")
    sold = await shop.sell(code="SARAH20")
    told = await shop.do("explain_attribution", code="SARAH20")
    assert (told["sourceId"], told["outcome"]) == (sold["session"], "credited")
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Paused")
    paused = await shop.do("explain_attribution", code="SARAH20")
    assert "is live. They are Paused, so new sales with it earn them nothing." in paused["explanation"]
    await shop.do("deactivate_affiliate_code", codeId=deal.code)
    ended = await shop.do("explain_attribution", code="SARAH20")
    assert f"The code SARAH20 of Sarah Lee ended on {shop.app.clock():%Y-%m-%d}." in ended["explanation"]


async def test_a_code_that_lost_is_told_with_the_sale_it_lost(shop: Shop) -> None:
    sarah = await shop.sign("SARAH20")
    await shop.sign("TOM20", name="Tom Ray", program=sarah.program)
    sold = await shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com")
    shop.customers.advance(days=1)
    await shop.do(
        "update_affiliate", affiliateId=(await shop.do("list_affiliates", q="Tom"))["items"][0]["id"], status="Paused"
    )
    lost = await shop.sell(code="TOM20", email="lou@example.com")
    told = await shop.do("explain_attribution", code="TOM20")
    assert (told["sourceId"], told["outcome"]) == (lost["session"], "affiliate_paused")
    assert (await shop.do("explain_attribution", code="SARAH20"))["sourceId"] == sold["invoice"]


async def test_of_the_many_sales_that_a_code_lost_the_newest_is_told(shop: Shop) -> None:
    deal = await shop.sign("TOM20", name="Tom Ray")
    won = await shop.sell(code="TOM20")
    [code] = (await shop.explain(won))["promotionCodeIds"]
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Paused")
    now = shop.app.clock()
    for number in range(25):
        await sell(shop.app, shop.id, sale(f"in_{number}", codes=(code,), at=now + timedelta(minutes=number)))
    told = await shop.do("explain_attribution", code="TOM20")
    assert (told["sourceId"], told["outcome"]) == ("in_24", "affiliate_paused")
    assert [row["sourceId"] for row in told["otherSales"]] == [f"in_{number}" for number in range(23, 4, -1)]
    assert "Of the more than 20 sales of it the newest:" in told["explanation"]


async def test_a_code_that_is_nobodys_says_how_to_give_it_to_somebody(shop: Shop) -> None:
    with pytest.raises(Refusal, match="list_adoptable_codes"):
        await shop.do("explain_attribution", code="NOBODYS")


async def test_a_purchase_of_the_affiliates_own_is_flagged_and_explained(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20", email="sarah+shop@example.com")
    [denied] = await shop.conversions()
    assert (denied["status"], denied["flag"], denied["remainingCommissionCents"]) == ("Denied", "self_purchase", 0)
    told = await shop.explain(sold)
    assert told["outcome"] == "self_purchase"
    assert told["explanation"].startswith("Nobody earned on this sale of USD 80.00")
    assert "The buyer is the affiliate: the sale was flagged and earns nothing" in told["explanation"]
    assert (await shop.do("run_payout_preview"))["candidates"] == []


async def test_a_program_may_let_affiliates_earn_on_their_own_purchases(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.do("update_program", programId=deal.program, allowSelfPurchases=True)
    await shop.sell(code="SARAH20", email="sarah@example.com")
    [sold] = await shop.conversions()
    assert (sold["status"], sold["remainingCommissionCents"]) == ("Pending", 1600)


async def test_an_open_dispute_keeps_the_commission_from_being_paid_until_it_is_decided(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    dispute = shop.customers.dispute(charge=sold["charge"])
    await shop.catch_up()
    shop.customers.advance(days=60)
    [held] = await shop.conversions()
    assert (held["status"], held["disputed"], held["remainingCommissionCents"]) == ("Pending", True, 1600)
    assert "A dispute is open" in (await shop.explain(sold))["explanation"]
    [waiting] = (await shop.do("run_payout_preview"))["candidates"]
    assert (waiting["isEligible"], waiting["heldCents"], waiting.get("heldUntil")) == (False, 1600, None)
    shop.customers.close_dispute(dispute["id"], won=True)
    await shop.catch_up()
    [paid] = (await shop.do("run_payout_preview"))["candidates"]
    assert (paid["isEligible"], paid["amountCents"], paid["heldCents"]) == (True, 1600, 0)
    events = (await shop.do("get_conversion", conversionId=held["id"]))["events"]
    assert [event["eventType"] for event in events] == ["initial", "disputed", "dispute_over"]


async def waits(shop: Shop, **wanted: Any) -> tuple[bool, int, int, str | None]:
    """The one candidate of the preview: whether it is eligible, its amount, what is held, and why."""
    [found] = (await shop.preview(**wanted))["candidates"]
    return found["isEligible"], found["amountCents"], found["heldCents"], found["explanation"]


async def test_a_preview_tells_what_waits_for_a_dispute_from_what_is_in_its_refund_window(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    window = "the refund window of these sales is still open"
    assert await waits(shop) == (False, 1600, 1600, window)
    dispute = shop.customers.dispute(charge=sold["charge"])
    await shop.catch_up()
    in_dispute = "USD 16.00 waits for the end of a dispute"
    assert await waits(shop) == (False, 1600, 1600, in_dispute)
    shop.customers.advance(days=5)
    await shop.sell(2500, code="SARAH20")
    until = datetime.fromisoformat((await shop.preview())["candidates"][0]["heldUntil"])
    later = f"; the refund window of USD 4.00 is still open, the next part's until {until:%Y-%m-%d %H:%M} UTC"
    assert await waits(shop) == (False, 2000, 2000, in_dispute + later)
    day_of_the_second = f"{shop.app.clock():%Y-%m-%d}"
    assert await waits(shop, periodStart=day_of_the_second) == (False, 400, 400, window), "the other is of no concern"
    shop.customers.advance(days=31)
    assert await waits(shop) == (True, 400, 1600, in_dispute)
    connected = "the affiliate has not connected a Stripe account; method Manual pays outside"
    assert await waits(shop, method="StripeConnect") == (False, 400, 1600, f"{connected}; {in_dispute}")
    shop.customers.close_dispute(dispute["id"], won=True)
    await shop.catch_up()
    assert await waits(shop) == (True, 2000, 0, None)


@pytest.mark.parametrize("interval", ["month", None])
async def test_a_sale_is_found_by_its_session_its_invoice_and_its_payment(shop: Shop, interval: str | None) -> None:
    await shop.sign()
    visit = {"interval": interval} if interval else {}
    sold = await shop.sell(5000, code="SARAH20", email="kim@example.com", **visit)
    source = sold["invoice"] or sold["session"]
    for name in ("session", "invoice", "payment_intent"):
        if sold[name] is not None:
            told = await shop.do("explain_attribution", sourceId=sold[name])
            assert (told["sourceId"], told["outcome"]) == (source, "credited")


async def test_a_credit_to_a_customer_who_has_paid_is_no_signup(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com")
    await tell(shop, sold, "in_credit", net=-2500)
    await tell(shop, sold, "in_free_month", net=0)
    for source in ("in_credit", "in_free_month"):
        told = await shop.do("explain_attribution", sourceId=source)
        assert told["outcome"] == "nothing_paid"
        assert "Nothing was charged on it" in told["explanation"]
    assert (await shop.do("list_leads"))["items"] == []


async def test_a_free_month_whose_payment_before_it_comes_late_was_no_signup(shop: Shop) -> None:
    await shop.sign()
    code = await promotion_code(shop)
    kim: dict[str, Any] = {"customer_email": "kim@example.com", "customer_id": "cus_kim", "subscription_id": "sub_kim"}
    now = shop.app.clock()
    free = sale("in_free", at=now, net=0, gross=0, codes=(code,), **kim)
    await sell(shop.app, shop.id, free)
    assert [lead["email"] for lead in (await shop.do("list_leads"))["items"]] == ["kim@example.com"]
    await sell(shop.app, shop.id, sale("in_paid", at=now - timedelta(days=30), codes=(code,), **kim))
    assert (await shop.do("explain_attribution", sourceId="in_free"))["outcome"] == "nothing_paid"
    assert (await shop.do("list_leads"))["items"] == []


async def test_a_sale_from_before_its_code_was_somebodys_says_how_to_credit_it(shop: Shop) -> None:
    deal = await shop.sign()
    sold = await shop.sell(code="SARAH20")
    code = await promotion_code(shop)
    with shop.app.open_store().writing() as session:
        row = session.get_one(AffiliateCodeRow, deal.code)
        row.stripe_promotion_code_id = None
    early = sale("in_early", at=shop.app.clock(), codes=(code,))
    await sell(shop.app, shop.id, early)
    told = await shop.do("explain_attribution", sourceId="in_early")
    assert "adopt_promotion_code" in told["explanation"]
    with shop.app.open_store().writing() as session:
        session.get_one(AffiliateCodeRow, deal.code).stripe_promotion_code_id = code
    told = await shop.do("explain_attribution", sourceId="in_early")
    assert "The code SARAH20 was redeemed" in told["explanation"]
    assert "repair_missed_sales" in told["explanation"]
    assert "adopt_promotion_code" not in told["explanation"]
    assert (await shop.explain(sold))["outcome"] == "credited"


async def tell(shop: Shop, sold: dict[str, Any], source_id: str, *, net: int) -> None:
    """An invoice of a subscription that was sold before, a little later."""
    at = shop.app.clock() + timedelta(seconds=5)
    of_kim: dict[str, Any] = {"customer_email": "kim@example.com", "subscription_id": sold["subscription"]}
    await sell(shop.app, shop.id, sale(source_id, at=at, net=net, gross=net, **of_kim))


async def promotion_code(shop: Shop) -> str:
    with shop.app.open_store().reading() as session:
        row = storage.codes.live_by_text(session, shop.id, "SARAH20")
    assert row is not None
    return str(row.stripe_promotion_code_id)


async def test_the_sales_of_a_payment_on_two_invoices_are_told_together(shop: Shop) -> None:
    await shop.sign()
    for number in (1, 2):
        at = shop.app.clock() - timedelta(hours=2 - number)
        await sell(shop.app, shop.id, sale(f"in_{number}", payments=(Payment("pi_1"),), at=at))
    told = await shop.do("explain_attribution", sourceId="pi_1")
    assert told["sourceId"] == "in_2"
    assert [other["sourceId"] for other in told["otherSales"]] == ["in_1"]
    assert told["explanation"].startswith("This payment paid several sales. Of the 2 sales of it the newest: ")


async def test_a_customer_whom_a_code_brought_is_told_of_without_a_word_on_signups(shop: Shop) -> None:
    await shop.sign()
    await shop.sell(code="SARAH20", email="kim@example.com")
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert told["explanation"].startswith("Sarah Lee earned ")
    unknown = await shop.do("explain_attribution", customerEmail="lou@example.com")
    assert unknown["explanation"].startswith("No signup of this customer is known. No sale with this address")


@pytest.mark.parametrize(
    "visit", [{"client_reference_id": "nobody-such"}, {"metadata": {"rekomi_click": "nobody-such"}}]
)
async def test_a_reference_that_leads_to_nobody_is_told(shop: Shop, visit: dict[str, Any]) -> None:
    await shop.sign()
    told = await shop.explain(await shop.sell(**visit))
    assert told["outcome"] == "no_claim"
    assert "the reference nobody-such, which was no click and no affiliate's link here then." in told["explanation"]


async def test_whoever_had_the_claim_and_could_not_earn_is_named(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Paused")
    told = await shop.explain(await shop.sell(code="SARAH20"))
    assert "Sarah Lee had the claim, but was paused then and could not earn." in told["explanation"]
    assert "affiliateName" not in told or told["affiliateName"] is None


async def test_a_lost_dispute_is_not_called_a_refund(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    disputed = shop.customers.dispute(payment_intent=sold["payment_intent"])
    shop.customers.close_dispute(disputed["id"], won=False)
    await shop.catch_up()
    told = await shop.explain(sold)
    assert "Of that USD 0.00 is left after what went back to the customer." in told["explanation"]
    assert (told["commissionCents"], told["remainingCommissionCents"]) == (1_600, 0)


async def test_an_id_that_no_sale_has_is_answered_with_the_kinds_that_are_taken(shop: Shop) -> None:
    with pytest.raises(Refusal) as refused:
        await shop.do("explain_attribution", sourceId="sub_1")
    assert "an invoice (in_), a checkout session (cs_), a payment intent (pi_) or your own" in refused.value.message
