"""Checkout sessions: one-off purchases with and without an invoice, and the start of a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cases.building import invoices, payments, subscriptions
from tests.cases.building.amounts import Tax, amounts_off, totals
from tests.cases.building.blanks import JsonObject
from tests.cases.building.invoices import Bill, Line
from tests.cases.building.offers import Code, price, redeem
from tests.cases.building.subscriptions import Plan, Subscribed
from tests.cases.building.world import DAY, World


@dataclass(frozen=True)
class Purchase:
    """What is bought once."""

    amount: int
    currency: str = "usd"
    code: Code | None = None
    tax: Tax | None = None
    shipping: int = 0
    email: str = "guest@example.com"
    """Who a guest is; a customer has an address already."""
    click: str | None = None
    """What the shop put into `client_reference_id`."""
    metadata: dict[str, str] | None = None


def buy(world: World, purchase: Purchase, customer: JsonObject | None = None, *, settled: bool = True) -> JsonObject:
    """A one-off purchase without an invoice; a guest's when there is no customer. Answers the session."""
    price(world, purchase.amount, purchase.currency, monthly=False)
    off = sum(amounts_off(purchase.amount, [purchase.code.coupon])) if purchase.code else 0
    sums = totals(purchase.amount, off, purchase.tax)
    email = customer["email"] if customer else purchase.email
    session = _session(
        world,
        customer,
        purchase.code,
        email=email,
        amount_subtotal=sums.subtotal,
        amount_total=sums.total + purchase.shipping,
        client_reference_id=purchase.click,
        currency=purchase.currency,
        metadata=purchase.metadata or {},
        mode="payment",
        payment_status="paid" if settled else "unpaid",
        total_details={"amount_discount": off, "amount_shipping": purchase.shipping, "amount_tax": sums.tax},
    )
    session["invoice_creation"] = _invoice_creation(enabled=False)
    if session["amount_total"]:
        intent = payments.pay(
            world,
            session["amount_total"],
            purchase.currency,
            customer=session["customer"],
            email=email,
            settled=settled,
        )
        session["payment_intent"] = intent["id"]
    else:
        session["payment_status"] = "no_payment_required"
    if purchase.code:
        redeem(world, purchase.code, checkout_session=session["id"])
    world.tell("checkout.session.completed", session)
    return session


def save_a_card(world: World, customer: JsonObject) -> JsonObject:
    """A checkout in setup mode: it sells nothing and has no amounts."""
    session = _session(
        world,
        customer,
        None,
        email=customer["email"],
        allow_promotion_codes=None,
        amount_subtotal=None,
        amount_total=None,
        currency=None,
        mode="setup",
        payment_status="no_payment_required",
        setup_intent=world.new_id("seti_1"),
        total_details=None,
    )
    world.tell("checkout.session.completed", session)
    return session


def payment_arrives(world: World, session: JsonObject) -> JsonObject:
    """A payment that took days has come."""
    payments.settle(world, world.get("payment_intent", session["payment_intent"]))
    session["payment_status"] = "paid"
    return world.tell("checkout.session.async_payment_succeeded", session)


def payment_fails(world: World, session: JsonObject) -> JsonObject:
    """A payment that took days will not come."""
    payments.fail(world, world.get("payment_intent", session["payment_intent"]))
    return world.tell("checkout.session.async_payment_failed", session)


def buy_with_invoice(world: World, purchase: Purchase, customer: JsonObject) -> tuple[JsonObject, JsonObject]:
    """A one-off purchase that Checkout writes an invoice for. Answers the session and the invoice."""
    invoice, discounts = _invoice_of(world, purchase, customer)
    invoices.mark_paid(world, invoice)
    for discount in discounts:
        discount["invoice"] = invoice["id"]
    session = _session_with(world, purchase, customer, invoice)
    [charge] = payments.charges_of(world, invoice)
    session["payment_intent"] = charge["payment_intent"]
    world.tell("checkout.session.completed", session)
    world.tell("invoice.paid", invoice)
    return session, invoice


def buy_with_late_invoice(world: World, purchase: Purchase, customer: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The same, but the invoice gets the payment a second after the checkout is told of."""
    invoice, _ = _invoice_of(world, purchase, customer)
    world.tell("invoice.finalized", invoice)
    due, email = invoice["amount_due"], customer["email"]
    intent = payments.pay(world, due, invoice["currency"], customer=customer["id"], email=email)
    session = _session_with(world, purchase, customer, invoice)
    session["payment_intent"] = intent["id"]
    world.tell("checkout.session.completed", session)
    world.now += 1
    return session, _pay_as_before(world, session, invoice)


def _invoice_of(world: World, purchase: Purchase, customer: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """What Checkout writes for a purchase, still open, and its discounts."""
    once = price(world, purchase.amount, purchase.currency, monthly=False)
    discounts = [redeem(world, purchase.code, customer=customer["id"])] if purchase.code else []
    bill = Bill(customer, [Line(once, purchase.amount)], "manual", discounts, purchase.tax)
    return invoices.issue(world, bill), discounts


def _session_with(world: World, purchase: Purchase, customer: JsonObject, invoice: JsonObject) -> JsonObject:
    """The session of a purchase that has an invoice."""
    session = _session(
        world,
        customer,
        purchase.code,
        email=customer["email"],
        client_reference_id=purchase.click,
        invoice=invoice["id"],
        metadata=purchase.metadata or {},
        mode="payment",
        payment_status="paid",
        **_as_invoiced(invoice),
    )
    session["invoice_creation"] = _invoice_creation(enabled=True)
    return session


def write_invoice(world: World, session: JsonObject, purchase: Purchase, customer: JsonObject) -> JsonObject:
    """The invoice that Checkout writes for a purchase when it has told of that already."""
    once = price(world, purchase.amount, purchase.currency, monthly=False)
    discounts = [each for each in world.all("discount") if each["checkout_session"] == session["id"]]
    invoice = invoices.issue(world, Bill(customer, [Line(once, purchase.amount)], "manual", discounts, purchase.tax))
    for discount in discounts:
        discount["invoice"] = invoice["id"]
    session["invoice"] = invoice["id"]
    session["invoice_creation"] = _invoice_creation(enabled=True)
    return _pay_as_before(world, session, invoice)


def write_invoice_by_hand(world: World, session: JsonObject, customer: JsonObject) -> JsonObject:
    """An invoice over what was paid, which the merchant writes and attaches the payment to; the checkout knows nothing."""
    once = price(world, session["amount_total"], session["currency"], monthly=False)
    invoice = invoices.issue(world, Bill(customer, [Line(once, session["amount_total"])], "manual"))
    return _pay_as_before(world, session, invoice)


def _pay_as_before(world: World, session: JsonObject, invoice: JsonObject) -> JsonObject:
    invoices.attach(world, invoice, world.get("payment_intent", session["payment_intent"]))
    world.tell("invoice.paid", invoice)
    return invoice


def subscribe(
    world: World, customer: JsonObject, plan: Plan, *, click: str | None = None, metadata: dict[str, str] | None = None
) -> Subscribed:
    """A subscription that starts at the checkout: the session, the subscription and the first invoice are one sale."""
    subscribed = subscriptions.start(world, customer, plan)
    invoice = subscribed.first_invoice
    typed = next(iter(plan.codes), None)
    session = _session(
        world,
        customer,
        typed,
        email=customer["email"],
        client_reference_id=click,
        invoice=invoice["id"],
        metadata=metadata or {},
        mode="subscription",
        payment_method_collection="always",
        payment_status="paid" if invoice["amount_paid"] else "no_payment_required",
        subscription=subscribed.subscription["id"],
        **_as_invoiced(invoice),
    )
    world.tell("checkout.session.completed", session)
    subscriptions.tell_started(world, subscribed)
    return subscribed


def _session(
    world: World, customer: JsonObject | None, code: Code | None, *, email: str, mode: str, **fields: Any
) -> JsonObject:
    session = world.add(
        "checkout.session",
        "cs_test_a1",
        created=world.now - 60,
        customer=customer["id"] if customer else None,
        customer_creation="if_required" if mode == "payment" else "always",
        discounts=[{"coupon": None, "promotion_code": code.id}] if code else [],
        expires_at=world.now - 60 + DAY,
        mode=mode,
        **{"payment_method_collection": "if_required", **fields},
    )
    session["customer_details"]["email"] = email
    return session


def _as_invoiced(invoice: JsonObject) -> JsonObject:
    """A session's amounts where an invoice has them already."""
    off = sum(each["amount"] for each in invoice["total_discount_amounts"])
    tax = sum(each["amount"] for each in invoice["total_taxes"])
    return {
        "amount_subtotal": invoice["subtotal"],
        "amount_total": invoice["total"],
        "currency": invoice["currency"],
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": tax},
    }


def _invoice_creation(*, enabled: bool) -> JsonObject:
    names = ("account_tax_ids", "custom_fields", "description", "footer", "issuer", "rendering_options")
    return {"enabled": enabled, "invoice_data": {**dict.fromkeys(names), "metadata": {}}}
