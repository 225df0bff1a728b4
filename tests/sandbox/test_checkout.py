"""Buying once: amounts, codes, tax, guests, and what Stripe calls a completed session."""

from typing import Any

import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.errors import ApiError
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


async def new_code(client: StripeClient, text: str = "SARAH20", **terms: Any) -> stripe.PromotionCode:
    params: Any = {"percent_off": 20, **terms}
    coupon = await client.v1.coupons.create_async(params)
    return await client.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": text}
    )


async def new_session(client: StripeClient, **params: Any) -> stripe.checkout.Session:
    item = {"price_data": {"currency": "usd", "unit_amount": 5000, "product_data": {"name": "Pro"}}, "quantity": 1}
    defaults: JsonObject = {"mode": "payment", "line_items": [item], "success_url": "https://example.com/ok"}
    return await client.v1.checkout.sessions.create_async({**defaults, **params})  # pyright: ignore[reportArgumentType]


async def test_a_guest_buys_once_with_a_code_and_tax_on_top(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client)
    sale = people.checkout(amount=12999, code="sarah20", email="kim@example.com", tax_percent=8.25)
    assert (sale["amount_discount"], sale["amount_tax"], sale["amount_total"]) == (2600, 858, 11257)
    assert (sale["customer"], sale["invoice"], sale["subscription"]) == (None, None, None)

    [event] = (await client.v1.events.list_async({"type": "checkout.session.completed"})).data
    session = event.data.to_dict()["object"]
    assert session["discounts"] == [{"coupon": None, "promotion_code": code.id}]
    assert (session["status"], session["payment_status"], session["customer"]) == ("complete", "paid", None)
    assert session["customer_details"]["email"] == "kim@example.com"
    assert (session["amount_subtotal"], session["amount_total"], session["invoice"]) == (12999, 11257, None)
    assert session["total_details"] == {"amount_discount": 2600, "amount_shipping": 0, "amount_tax": 858}
    assert event.request is not None
    assert event.request.to_dict() == {"id": None, "idempotency_key": None}

    intent = await client.v1.payment_intents.retrieve_async(sale["payment_intent"], {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_received, intent.customer) == ("succeeded", 11257, None)
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.id == sale["charge"]
    found = await client.v1.checkout.sessions.list_async({"payment_intent": sale["payment_intent"]})
    assert [each.id for each in found.data] == [sale["session"]]
    assert (await client.v1.invoice_payments.list_async(_by_intent(sale))).data == []


async def test_inclusive_tax_is_contained_in_the_price(client: StripeClient, people: Simulation) -> None:
    await new_code(client)
    sale = people.checkout(amount=12000, code="SARAH20", tax_percent=20, tax_inclusive=True)
    assert (sale["amount_discount"], sale["amount_tax"], sale["amount_total"]) == (2400, 1600, 9600)


async def test_an_order_for_nothing_needs_no_payment_but_a_customer(client: StripeClient, people: Simulation) -> None:
    await new_code(client, percent_off=100)
    sale = people.checkout(amount=5000, code="SARAH20", email="kim@example.com")
    assert (sale["amount_total"], sale["payment_intent"], sale["charge"]) == (0, None, None)
    assert sale["payment_status"] == "no_payment_required"
    customer = await client.v1.customers.retrieve_async(sale["customer"])
    assert customer.email == "kim@example.com"


async def test_a_known_customer_and_metadata_travel_with_the_session(client: StripeClient, people: Simulation) -> None:
    customer = await client.v1.customers.create_async({"email": "kim@example.com"})
    sale = people.checkout(amount=100, customer=customer.id, client_reference_id="click_1", metadata={"ref": "sarah"})
    session = await client.v1.checkout.sessions.retrieve_async(sale["session"])
    assert session.metadata is not None
    assert (session.client_reference_id, session.metadata.to_dict()) == ("click_1", {"ref": "sarah"})
    assert session.customer == customer.id
    assert session.customer_details is not None
    assert session.customer_details.email == "kim@example.com"


async def test_a_session_made_through_the_api_waits_for_its_customer(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client)
    session = await new_session(client, allow_promotion_codes=True, payment_intent_data={"metadata": {"order": "7"}})
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 5000)
    assert session.url is not None
    assert "stripe.com" not in session.url
    sale = people.complete(session.id, code="SARAH20", email="kim@example.com")
    assert (sale["amount_total"], sale["promotion_code"]) == (4000, code.id)
    intent = await client.v1.payment_intents.retrieve_async(sale["payment_intent"])
    assert intent.metadata.to_dict() == {"order": "7"}
    with pytest.raises(ApiError, match="status of `complete`"):
        people.complete(session.id)


async def test_a_code_may_be_applied_in_advance(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client)
    session = await new_session(client, discounts=[{"promotion_code": code.id}], customer_creation="always")
    assert session.amount_total == 4000
    with pytest.raises(ApiError, match="does not take promotion codes"):
        people.complete(session.id, code="SARAH20")
    sale = people.complete(session.id)
    assert (sale["amount_total"], sale["promotion_code"]) == (4000, code.id)
    assert sale["customer"] is not None

    by_coupon = await new_session(client, discounts=[{"coupon": code.promotion.coupon}])
    assert by_coupon.discounts is not None
    assert [each.to_dict() for each in by_coupon.discounts] == [
        {"coupon": code.promotion.coupon, "promotion_code": None}
    ]


async def test_an_invoice_is_made_when_asked_for(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client)
    session = await new_session(
        client,
        allow_promotion_codes=True,
        invoice_creation={"enabled": True, "invoice_data": {"metadata": {"order": "7"}}},
    )
    sale = people.complete(session.id, code="SARAH20")
    invoice = await client.v1.invoices.retrieve_async(sale["invoice"], {"expand": ["discounts"]})
    assert (invoice.billing_reason, invoice.parent, invoice.status) == ("manual", None, "paid")
    assert (invoice.total, invoice.customer, invoice.to_dict()["metadata"]) == (4000, sale["customer"], {"order": "7"})
    assert invoice.to_dict()["discounts"][0]["promotion_code"] == code.id
    assert invoice.to_dict()["lines"]["data"][0]["parent"]["type"] == "invoice_item_details"
    payments = await client.v1.invoice_payments.list_async(_by_intent(sale))
    assert [payment.invoice for payment in payments.data] == [sale["invoice"]]


async def test_line_items_and_the_breakdown_are_shown_when_asked(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client)
    rate = await client.v1.tax_rates.create_async({"display_name": "VAT", "inclusive": False, "percentage": 10})
    product = await client.v1.products.create_async({"name": "Mug"})
    price = await client.v1.prices.create_async({"product": product.id, "currency": "usd", "unit_amount": 1000})
    session = await new_session(
        client,
        allow_promotion_codes=True,
        line_items=[
            {"price": price.id, "quantity": 3, "tax_rates": [rate.id]},
            {"price_data": {"currency": "usd", "unit_amount": 55, "product_data": {"name": "Card"}}},
        ],
    )
    on_sale = await client.v1.checkout.sessions.line_items.list_async(session.id)
    people.complete(session.id, code="SARAH20")
    items = await client.v1.checkout.sessions.line_items.list_async(session.id)
    assert [item.id for item in items.data] == [item.id for item in on_sale.data]
    amounts = [(item.amount_subtotal, item.amount_discount, item.amount_tax, item.amount_total) for item in items.data]
    assert amounts == [(3000, 600, 240, 2640), (55, 11, 0, 44)]
    assert [item.description for item in items.data] == ["Mug", "Card"]
    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["line_items", "total_details.breakdown", "discounts.promotion_code"]}
    )
    assert done.line_items is not None
    assert [item.id for item in done.line_items.data] == [item.id for item in items.data]
    assert done.total_details is not None
    assert done.total_details.breakdown is not None
    [discount] = done.total_details.breakdown.discounts
    assert (discount.amount, discount.discount.promotion_code) == (611, code.id)
    [tax] = done.total_details.breakdown.taxes
    assert (tax.amount, tax.rate.id) == (240, rate.id)
    assert done.discounts is not None
    assert isinstance(done.discounts[0].promotion_code, stripe.PromotionCode)


async def test_a_delayed_payment_arrives_or_fails_later(client: StripeClient, people: Simulation) -> None:
    arrives, fails = [people.checkout(amount=1000, delayed=True) for _ in range(2)]
    assert arrives["payment_status"] == "unpaid"
    intent = await client.v1.payment_intents.retrieve_async(arrives["payment_intent"])
    assert intent.status == "processing"
    assert people.settle(arrives["session"])["payment_status"] == "paid"
    assert people.settle(fails["session"], succeeded=False)["payment_status"] == "unpaid"
    types = [event.type for event in (await client.v1.events.list_async({"type": "checkout.session.*"})).data]
    assert types[:2] == ["checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded"]
    for session in (arrives, fails):
        with pytest.raises(ApiError):
            people.settle(session["session"])
    with pytest.raises(ApiError, match="one-off sales"):
        people.checkout(amount=1000, interval="month", delayed=True)


async def test_a_session_expires_when_told_or_after_a_day(client: StripeClient, people: Simulation) -> None:
    told, forgotten = await new_session(client), await new_session(client)
    assert (await client.v1.checkout.sessions.expire_async(told.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        await client.v1.checkout.sessions.expire_async(told.id)
    people.advance(days=1)
    assert (await client.v1.checkout.sessions.retrieve_async(forgotten.id)).status == "expired"
    events = (await client.v1.events.list_async({"type": "checkout.session.expired"})).data
    assert [event.data.object["id"] for event in events] == [forgotten.id, told.id]
    with pytest.raises(ApiError, match="status of `expired`"):
        people.complete(forgotten.id)


async def test_parameters_that_do_not_go_together_are_refused(client: StripeClient) -> None:
    code = await new_code(client)
    monthly = {"currency": "usd", "unit_amount": 1, "product_data": {"name": "x"}, "recurring": {"interval": "month"}}
    wrong: list[tuple[JsonObject, str]] = [
        (
            {"allow_promotion_codes": True, "discounts": [{"promotion_code": code.id}]},
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
        ),
        ({"customer_email": "a@b.c", "customer": "cus_1"}, "You may only specify one of these parameters"),
        ({"subscription_data": {"description": "x"}}, "You can not pass `subscription_data` in `payment` mode."),
        ({"mode": "subscription"}, "at least one recurring price"),
        ({"line_items": [{"price_data": monthly}]}, "passed a recurring price"),
        ({"customer": "cus_none"}, "No such customer: 'cus_none'"),
        ({"line_items": [{"price": "price_none"}]}, "No such price: 'price_none'"),
        ({"discounts": [{"promotion_code": "promo_none"}]}, "No such promotion code: 'promo_none'"),
        ({"expires_at": 1000}, "between 30 minutes and 24 hours"),
    ]
    for params, message in wrong:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await new_session(client, **params)
        assert refusal.value.user_message is not None
        assert message in refusal.value.user_message


async def test_the_control_api_sells_over_http(client: StripeClient, http: httpx.AsyncClient) -> None:
    await new_code(client)
    answer = await http.post(
        "/sandbox/checkout",
        json={"code": "SARAH20", "amount": 4900, "currency": "eur", "interval": "month", "email": "kim@example.com"},
    )
    sale = answer.json()
    assert (answer.status_code, sale["amount_total"], sale["currency"]) == (200, 3920, "eur")
    session = await new_session(client, allow_promotion_codes=True)
    paid = await http.post(f"/sandbox/checkout/sessions/{session.id}/complete", json={"code": "SARAH20"})
    assert paid.json()["amount_total"] == 4000
    refused = await http.post("/sandbox/checkout", json={"code": "NOPE", "amount": 4900})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "resource_missing")
    misspelt = await http.post("/sandbox/checkout", json={"amuont": 4900})
    assert misspelt.json()["error"]["message"] == "Received unknown parameter: amuont"
    for body in ("[]", "{"):
        assert (await http.post("/sandbox/checkout", content=body)).status_code == 400
    assert (await http.post("/sandbox/nonsense")).status_code == 404


def _by_intent(sale: JsonObject) -> Any:
    return {"payment": {"type": "payment_intent", "payment_intent": sale["payment_intent"]}}
