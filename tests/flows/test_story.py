"""What a brand lives through, from the first program to a refund: told with real events of the sandbox."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.conversions import claims, earned, timeline
from tests.support.shop import Shop

pytestmark = pytest.mark.anyio


async def test_a_one_off_sale_with_a_code_earns_on_what_was_charged_without_discount_and_tax(shop: Shop) -> None:
    deal = await shop.sign("SARAH20")
    sold = await shop.sell(10_000, code="sarah20", email="kim@example.com", tax_percent=10)
    assert (sold["amount_discount"], sold["amount_tax"], sold["amount_total"]) == (2000, 800, 8800)

    conversion = await shop.conversion(sold)
    assert earned(conversion) == (8000, 1600, "coupon", "SARAH20")
    assert conversion is not None
    assert (conversion["amount"], conversion["commission"]) == ("USD 80.00", "USD 16.00")
    assert (conversion["affiliateName"], conversion["affiliateId"]) == ("Sarah Lee", deal.affiliate)
    assert (conversion["type"], conversion["status"]) == ("OneTime", "Pending")
    assert (conversion["stripeMode"], timeline(conversion)) == ("sandbox", [("initial", 1600)])


async def test_the_base_leaves_out_a_tax_that_is_within_the_price(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(12_500, code="SARAH20", tax_percent=25, tax_inclusive=True)
    assert (sold["amount_total"], sold["amount_tax"]) == (10_000, 2000)
    assert earned(await shop.conversion(sold)) == (8000, 1600, "coupon", "SARAH20")


async def test_a_renewal_without_the_code_still_belongs_to_the_affiliate(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com", tax_percent=10)
    renewal = await shop.renew(sold)
    assert (sold["amount_total"], renewal["amount_total"], renewal["amount_discount"]) == (4400, 5500, 0)

    first, second = await shop.conversions()
    assert earned(first) == (4000, 800, "coupon", "SARAH20")
    assert earned(second) == (5000, 1000, "metadata_or_customer", None)
    assert {c["type"] for c in (first, second)} == {"Recurring"}
    assert {c["stripeSubscriptionId"] for c in (first, second)} == {sold["subscription"]}
    whole = await shop.do("get_conversion", conversionId=second["id"])
    assert timeline(whole) == [("initial", 800), ("renewal", 1000)]
    explanation = await shop.explain({"invoice": renewal["invoice"]})
    assert [(c["evidence"], c["won"]) for c in explanation["candidates"]] == [
        ("subscription", True),
        ("customer", False),
    ]


async def test_a_later_one_off_sale_to_the_same_customer_belongs_to_the_affiliate(shop: Shop) -> None:
    await shop.sign()
    first = await shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com")
    later = await shop.sell(3000, customer=first["customer"])
    assert earned(await shop.conversion(later)) == (3000, 600, "metadata_or_customer", None)
    assert claims(await shop.explain(later)) == [("Sarah Lee", "customer", True, "customer")]


async def test_a_code_counts_its_redemptions(shop: Shop) -> None:
    await shop.sign()
    kept = await shop.sell(code="SARAH20")
    returned = await shop.sell(code="SARAH20")
    await shop.sell()
    await shop.refund(returned)
    [code] = (await shop.do("list_affiliate_codes", code="sarah20"))["items"]
    assert (code["redemptions"], code["netRedemptions"]) == (2, 1)
    assert [c["externalEventId"] for c in await shop.conversions(code="Sarah20")] == [
        kept["session"],
        returned["session"],
    ]


async def test_a_lead_credits_a_later_sale_with_the_same_address(shop: Shop) -> None:
    deal = await shop.sign()
    lead = await shop.do("record_lead", email="Kim@Example.com", affiliateId=deal.affiliate)
    sold = await shop.sell(email="kim@example.com")
    assert earned(await shop.conversion(sold)) == (10_000, 2000, "metadata_or_customer", None)
    explanation = await shop.explain(sold)
    assert claims(explanation) == [("Sarah Lee", "lead", True, "lead")]
    assert explanation["candidates"][0]["reference"] == lead["id"]


async def test_a_code_goes_before_another_affiliates_lead(shop: Shop) -> None:
    deal = await shop.sign()
    bob = await shop.do("create_affiliate", programId=deal.program, email="bob@example.com", fullName="Bob Ray")
    await shop.do("record_lead", email="kim@example.com", affiliateId=bob["id"])
    sold = await shop.sell(email="kim@example.com", code="SARAH20")
    assert claims(await shop.explain(sold)) == [
        ("Sarah Lee", "code", True, "code"),
        ("Bob Ray", "lead", False, "weaker_than_code"),
    ]


async def test_of_two_leads_the_older_one_earns(shop: Shop) -> None:
    deal = await shop.sign()
    bob = await shop.do("create_affiliate", programId=deal.program, email="bob@example.com", fullName="Bob Ray")
    await shop.do("record_lead", email="kim@example.com", affiliateId=bob["id"])
    shop.customers.advance(days=1)
    await shop.do("record_lead", email="kim@example.com", affiliateId=deal.affiliate)
    sold = await shop.sell(email="kim@example.com")
    assert claims(await shop.explain(sold)) == [
        ("Bob Ray", "lead", True, "lead"),
        ("Sarah Lee", "lead", False, "later_lead"),
    ]


async def test_refunds_take_their_share_of_the_commission_and_failing_they_give_it_back(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(10_000, code="SARAH20", tax_percent=10)  # 88.00 paid, 16.00 earned

    await shop.refund(sold, 2933)  # 1600 x 5867 / 8800 = 1066.7
    first = await shop.conversion(sold)
    assert first is not None
    assert (first["remainingCommissionCents"], first["commission"], first["status"]) == (1067, "USD 10.67", "Pending")

    second = await shop.refund(sold, 2934)  # 1600 x 2933 / 8800 = 533.3
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["remainingCommissionCents"], conversion["commissionCents"]) == (533, 1600)
    assert timeline(conversion) == [("initial", 1600), ("refund", -533), ("refund", -534)]

    await shop.refund(sold)
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["remainingCommissionCents"], conversion["status"]) == (0, "Refunded")
    assert conversion["refundedAt"] is not None

    shop.customers.fail_refund(second["id"])
    await shop.catch_up()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["remainingCommissionCents"], conversion["status"]) == (533, "Pending")
    assert conversion["refundedAt"] is None
    assert ("refund_failed", 533) in timeline(conversion)
    assert sum(commission for _, commission in timeline(conversion)) == 533


async def test_a_refund_that_bounces_days_later_is_dated_when_it_bounced(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    bounced = await shop.refund(sold, 2000)
    shop.customers.advance(days=3)
    await shop.refund(sold, 2000)
    shop.customers.advance(days=4)
    shop.customers.fail_refund(bounced["id"])
    await shop.catch_up()
    conversion = await shop.conversion(sold)
    assert timeline(conversion) == [("initial", 1600), ("refund", -400), ("refund", -400), ("refund_failed", 400)]
    assert conversion is not None
    times = [datetime.fromisoformat(event["occurredAt"]) for event in conversion["events"]]
    assert [(at - times[0]).days for at in times] == [0, 0, 3, 7]


async def test_what_is_left_after_refunds_is_rounded_half_up_and_once(shop: Shop) -> None:
    await shop.sign(
        coupon={"discountValue": 50}, mint={"customCommissionType": "Percentage", "customCommissionValue": 50}
    )
    sold = await shop.sell(20_000, code="SARAH20")  # 100.00 paid, 50.00 earned
    left: list[int] = []
    for _ in range(3):
        await shop.refund(sold, 1)  # half a cent of commission each
        conversion = await shop.conversion(sold)
        assert conversion is not None
        left.append(conversion["remainingCommissionCents"])
    assert left == [5000, 4999, 4999]


async def test_a_preview_holds_commission_back_until_the_refund_window_has_closed(shop: Shop) -> None:
    deal = await shop.sign()
    sold = await shop.sell(code="SARAH20")
    before = await shop.preview()
    assert (before["totalCents"], before["eligibleCount"], before["ineligibleCount"]) == (0, 0, 1)
    [waiting] = before["candidates"]
    assert (waiting["isEligible"], waiting["ineligibilityReason"]) == (False, "on_hold")
    assert (waiting["amountCents"], waiting["heldCents"]) == (1600, 1600)
    conversion = await shop.conversion(sold)
    assert conversion is not None
    paid_at = datetime.fromisoformat(conversion["createdAt"])
    assert datetime.fromisoformat(waiting["heldUntil"]) == paid_at + timedelta(days=30)

    shop.customers.advance(days=31)
    await shop.sell(2500, code="SARAH20")
    after = await shop.preview()
    assert (after["totalCents"], after["currency"], after["eligibleCount"]) == (1600, "USD", 1)
    [candidate] = after["candidates"]
    assert (candidate["affiliateId"], candidate["amount"]) == (deal.affiliate, "USD 16.00")
    assert (candidate["isEligible"], candidate["heldCents"], candidate["lineItemCount"]) == (True, 400, 1)
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert conversion["status"] == "Approved"
    connected = (await shop.preview(method="StripeConnect"))["candidates"][0]
    assert connected["ineligibilityReason"] == "no_stripe_connect"


async def test_a_refund_before_the_payout_lessens_it(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(12_500, code="SARAH20")
    shop.customers.advance(days=31)
    await shop.refund(sold, 2500)
    assert (await shop.preview())["totalCents"] == 1500


async def test_a_payout_preview_has_a_line_and_a_total_for_each_currency(shop: Shop) -> None:
    await shop.sign()
    await shop.sell(10_000, code="SARAH20")
    await shop.sell(1000, code="SARAH20", currency="jpy")
    shop.customers.advance(days=31)
    preview = await shop.preview()
    assert [(t["total"], t["totalCents"]) for t in preview["totals"]] == [("JPY 160", 160), ("USD 16.00", 1600)]
    assert (preview["totalCents"], preview["currency"], preview["eligibleCount"]) == (None, None, 2)


async def test_a_sale_in_yen_is_counted_in_whole_yen(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(999, code="SARAH20", currency="jpy")  # 200 off: 799 net, 159.8 earned
    conversion = await shop.conversion(sold)
    assert earned(conversion) == (799, 160, "coupon", "SARAH20")
    assert conversion is not None
    assert (conversion["currency"], conversion["amount"], conversion["commission"]) == ("JPY", "JPY 799", "JPY 160")


async def test_an_explanation_names_the_winner_the_rule_and_the_terms(shop: Shop) -> None:
    deal = await shop.sign()
    sold = await shop.sell(code="SARAH20", tax_percent=10, email="kim@example.com")
    explanation = await shop.explain(sold)
    assert (explanation["outcome"], explanation["affiliateName"]) == ("credited", "Sarah Lee")
    assert explanation["explanation"] == (
        "Sarah Lee earned USD 16.00 on a sale of USD 80.00 net of discount and tax, because their code was redeemed on "
        "this sale. Rate: 20 %, from the program."
    )
    assert explanation["promotionCodeIds"] == [sold["promotion_code"]]
    assert claims(explanation) == [("Sarah Lee", "code", True, "code")]
    assert explanation["candidates"][0]["code"] == "SARAH20"
    assert (explanation["terms"]["rateSource"], explanation["terms"]["holdDays"]) == ("program", 30)
    by_conversion = await shop.do("explain_attribution", conversionId=explanation["conversionId"])
    assert by_conversion == explanation
    await shop.refund(sold, 4400)
    assert (await shop.explain(sold))["explanation"].endswith(
        "Of that USD 8.00 is left after what went back to the customer."
    )
    assert explanation["affiliateId"] == deal.affiliate


async def test_a_sale_without_a_code_is_explained_by_its_stripe_id(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(email="nobody@example.com")
    assert await shop.conversion(sold) is None
    explanation = await shop.explain(sold)
    assert (explanation["outcome"], explanation["candidates"]) == ("no_claim", [])
    assert explanation["explanation"].startswith("Nobody earned on this sale of USD 100.00 net of discount and tax.")
