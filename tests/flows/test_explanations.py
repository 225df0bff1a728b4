"""Anyone can ask why: by conversion, Stripe id, customer or code, also where nobody earned anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.domain.sales import Payment, SaleSource, SubscriptionStarted
from rekomi_mcp.storage.tables import AffiliateCodeRow
from rekomi_mcp.tools.attribution.answers import ExplanationOutput
from tests.support.reconciling import come_back, go_away, repair
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
    assert told["explanation"].startswith("The newest of 2 sales to this customer: Sarah Lee earned ")


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


async def test_a_code_that_is_still_being_made_in_stripe_is_told_as_that(shop: Shop) -> None:
    deal = await shop.sign()
    with shop.app.open_store().writing() as session:
        code = session.get_one(AffiliateCodeRow, deal.code)
        code.status, code.stripe_promotion_code_id = "Pending", None
    told = await shop.do("explain_attribution", code="SARAH20")
    assert told["explanation"].startswith("The code SARAH20 of Sarah Lee is being made in Stripe. No sale with it")


async def test_a_text_that_was_given_away_twice_is_told_with_the_sales_of_both(shop: Shop) -> None:
    first = await shop.sign("SARAH20")
    sold = await shop.sell(code="SARAH20", email="kim@example.com")
    await shop.do("deactivate_affiliate_code", codeId=first.code)
    await shop.sign("SARAH20", name="Tom Ray", program=first.program)
    shop.customers.advance(days=1)
    again = await shop.sell(code="SARAH20", email="lou@example.com")
    told = await shop.do("explain_attribution", code="SARAH20")
    assert (told["sourceId"], told["affiliateName"]) == (again["session"], "Tom Ray")
    assert [row["sourceId"] for row in told["otherSales"]] == [sold["session"]]
    assert "of Tom Ray is live" in told["explanation"]
    assert "of Sarah Lee ended on" in told["explanation"]


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
    assert "The newest of more than 20 sales with it: " in told["explanation"]


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
    assert told["explanation"].endswith(
        "The code SARAH20 was redeemed, which was nobody's here then and is an affiliate's now: decide the sale again "
        "with repair_missed_sales."
    )
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
    assert told["explanation"].startswith("The newest of 2 sales that this payment paid: ")


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


async def pay_twice_told(shop: Shop, at: datetime, invoice_after: timedelta, **more: Any) -> None:
    """A checkout, and an invoice that is written for the same payment."""
    paid: dict[str, Any] = {"payments": (Payment("pi_1"),)} | more
    await sell(shop.app, shop.id, sale("cs_1", source=SaleSource.CheckoutSession, at=at, **paid))
    await sell(shop.app, shop.id, sale("in_1", at=at + invoice_after, **paid))


@pytest.mark.parametrize(
    ("email", "with_code", "outcome"),
    [
        ("sarah@example.com", True, "self_purchase"),
        ("kim@example.com", True, "credited"),
        ("kim@example.com", False, "no_claim"),
    ],
)
async def test_a_checkout_that_is_one_sale_with_an_invoice_leaves_the_decision_to_that(
    shop: Shop, email: str, with_code: bool, outcome: str
) -> None:
    await shop.sign()
    codes = (await promotion_code(shop),) if with_code else ()
    await pay_twice_told(shop, shop.app.clock(), timedelta(hours=1), customer_email=email, codes=codes)
    assert (await shop.do("explain_attribution", sourceId="in_1"))["outcome"] == outcome
    told = await shop.do("explain_attribution", sourceId="cs_1")
    assert told["explanation"] == (
        "This checkout of USD 40.00 net of discount and tax earns nothing by itself. An invoice was written for the same "
        "payment: they are one sale, and what is decided on the invoice counts. See in_1."
    )


@pytest.mark.parametrize("with_code", [True, False])
@pytest.mark.parametrize("invoice_after", [timedelta(seconds=-2), timedelta(hours=1)], ids=str)
async def test_a_checkout_and_its_invoice_count_as_one_sale_and_the_invoice_is_told(
    shop: Shop, invoice_after: timedelta, with_code: bool
) -> None:
    await shop.sign()
    codes = (await promotion_code(shop),) if with_code else ()
    kim: dict[str, Any] = {"customer_email": "kim@example.com", "codes": codes}
    now = shop.app.clock()
    await pay_twice_told(shop, now, invoice_after, **kim)
    ways: list[dict[str, str]] = [{"customerEmail": "kim@example.com"}, {"sourceId": "pi_1"}]
    for way in [*ways, {"code": "SARAH20"}] if with_code else ways:
        told = await shop.do("explain_attribution", **way)
        assert (told["sourceId"], [other["sourceId"] for other in told["otherSales"]]) == ("in_1", ["cs_1"])
        assert "newest of" not in told["explanation"]
    await sell(shop.app, shop.id, sale("in_0", at=now - timedelta(minutes=1), **kim))
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert [told["sourceId"], *(other["sourceId"] for other in told["otherSales"])] == ["in_1", "cs_1", "in_0"]
    assert told["explanation"].startswith("The newest of 2 sales to this customer: ")


async def test_a_checkout_whose_invoice_names_another_customer_is_a_sale_of_its_own_customer(shop: Shop) -> None:
    now = shop.app.clock()
    kim: dict[str, Any] = {"customer_email": "kim@example.com"}
    paid: dict[str, Any] = {"payments": (Payment("pi_1"),)}
    await sell(shop.app, shop.id, sale("cs_1", source=SaleSource.CheckoutSession, at=now, **paid, **kim))
    of_her_firm = sale("in_1", at=now + timedelta(minutes=1), customer_email="firm@example.com", **paid)
    await sell(shop.app, shop.id, of_her_firm)
    await sell(shop.app, shop.id, sale("in_0", at=now - timedelta(minutes=1), **kim))
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert told["sourceId"] == "cs_1"
    assert told["explanation"].startswith("The newest of 2 sales to this customer: This checkout of ")


@pytest.mark.parametrize("gross", [0, 500])
async def test_what_is_said_of_a_free_order_holds_whatever_the_program_skips_and_shipping_costs(
    shop: Shop, gross: int
) -> None:
    deal = await shop.sign()
    await shop.do("update_program", programId=deal.program, recurringDelayInvoices=1)
    now = shop.app.clock()
    kim: dict[str, Any] = {"customer_email": "kim@example.com", "subscription_id": "sub_kim"}
    free = sale("in_free", at=now, net=0, gross=gross, codes=(await promotion_code(shop),), **kim)
    await sell(shop.app, shop.id, free, sale("in_paid", at=now + timedelta(days=30), **kim))
    assert (await shop.do("explain_attribution", sourceId="in_paid"))["outcome"] == "recurring_delay"
    told = await shop.do("explain_attribution", sourceId="in_free")
    assert told["outcome"] == "free"
    assert told["explanation"].endswith(
        "Nothing was charged on it, tax and shipping aside, so there is nothing to earn on. It counts as a signup that the "
        "affiliate brought: later sales are decided with it, and the program's terms say which of them earn."
    )


async def test_a_customer_won_by_the_beginning_of_a_subscription_is_not_said_to_have_bought_before(shop: Shop) -> None:
    await shop.sign()
    now = shop.app.clock()
    begun = SubscriptionStarted("sub_kim", "cus_kim", "evt_start", now, (await promotion_code(shop),), at_checkout=True)
    await sell(shop.app, shop.id, begun, sale("in_1", at=now + timedelta(days=1), customer_id="cus_kim"))
    told = await shop.do("explain_attribution", sourceId="in_1")
    [claim] = told["candidates"]
    assert (claim["evidence"], datetime.fromisoformat(claim["since"])) == ("customer", now)
    reason = "because the customer was theirs already, by an earlier sale or the beginning of a subscription."
    assert reason in told["explanation"]


@pytest.mark.parametrize("what_ends", ["code", "coupon"])
async def test_a_code_that_has_expired_is_not_called_live(shop: Shop, what_ends: str) -> None:
    ends_at = shop.app.clock() + timedelta(days=5)
    ends = {"expiresAt": ends_at.isoformat()}
    deal = await (shop.sign(mint=ends) if what_ends == "code" else shop.sign(coupon=ends))
    if what_ends == "coupon":
        # As of an adopted code, whose own end is not its coupon's.
        with shop.app.open_store().writing() as session:
            session.get_one(AffiliateCodeRow, deal.code).expires_at = ends_at + timedelta(days=90)
    told = await shop.do("explain_attribution", code="SARAH20")
    assert told["explanation"].startswith("The code SARAH20 of Sarah Lee is live.")
    shop.customers.advance(days=6)
    told = await shop.do("explain_attribution", code="SARAH20")
    assert told["explanation"].startswith(f"The code SARAH20 of Sarah Lee expired on {ends_at:%Y-%m-%d}.")


async def test_a_code_that_may_be_used_up_is_called_live_only_until_then(shop: Shop) -> None:
    await shop.sign(mint={"maxRedemptions": 1})
    await shop.sell(code="SARAH20")
    told = await shop.do("explain_attribution", code="SARAH20")
    assert told["explanation"].startswith(
        "The code SARAH20 of Sarah Lee is live until its redemption limit of 1 is reached. Sarah Lee earned "
    )


async def test_a_signup_that_came_after_the_sale_is_told_as_one(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.sell(email="kim@example.com")
    shop.customers.advance(days=1)
    await shop.do("record_lead", affiliateId=deal.affiliate, email="kim@example.com")
    on = f"{shop.app.clock():%Y-%m-%d}"
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert told["explanation"].startswith(
        f"Signups of this customer: Sarah Lee on {on} (after the newest sale). Nobody earned on this sale "
    )
    shop.customers.advance(days=1)
    await shop.sell(email="kim@example.com")
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert told["explanation"].startswith(
        f"Signups of this customer: Sarah Lee on {on}. The newest of 2 sales to this customer: Sarah Lee earned "
    )


async def test_a_signup_that_won_the_sale_is_not_said_to_have_come_after_it(shop: Shop) -> None:
    """Stripe tells times in whole seconds: what is of the same second is taken for earlier."""
    deal = await shop.sign()
    lead = await shop.do("record_lead", affiliateId=deal.affiliate, email="kim@example.com")
    sold_at = datetime.fromisoformat(lead["createdAt"]).replace(microsecond=0)
    await sell(shop.app, shop.id, sale("in_1", at=sold_at, customer_email="kim@example.com"))
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert [(claim["reference"], claim["won"]) for claim in told["candidates"]] == [(lead["id"], True)]
    assert "Signups of this customer: Sarah Lee on 20" in told["explanation"]
    assert "after the newest sale" not in told["explanation"]


async def test_the_event_that_brought_a_sale_is_of_a_kind_that_its_description_names(shop: Shop) -> None:
    described = str(ExplanationOutput.model_fields["event_id"].description)
    await shop.sign()
    go_away(shop)
    missed = shop.customers.checkout(amount=10_000, code="SARAH20")
    await come_back(shop)
    await repair(shop)
    repaired = (await shop.explain(missed))["eventId"]
    assert repaired == f"reconcile:{missed['session']}"
    order = {"externalEventId": "order-1", "amountCents": 8_000, "currency": "USD", "code": "SARAH20"}
    await shop.do("record_sale", **order)
    told = (await shop.do("explain_attribution", sourceId="order-1"))["eventId"]
    assert told == "server:order-1"
    for event_id in (repaired, told):
        assert f"({event_id.partition(':')[0]}:)" in described
    heard = await shop.explain(await shop.sell(code="SARAH20", email="lou@example.com"))
    assert heard["eventId"].startswith("evt_")
    assert "a Stripe event" in described


async def test_an_explanation_tells_the_event_the_times_and_the_terms_as_they_were(shop: Shop) -> None:
    program = await shop.open_program(recurringMonths=7, recurringDelayInvoices=1)
    deal = await shop.sign(program=program)
    await shop.do("record_lead", affiliateId=deal.affiliate, email="kim@example.com")
    [lead] = (await shop.do("list_leads"))["items"]
    first_at = (shop.app.clock() + timedelta(hours=1)).replace(microsecond=0)
    second_at = first_at + timedelta(days=30)
    kim: dict[str, Any] = {"customer_email": "kim@example.com", "customer_id": "cus_kim", "subscription_id": "sub_kim"}
    code = await promotion_code(shop)
    await sell(shop.app, shop.id, sale("in_first", at=first_at, codes=(code,), event_id="evt_of_first", **kim))
    await sell(shop.app, shop.id, sale("in_second", at=second_at, event_id="evt_of_second", **kim))
    told = await shop.do("explain_attribution", customerEmail="kim@example.com")
    assert (told["sourceId"], told["eventId"]) == ("in_second", "evt_of_second")
    assert datetime.fromisoformat(told["occurredAt"]) == second_at
    [other] = told["otherSales"]
    assert (other["sourceId"], datetime.fromisoformat(other["occurredAt"])) == ("in_first", first_at)
    since = {claim["evidence"]: claim["since"] and at_second(claim["since"]) for claim in told["candidates"]}
    assert since == {"subscription": first_at, "customer": first_at, "lead": at_second(lead["createdAt"])}
    assert told["terms"] == {
        "commission": "20 %",
        "rateSource": "program",
        "termsVersion": 1,
        "recurringMonths": 7,
        "recurringDelayInvoices": 1,
        "invoiceIndex": 1,
        "holdDays": 30,
    }
    told = await shop.do("explain_attribution", sourceId="in_first")
    assert (told["eventId"], datetime.fromisoformat(told["occurredAt"])) == ("evt_of_first", first_at)
    assert {claim["evidence"]: claim["since"] is None for claim in told["candidates"]} == {"code": True, "lead": False}


def at_second(told: str) -> datetime:
    return datetime.fromisoformat(told).astimezone(UTC).replace(microsecond=0)
