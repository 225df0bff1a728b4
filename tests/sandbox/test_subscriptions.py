"""Buying again and again: renewals under every kind of discount, trials, ends."""

from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.errors import ApiError
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio

DAY = 24 * 3600


async def new_code(client: StripeClient, **terms: Any) -> stripe.PromotionCode:
    params: Any = {"percent_off": 20, **terms}
    coupon = await client.v1.coupons.create_async(params)
    return await client.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SARAH20"}
    )


async def invoice_of(client: StripeClient, id: str) -> JsonObject:
    invoice = await client.v1.invoices.retrieve_async(id, {"expand": ["discounts", "payments"]})
    return invoice.to_dict()


async def test_a_subscription_sold_at_checkout_has_an_invoice_with_everything_on_it(
    client: StripeClient, people: Simulation
) -> None:
    code = await new_code(client)
    sale = people.checkout(
        amount=5000, interval="month", code="SARAH20", email="kim@example.com", tax_percent=10, product="Acme Pro"
    )
    assert (sale["amount_total"], sale["amount_discount"], sale["amount_tax"]) == (4400, 1000, 400)
    session = await client.v1.checkout.sessions.retrieve_async(sale["session"])
    assert (session.payment_intent, session.invoice, session.mode) == (None, sale["invoice"], "subscription")
    assert session.customer_creation == "always"

    invoice = await invoice_of(client, sale["invoice"])
    assert (invoice["status"], invoice["billing_reason"]) == ("paid", "subscription_create")
    assert (invoice["subtotal"], invoice["total_excluding_tax"], invoice["total"]) == (5000, 4000, 4400)
    assert (invoice["amount_paid"], invoice["amount_remaining"], invoice["attempt_count"]) == (4400, 0, 1)
    assert invoice["parent"]["subscription_details"]["subscription"] == sale["subscription"]
    [discount] = invoice["discounts"]
    assert (discount["promotion_code"], discount["subscription"]) == (code.id, sale["subscription"])
    assert invoice["total_discount_amounts"] == [{"amount": 1000, "discount": discount["id"]}]
    [tax] = invoice["total_taxes"]
    assert (tax["amount"], tax["taxable_amount"], tax["tax_behavior"]) == (400, 4000, "exclusive")
    [payment] = invoice["payments"]["data"]
    assert payment["payment"] == {"payment_intent": sale["payment_intent"], "type": "payment_intent"}
    assert payment["status_transitions"]["paid_at"] == invoice["status_transitions"]["paid_at"]
    [line] = invoice["lines"]["data"]
    assert line["description"] == "1 x Acme Pro (at USD 50.00 / month)"
    assert (line["amount"], line["discount_amounts"][0]["amount"], line["taxes"][0]["amount"]) == (5000, 1000, 400)
    assert line["parent"]["subscription_item_details"]["subscription"] == sale["subscription"]

    found = await client.v1.invoices.list_async({"subscription": sale["subscription"], "status": "paid"})
    assert [each.id for each in found.data] == [sale["invoice"]]
    assert "payments" not in found.data[0]


async def test_a_once_only_discount_is_gone_after_the_first_invoice(client: StripeClient, people: Simulation) -> None:
    await new_code(client, duration="once")
    sale = people.checkout(amount=5000, interval="month", code="SARAH20")
    [event] = (await client.v1.events.list_async({"type": "customer.subscription.created"})).data
    subscription = event.data.object
    assert (subscription["discounts"], subscription["status"]) == ([], "active")
    assert subscription["latest_invoice"] == sale["invoice"]
    assert (await invoice_of(client, sale["invoice"]))["total"] == 4000
    renewal = people.renew(sale["subscription"])
    assert (renewal["amount_total"], renewal["amount_discount"]) == (5000, 0)
    invoice = await invoice_of(client, renewal["invoice"])
    assert (invoice["discounts"], invoice["billing_reason"]) == ([], "subscription_cycle")


async def test_a_repeating_discount_lasts_its_months_under_one_id(client: StripeClient, people: Simulation) -> None:
    await new_code(client, duration="repeating", duration_in_months=3)
    sale = people.checkout(amount=5000, interval="month", code="SARAH20")
    totals, ids = [sale["amount_total"]], [(await invoice_of(client, sale["invoice"]))["discounts"][0]["id"]]
    for _ in range(2):
        renewal = people.renew(sale["subscription"])
        totals.append(renewal["amount_total"])
        ids.append((await invoice_of(client, renewal["invoice"]))["discounts"][0]["id"])
    assert totals == [4000, 4000, 4000]
    assert len(set(ids)) == 1
    assert people.renew(sale["subscription"])["amount_total"] == 5000
    subscription = await client.v1.subscriptions.retrieve_async(sale["subscription"])
    assert subscription.discounts == []


async def test_a_discount_for_ever_outlives_its_coupon_and_code(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client, duration="forever")
    sale = people.checkout(amount=5000, interval="month", code="SARAH20")
    await client.v1.promotion_codes.update_async(code.id, {"active": False})
    assert isinstance(code.promotion.coupon, str)
    await client.v1.coupons.delete_async(code.promotion.coupon)
    renewal = people.renew(sale["subscription"])
    assert renewal["amount_total"] == 4000
    invoice = await client.v1.invoices.retrieve_async(
        renewal["invoice"], {"expand": ["discounts.source.coupon", "discounts.promotion_code"]}
    )
    [discount] = invoice.to_dict()["discounts"]
    assert discount["source"]["coupon"] == code.promotion.coupon
    assert discount["promotion_code"]["id"] == code.id
    assert (await client.v1.coupons.list_async()).data == []


async def test_a_trial_costs_nothing_until_it_ends(client: StripeClient, people: Simulation) -> None:
    await new_code(client, duration="once")
    sale = people.checkout(amount=5000, interval="month", trial_days=14, code="SARAH20")
    assert (sale["amount_total"], sale["payment_status"]) == (0, "no_payment_required")
    first = await invoice_of(client, sale["invoice"])
    assert (first["total"], first["status"], first["payments"]["data"]) == (0, "paid", [])
    assert (first["billing_reason"], first["attempt_count"]) == ("subscription_create", 0)
    subscription = await client.v1.subscriptions.retrieve_async(sale["subscription"])
    assert (subscription.status, len(subscription.discounts)) == ("trialing", 1)
    assert subscription.trial_start is not None
    assert subscription.trial_end == subscription.trial_start + 14 * DAY

    paid = people.renew(sale["subscription"])
    assert (paid["amount_total"], paid["status"]) == (4000, "active")
    assert paid["clock"]["now"] == subscription.trial_end
    assert (await invoice_of(client, paid["invoice"]))["billing_reason"] == "subscription_cycle"
    assert people.renew(sale["subscription"])["amount_total"] == 5000


async def test_a_free_first_invoice_is_paid_without_a_payment(client: StripeClient, people: Simulation) -> None:
    await new_code(client, percent_off=100)
    sale = people.checkout(amount=5000, interval="month", code="SARAH20", tax_percent=10)
    invoice = await invoice_of(client, sale["invoice"])
    assert (invoice["total"], invoice["status"], invoice["payments"]["data"]) == (0, "paid", [])
    assert invoice["total_discount_amounts"][0]["amount"] == 5000
    paid = (await client.v1.events.list_async({"types": ["invoice.paid", "invoice_payment.paid"]})).data
    assert [event.type for event in paid] == ["invoice.paid"]
    assert people.renew(sale["subscription"])["amount_total"] == 5500


async def test_inclusive_tax_counts_into_the_total(client: StripeClient, people: Simulation) -> None:
    await new_code(client)
    sale = people.checkout(amount=12000, interval="year", code="SARAH20", tax_percent=20, tax_inclusive=True)
    invoice = await invoice_of(client, sale["invoice"])
    assert (invoice["subtotal"], invoice["total"], invoice["total_excluding_tax"]) == (12000, 9600, 8000)
    assert invoice["subtotal_excluding_tax"] == 10000
    assert invoice["total_taxes"][0]["tax_behavior"] == "inclusive"


async def test_a_renewal_bills_the_calendar_and_numbers_its_invoices(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=5000, interval="month", email="kim@example.com")
    before = (await client.v1.subscriptions.retrieve_async(sale["subscription"])).to_dict()["items"]["data"][0]
    renewal = people.renew(sale["subscription"])
    after = (await client.v1.subscriptions.retrieve_async(sale["subscription"])).to_dict()["items"]["data"][0]
    assert after["current_period_start"] == before["current_period_end"]
    first, second = await invoice_of(client, sale["invoice"]), await invoice_of(client, renewal["invoice"])
    assert second["created"] == before["current_period_end"]
    assert (second["period_start"], second["period_end"]) == (
        before["current_period_start"],
        before["current_period_end"],
    )
    assert second["lines"]["data"][0]["period"] == {
        "start": after["current_period_start"],
        "end": after["current_period_end"],
    }
    assert first["number"].removesuffix("0001") == second["number"].removesuffix("0002")
    [updated] = (await client.v1.events.list_async({"type": "customer.subscription.updated"})).data
    assert updated.data.to_dict()["previous_attributes"].keys() == {"items", "latest_invoice"}


async def test_everything_due_is_billed_in_order_of_time(client: StripeClient, people: Simulation) -> None:
    monthly = people.checkout(amount=3000, interval="month")
    weekly = people.checkout(amount=700, interval="week")
    people.advance(days=40)
    invoices = (await client.v1.invoices.list_async({"limit": 100})).data
    assert [invoice.created for invoice in invoices] == sorted((each.created for each in invoices), reverse=True)
    per_subscription = [
        len((await client.v1.invoices.list_async({"subscription": sale["subscription"]})).data)
        for sale in (monthly, weekly)
    ]
    assert per_subscription == [2, 6]


async def test_a_subscription_may_be_made_through_the_api(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client, duration="forever")
    customer = await client.v1.customers.create_async({"email": "kim@example.com"})
    rate = await client.v1.tax_rates.create_async({"display_name": "VAT", "inclusive": False, "percentage": 19})
    product = await client.v1.products.create_async({"name": "Pro"})
    price = await client.v1.prices.create_async(
        {"product": product.id, "currency": "eur", "unit_amount": 999, "recurring": {"interval": "month"}}
    )
    fixed = await client.v1.coupons.create_async({"amount_off": 100, "currency": "eur"})
    subscription = await client.v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [{"price": price.id, "quantity": 3}],
            "discounts": [{"promotion_code": code.id}, {"coupon": fixed.id}],
            "default_tax_rates": [rate.id],
            "metadata": {"plan": "pro"},
        }
    )
    assert (subscription.status, subscription.currency) == ("active", "eur")
    assert len(subscription.discounts) == 1
    assert isinstance(subscription.latest_invoice, str)
    invoice = await invoice_of(client, subscription.latest_invoice)
    assert [each["amount"] for each in invoice["total_discount_amounts"]] == [599, 100]
    assert (invoice["total_excluding_tax"], invoice["total"]) == (2298, 2735)
    assert invoice["parent"]["subscription_details"]["metadata"] == {"plan": "pro"}
    assert people.renew(subscription.id)["amount_discount"] == 599
    assert (await client.v1.promotion_codes.retrieve_async(code.id)).times_redeemed == 1


async def test_a_one_off_price_is_sold_with_the_first_invoice_only(client: StripeClient, people: Simulation) -> None:
    monthly = {"currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    once = {"currency": "usd", "unit_amount": 300}
    items = [{"price_data": {**price, "product_data": {"name": "x"}}} for price in (monthly, once)]
    params: Any = {"mode": "subscription", "line_items": items, "success_url": "https://example.com/ok"}
    session = await client.v1.checkout.sessions.create_async(params)
    sale = people.complete(session.id)
    assert sale["amount_total"] == 1300
    assert people.renew(sale["subscription"])["amount_total"] == 1000


async def test_a_subscription_ends_now_or_with_its_period(client: StripeClient, people: Simulation) -> None:
    now, later = [people.checkout(amount=1000, interval="month")["subscription"] for _ in range(2)]
    canceled = await client.v1.subscriptions.cancel_async(now)
    assert (canceled.status, canceled.ended_at) == ("canceled", canceled.canceled_at)
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        await client.v1.subscriptions.cancel_async(now)
    with pytest.raises(ApiError, match="has ended"):
        people.renew(now)

    marked = await client.v1.subscriptions.update_async(later, {"cancel_at_period_end": True})
    assert (marked.status, marked.cancel_at) == ("active", marked.to_dict()["items"]["data"][0]["current_period_end"])
    assert people.renew(later)["status"] == "canceled"
    events = (await client.v1.events.list_async({"type": "customer.subscription.deleted"})).data
    assert [event.data.object["id"] for event in events] == [later, now]
    assert len((await client.v1.invoices.list_async()).data) == 2

    assert (await client.v1.subscriptions.list_async()).data == []
    assert len((await client.v1.subscriptions.list_async({"status": "all"})).data) == 2
    assert len((await client.v1.subscriptions.list_async({"status": "canceled"})).data) == 2


@pytest.mark.undocumented("items: '' is not an array")
async def test_requests_that_make_no_sense_are_refused(client: StripeClient, people: Simulation) -> None:
    customer = (await client.v1.customers.create_async({})).id
    product = await client.v1.products.create_async({"name": "Pro"})
    prices: dict[str, str] = {}
    for name, recurring in (("once", None), ("month", {"interval": "month"}), ("year", {"interval": "year"})):
        params: Any = {"product": product.id, "currency": "usd", "unit_amount": 1000, "recurring": recurring}
        prices[name] = (await client.v1.prices.create_async(params)).id
    other = await client.v1.products.create_async({"name": "Other"})
    elsewhere = await client.v1.coupons.create_async({"percent_off": 5, "applies_to": {"products": [other.id]}})
    code = await new_code(client)
    month = [{"price": prices["month"]}]
    now = people.clock()["now"]
    wrong: list[tuple[JsonObject, str]] = [
        ({"customer": "cus_none", "items": month}, "No such customer: 'cus_none'"),
        ({"items": ""}, "Missing required param: items."),
        ({"items": [{"price": prices["once"]}]}, "only accepts prices with `type=recurring`"),
        ({"items": [*month, {"price": prices["year"]}]}, "one currency and one interval"),
        ({"items": [{"quantity": 1}]}, "Missing required param: items[0][price]"),
        ({"items": month, "trial_period_days": 3, "trial_end": now + 500}, "only specify one of these parameters"),
        ({"items": month, "trial_end": now}, "Unix timestamp in the future"),
        ({"items": month, "default_tax_rates": ["txr_none"]}, "No such tax_rate: 'txr_none'"),
        ({"items": month, "discounts": [{"coupon": "NONE"}]}, "No such coupon: 'NONE'"),
        ({"items": month, "discounts": [{"coupon": elsewhere.id}]}, "does not apply to anything in this order"),
        (
            {"items": month, "discounts": [{"coupon": elsewhere.id, "promotion_code": code.id}]},
            "only specify one of these parameters",
        ),
    ]
    for params, message in wrong:
        complete: Any = {"customer": customer, **params}
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await client.v1.subscriptions.create_async(complete)
        assert refusal.value.user_message is not None
        assert message in refusal.value.user_message
    assert (await client.v1.subscriptions.list_async({"status": "all"})).data == []


async def test_a_subscription_may_begin_with_its_end_decided(client: StripeClient, people: Simulation) -> None:
    customer = await client.v1.customers.create_async({})
    product = await client.v1.products.create_async({"name": "Pro"})
    trial_end = people.clock()["now"] + 3 * DAY
    made = await client.v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [
                {
                    "price_data": {
                        "product": product.id,
                        "currency": "usd",
                        "unit_amount": 500,
                        "recurring": {"interval": "month", "interval_count": 3},
                    }
                }
            ],
            "trial_end": trial_end,
            "cancel_at_period_end": True,
        }
    )
    assert (made.status, made.cancel_at_period_end, made.cancel_at) == ("trialing", True, trial_end)
    kept = await client.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": False})
    assert (kept.cancel_at, kept.canceled_at) == (None, None)
    assert people.renew(made.id)["amount_total"] == 500
    await client.v1.subscriptions.cancel_async(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="A canceled subscription can only update"):
        await client.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": True})


async def test_more_than_a_batch_is_billed_at_once(client: StripeClient, people: Simulation) -> None:
    for _ in range(4):
        people.checkout(amount=100, interval="day")
    people.advance(days=30)
    assert people.summary()["counts"]["invoice"] == 4 * 31


async def test_a_declined_renewal_leaves_the_invoice_open_until_it_is_paid(
    client: StripeClient, people: Simulation
) -> None:
    sale = people.checkout(amount=1000, interval="month")
    renewal = people.renew(sale["subscription"], declined=True)
    assert (renewal["invoice_status"], renewal["status"]) == ("open", "past_due")
    types = [event.type for event in (await client.v1.events.list_async({"limit": 6})).data]
    assert "invoice.payment_failed" in types
    assert "invoice.paid" not in types
    paid = people.pay_invoice(renewal["invoice"])
    assert (paid["invoice_status"], paid["status"]) == ("paid", "active")
    invoice = await invoice_of(client, renewal["invoice"])
    assert (invoice["attempt_count"], len(invoice["payments"]["data"])) == (2, 1)


async def test_zero_decimal_currencies_are_whole_numbers(client: StripeClient, people: Simulation) -> None:
    await new_code(client, percent_off=15)
    sale = people.checkout(amount=9800, currency="jpy", interval="month", code="SARAH20", tax_percent=10)
    assert (sale["amount_discount"], sale["amount_tax"], sale["amount_total"]) == (1470, 833, 9163)
