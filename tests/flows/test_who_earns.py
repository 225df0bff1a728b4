"""Who earns on a sale and how much: people paused, codes ended, trials, rates, and the terms of renewals."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.errors import ApiError
from tests.support.conversions import claims, earned, promotion_code, timeline
from tests.support.shop import JsonObject, Shop

pytestmark = pytest.mark.anyio


async def stripe(shop: Shop, path: str, form: dict[str, Any]) -> JsonObject:
    """What the shop's own software asks of Stripe."""
    endpoint = await shop.app.sandbox.endpoint()
    async with httpx.AsyncClient(base_url=f"{endpoint.api_base}/v1", auth=(SANDBOX_KEY, "")) as client:
        answer = await client.post(path, data=form)
    assert answer.is_success, answer.text
    return answer.json()


async def subscribe(shop: Shop, customer: str, *codes: str) -> JsonObject:
    """A monthly subscription of USD 50.00 that the shop's own software makes, with promotion codes by id."""
    product = await stripe(shop, "/products", {"name": "Acme Pro"})
    form = {
        "customer": customer,
        "items[0][price_data][currency]": "usd",
        "items[0][price_data][product]": product["id"],
        "items[0][price_data][recurring][interval]": "month",
        "items[0][price_data][unit_amount]": "5000",
        **{f"discounts[{n}][promotion_code]": code for n, code in enumerate(codes)},
    }
    subscription = await stripe(shop, "/subscriptions", form)
    await shop.catch_up()
    return {"subscription": subscription["id"], "invoice": subscription["latest_invoice"], "session": None}


async def test_a_sale_of_a_paused_affiliate_earns_nothing_and_says_so(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Paused")
    sold = await shop.sell(code="SARAH20")
    assert await shop.conversion(sold) is None
    explanation = await shop.explain(sold)
    assert explanation["outcome"] == "affiliate_paused"
    assert "paused" in explanation["explanation"].lower()
    assert claims(explanation) == [("Sarah Lee", "code", False, "affiliate_paused")]

    await shop.do("update_affiliate", affiliateId=deal.affiliate, status="Approved")
    assert await shop.conversion(sold) is None, "coming back does not rewrite the past"
    assert earned(await shop.conversion(await shop.sell(code="SARAH20"))) == (8000, 1600, "coupon", "SARAH20")


async def test_a_sale_of_a_paused_or_archived_program_earns_nothing_and_says_so(shop: Shop) -> None:
    deal = await shop.sign()
    await shop.do("update_program", programId=deal.program, isActive=False)
    unpaid = await shop.explain(await shop.sell(code="SARAH20"))
    assert unpaid["outcome"] == "program_inactive"
    assert unpaid["explanation"].endswith("The program was switched off then.")
    await shop.do("archive_program", programId=deal.program)
    sold = await shop.sell(code="SARAH20")
    explanation = await shop.explain(sold)
    assert (explanation["outcome"], await shop.conversions()) == ("program_archived", [])
    assert explanation["explanation"].endswith("The program was archived by then.")


async def test_a_deactivated_code_sells_no_more_and_its_customers_go_on_earning(shop: Shop) -> None:
    deal = await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    ended = await shop.do("deactivate_affiliate_code", codeId=deal.code)
    assert (ended["status"], ended["redemptions"]) == ("Inactive", 1)
    with pytest.raises(ApiError, match="not active"):
        shop.customers.checkout(amount=5000, code="SARAH20")
    renewal = await shop.renew(sold)
    assert earned(await shop.conversion({"invoice": renewal["invoice"]})) == (5000, 1000, "metadata_or_customer", None)


async def test_the_text_of_a_dead_code_may_go_to_somebody_else_without_its_past(shop: Shop) -> None:
    deal = await shop.sign()
    old = await shop.sell(code="SARAH20")
    await shop.do("deactivate_affiliate_code", codeId=deal.code)
    other = await shop.do("create_affiliate", programId=deal.program, email="bob@example.com", fullName="Bob Ray")
    await shop.do("mint_affiliate_code", affiliateId=other["id"], couponId=deal.coupon, code="SARAH20")
    new = await shop.sell(code="SARAH20")
    names = [(await shop.explain(sold))["affiliateName"] for sold in (old, new)]
    assert names == ["Sarah Lee", "Bob Ray"]


async def test_an_archived_coupon_ends_its_codes_and_its_customers_go_on_earning(shop: Shop) -> None:
    deal = await shop.sign(coupon={"duration": "Forever"})
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    archived = await shop.do("archive_campaign_coupon", couponId=deal.coupon)
    assert (archived["status"], archived["endedCodes"]) == ("Archived", ["SARAH20"])
    [code] = (await shop.do("list_affiliate_codes"))["items"]
    assert code["status"] == "Inactive"
    with pytest.raises(ApiError):
        shop.customers.checkout(amount=5000, code="SARAH20")
    with pytest.raises(Refusal) as refusal:
        await shop.do("mint_affiliate_code", affiliateId=deal.affiliate, couponId=deal.coupon)
    assert refusal.value.code == "coupon_archived"
    renewal = await shop.renew(sold)
    assert renewal["amount_discount"] == 1000, "customers keep the discount they have"
    conversion = await shop.conversion({"invoice": renewal["invoice"]})
    assert earned(conversion)[:2] == (4000, 800)


async def test_a_repeating_coupon_names_its_code_as_long_as_it_discounts(shop: Shop) -> None:
    await shop.sign(coupon={"duration": "Repeating", "durationInMonths": 3})
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    for _ in range(3):
        await shop.renew(sold)
    assert [earned(conversion) for conversion in await shop.conversions()] == [
        (4000, 800, "coupon", "SARAH20"),
        (4000, 800, "coupon", "SARAH20"),
        (4000, 800, "coupon", "SARAH20"),
        (5000, 1000, "metadata_or_customer", None),
    ]


async def test_a_coupon_for_ever_names_its_code_on_every_invoice(shop: Shop) -> None:
    await shop.sign(
        coupon={"duration": "Forever", "discountType": "AmountOff", "discountValue": 10, "discountCurrency": "USD"}
    )
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    await shop.renew(sold)
    await shop.renew(sold)
    assert [earned(c) for c in await shop.conversions()] == [(4000, 800, "coupon", "SARAH20")] * 3


async def test_a_signup_for_nothing_is_a_lead_and_its_first_payment_earns(shop: Shop) -> None:
    deal = await shop.sign(coupon={"discountValue": 100})
    sold = await shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com")
    assert (sold["amount_total"], await shop.conversions()) == (0, [])
    [lead] = (await shop.do("list_leads"))["items"]
    assert (lead["email"], lead["source"], lead["affiliateId"]) == ("kim@example.com", "Stripe", deal.affiliate)
    explanation = await shop.explain(sold)
    assert (explanation["outcome"], explanation["affiliateName"]) == ("free", "Sarah Lee")
    assert (await shop.preview())["candidates"] == []

    renewal = await shop.renew(sold)
    conversion = await shop.conversion({"invoice": renewal["invoice"]})
    assert earned(conversion) == (5000, 1000, "metadata_or_customer", None)
    assert timeline(conversion) == [("initial", 1000)]


async def test_a_trial_with_a_code_earns_with_its_first_payment(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", trial_days=14, code="SARAH20", email="kim@example.com")
    assert (sold["amount_total"], await shop.conversions()) == (0, [])
    first = await shop.renew(sold)
    assert first["amount_discount"] == 1000, "the trial does not use a discount up"
    assert earned(await shop.conversion({"invoice": first["invoice"]})) == (4000, 800, "coupon", "SARAH20")
    second = await shop.renew(sold)
    assert earned(await shop.conversion({"invoice": second["invoice"]})) == (5000, 1000, "metadata_or_customer", None)


@pytest.mark.parametrize("first", ["Sarah Lee", "Bob Ray"])
async def test_of_two_affiliates_codes_the_first_in_stripes_order_earns_and_keeps_the_customer(
    shop: Shop, first: str
) -> None:
    sarah = await shop.sign("SARAH20")
    bob = await shop.sign("BOB20", name="Bob Ray", program=sarah.program)
    codes = [await promotion_code(shop, deal.code) for deal in (sarah, bob)]
    second = "Bob Ray" if first == "Sarah Lee" else "Sarah Lee"
    customer = await stripe(shop, "/customers", {"email": "kim@example.com"})
    sold = await subscribe(shop, customer["id"], *(codes if first == "Sarah Lee" else codes[::-1]))
    assert claims(await shop.explain(sold)) == [(first, "code", True, "code"), (second, "code", False, "later_code")]
    [conversion] = await shop.conversions()
    assert (conversion["affiliateName"], conversion["amountCents"]) == (first, 3200)  # both discounts were given

    await shop.renew(sold)
    assert [c["affiliateName"] for c in await shop.conversions()] == [first, first]


async def test_a_code_on_a_new_subscription_goes_before_the_customers_affiliate(shop: Shop) -> None:
    sarah = await shop.sign("SARAH20")
    bob = await shop.sign("BOB20", name="Bob Ray", program=sarah.program)
    customer = (await stripe(shop, "/customers", {"email": "kim@example.com"}))["id"]
    old = await subscribe(shop, customer, await promotion_code(shop, sarah.code))
    shop.customers.advance(days=1)
    new = await subscribe(shop, customer, await promotion_code(shop, bob.code))
    assert claims(await shop.explain(new)) == [
        ("Bob Ray", "code", True, "code"),
        ("Sarah Lee", "customer", False, "weaker_than_code"),
    ]
    for sold, name in ((old, "Sarah Lee"), (new, "Bob Ray")):
        renewal = await shop.renew(sold)
        assert (await shop.explain({"invoice": renewal["invoice"]}))["affiliateName"] == name


@pytest.mark.parametrize(
    ("terms", "outcomes"),
    [
        ({}, ["credited", "credited", "credited"]),
        ({"recurringMonths": 0}, ["credited", "recurring_months_over", "recurring_months_over"]),
        ({"recurringMonths": 1}, ["credited", "credited", "recurring_months_over"]),
        ({"recurringDelayInvoices": 1}, ["recurring_delay", "credited", "credited"]),
        ({"recurringDelayInvoices": 1, "recurringMonths": 0}, ["recurring_delay", "credited", "recurring_months_over"]),
    ],
    ids=["all", "none", "one", "all after one", "one after one"],
)
async def test_a_program_says_which_payments_of_a_subscription_earn(
    shop: Shop, terms: JsonObject, outcomes: list[str]
) -> None:
    await shop.sign(program=await shop.open_program(**terms))
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    bills = [sold, await shop.renew(sold), await shop.renew(sold)]
    explained = [await shop.explain({"invoice": bill["invoice"]}) for bill in bills]
    assert [explanation["outcome"] for explanation in explained] == outcomes
    assert [explanation["terms"]["invoiceIndex"] for explanation in explained] == [0, 1, 2]
    assert len(await shop.conversions()) == outcomes.count("credited")


async def test_a_one_off_sale_earns_whatever_the_program_says_of_renewals(shop: Shop) -> None:
    program = await shop.open_program(recurringMonths=0)
    await shop.sign(program=program)
    assert earned(await shop.conversion(await shop.sell(code="SARAH20"))) == (8000, 1600, "coupon", "SARAH20")


async def test_the_codes_rate_goes_before_the_affiliates_and_that_before_the_programs(shop: Shop) -> None:
    own = {"customCommissionType": "Percentage", "customCommissionValue": 12.5}
    sarah = await shop.sign("SARAH20", mint=own)
    await shop.do("mint_affiliate_code", affiliateId=sarah.affiliate, couponId=sarah.coupon, code="SARAH")
    special = await shop.sell(code="SARAH20")
    plain = await shop.sell(code="SARAH")
    await shop.do(
        "update_affiliate", affiliateId=sarah.affiliate, customCommissionType="Percentage", customCommissionValue=30
    )
    special_later, raised = await shop.sell(code="SARAH20"), await shop.sell(code="SARAH")
    sales = (special, plain, special_later, raised)
    terms = [(await shop.explain(sold))["terms"] for sold in sales]
    assert [(t["rateSource"], t["commission"]) for t in terms] == [
        ("code", "12.5 %"),
        ("program", "20 %"),
        ("code", "12.5 %"),
        ("affiliate", "30 %"),
    ]
    assert [earned(await shop.conversion(sold))[1] for sold in sales] == [1000, 1600, 1000, 2400]


async def test_a_fixed_commission_is_the_same_whatever_was_paid(shop: Shop) -> None:
    program = await shop.open_program(defaultCommissionType="Fixed", defaultCommissionValue=15.5)
    await shop.sign(program=program)
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    await shop.renew(sold)
    await shop.sell(1000, code="SARAH20", currency="jpy")
    found = [(c["commissionCents"], c["commissionCurrency"]) for c in await shop.conversions()]
    assert found == [(1550, "USD")] * 3
    await shop.refund(sold, 1000)  # a quarter of 40.00
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert conversion["remainingCommissionCents"] == 1163  # 1162.5, half up


async def test_a_later_change_of_terms_leaves_past_conversions_alone(shop: Shop) -> None:
    deal = await shop.sign()
    past = await shop.sell(code="SARAH20")
    before = await shop.conversion(past)
    changed = await shop.do("update_program", programId=deal.program, defaultCommissionValue=50)
    assert changed["termsVersion"] == 2
    assert await shop.conversion(past) == before
    now = await shop.sell(code="SARAH20")
    assert [(await shop.explain(sold))["terms"]["termsVersion"] for sold in (past, now)] == [1, 2]
    assert earned(await shop.conversion(now))[1] == 4000
    await shop.refund(past, 4000)
    conversion = await shop.conversion(past)
    assert conversion is not None
    assert conversion["remainingCommissionCents"] == 800


async def test_a_cancelled_subscription_keeps_what_it_earned(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    shop.customers.cancel(sold["subscription"])
    await shop.catch_up()
    assert earned(await shop.conversion(sold)) == (4000, 800, "coupon", "SARAH20")


async def test_a_declined_renewal_earns_once_it_is_paid(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    declined = shop.customers.renew(sold["subscription"], declined=True)
    await shop.catch_up()
    assert len(await shop.conversions()) == 1
    shop.customers.pay_invoice(declined["invoice"])
    await shop.catch_up()
    assert earned(await shop.conversion({"invoice": declined["invoice"]}))[:2] == (5000, 1000)
