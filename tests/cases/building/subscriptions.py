"""Subscriptions: how they start, renew, change their price, take a discount later, and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.cases.building import invoices
from tests.cases.building.amounts import Tax
from tests.cases.building.blanks import JsonObject, blank
from tests.cases.building.invoices import Bill, Line
from tests.cases.building.offers import Code, apply, price, redeem
from tests.cases.building.world import DAY, MONTH, World


@dataclass
class Subscribed:
    """A running subscription, as a story holds on to it."""

    customer: JsonObject
    subscription: JsonObject
    price: JsonObject
    tax: Tax | None
    first_invoice: JsonObject


@dataclass(frozen=True)
class Plan:
    """What a customer subscribes to."""

    amount: int
    currency: str = "usd"
    tax: Tax | None = None
    codes: Sequence[Code] = ()
    """Codes on the subscription, in this order."""
    coupons: Sequence[JsonObject] = ()
    """Coupons that the shop gave without a code; they come before the codes."""
    item_codes: Sequence[Code] = ()
    """Codes on the subscription's item."""
    trial_days: int = 0
    metadata: dict[str, str] | None = None


def start(world: World, customer: JsonObject, plan: Plan) -> Subscribed:
    """A subscription and its first invoice, paid; nothing is told yet. A trial begins with an invoice over nothing."""
    monthly = price(world, plan.amount, plan.currency, monthly=True)
    made = _subscription(world, customer, monthly, plan)
    owner = {"customer": customer["id"], "subscription": made["id"]}
    given = [apply(world, coupon, **owner) for coupon in plan.coupons]
    typed = [redeem(world, code, **owner) for code in plan.codes]
    item = made["items"]["data"][0]
    of_item = [redeem(world, code, **owner, subscription_item=item["id"]) for code in plan.item_codes]
    made["discounts"] = [each["id"] for each in (*given, *typed)]
    item["discounts"] = [each["id"] for each in of_item]
    bill = Bill(
        customer=customer,
        lines=[Line(monthly, 0 if plan.trial_days else plan.amount, [] if plan.trial_days else of_item)],
        reason="subscription_create",
        # An invoice over nothing uses up no coupon.
        discounts=[] if plan.trial_days else [*given, *typed],
        tax=plan.tax,
        subscription=made,
    )
    invoice = invoices.issue(world, bill)
    subscribed = Subscribed(customer, made, monthly, plan.tax, invoice)
    _billed(world, subscribed, invoice)
    invoices.mark_paid(world, invoice)
    return subscribed


def tell_started(world: World, subscribed: Subscribed) -> None:
    """The news of a subscription and of its first invoice."""
    world.tell("customer.subscription.created", subscribed.subscription)
    world.tell("invoice.paid", subscribed.first_invoice)


def subscribe(world: World, customer: JsonObject, plan: Plan) -> Subscribed:
    """A subscription made over the API, without a checkout."""
    subscribed = start(world, customer, plan)
    tell_started(world, subscribed)
    return subscribed


def renewal_due(world: World, subscribed: Subscribed) -> JsonObject:
    """The open invoice of the next month, with the discounts that are still in force."""
    made = subscribed.subscription
    if made["status"] == "trialing":
        made["status"] = "active"
    item = made["items"]["data"][0]
    item.update(current_period_start=world.now, current_period_end=world.now + MONTH)
    bill = Bill(
        customer=subscribed.customer,
        lines=[Line(subscribed.price, subscribed.price["unit_amount"], _in_force(world, item["discounts"]))],
        reason="subscription_cycle",
        discounts=_in_force(world, made["discounts"]),
        tax=subscribed.tax,
        subscription=made,
    )
    invoice = invoices.issue(world, bill)
    _billed(world, subscribed, invoice)
    return invoice


def renew(world: World, subscribed: Subscribed) -> JsonObject:
    """The next month's invoice, paid at once."""
    invoice = renew_unheard(world, subscribed)
    world.tell("invoice.paid", invoice)
    return invoice


def renew_unheard(world: World, subscribed: Subscribed) -> JsonObject:
    """The same, before anybody listens."""
    invoice = renewal_due(world, subscribed)
    invoices.mark_paid(world, invoice)
    return invoice


def change_price(world: World, subscribed: Subscribed, amount: int, *, credit: int, charge: int) -> JsonObject:
    """Another price from now on; the credit for the old one and the charge for the new one are invoiced at once."""
    old, made = subscribed.price, subscribed.subscription
    subscribed.price = price(world, amount, old["currency"], monthly=True)
    bill = Bill(
        customer=subscribed.customer,
        lines=[Line(old, -credit, proration=True), Line(subscribed.price, charge, proration=True)],
        reason="subscription_update",
        discounts=_in_force(world, made["discounts"]),
        tax=subscribed.tax,
        subscription=made,
    )
    invoice = invoices.issue(world, bill)
    invoices.mark_paid(world, invoice)
    items = {**made["items"], "data": [_repriced(made["items"]["data"][0], subscribed.price)]}
    world.change("customer.subscription.updated", made, items=items, latest_invoice=invoice["id"])
    world.tell("invoice.paid", invoice)
    return invoice


def begin_anew(
    world: World, subscribed: Subscribed, amount: int, *, changes: Sequence[tuple[int, int]] = ()
) -> JsonObject:
    """A period begins now instead of on its day, at this price, and is invoiced at once.

    Args:
        changes: what was changed within the last period and is settled along with it: the credit and the charge of each.
    """
    old, made = subscribed.price, subscribed.subscription
    subscribed.price = price(world, amount, old["currency"], monthly=True)
    settled = [Line(old, part, proration=True) for credit, charge in changes for part in (-credit, charge) if part]
    bill = Bill(
        customer=subscribed.customer,
        lines=[*settled, Line(subscribed.price, amount)],
        reason="subscription_update",
        discounts=_in_force(world, made["discounts"]),
        tax=subscribed.tax,
        subscription=made,
    )
    invoice = invoices.issue(world, bill)
    _billed(world, subscribed, invoice)
    invoices.mark_paid(world, invoice)
    item = _repriced(made["items"]["data"][0], subscribed.price)
    item.update(current_period_start=world.now, current_period_end=world.now + MONTH)
    items = {**made["items"], "data": [item]}
    anew: JsonObject = {"items": items, "billing_cycle_anchor": world.now, "status": "active"}
    if made["status"] == "trialing":
        anew["trial_end"] = world.now
    world.change("customer.subscription.updated", made, **anew)
    world.tell("invoice.paid", invoice)
    return invoice


def bill_extra(world: World, subscribed: Subscribed, amount: int) -> JsonObject:
    """Something besides the plan, on an invoice of the subscription that the shop writes itself."""
    once = price(world, amount, subscribed.price["currency"], monthly=False)
    lines = [Line(once, amount, extra=True)]
    bill = Bill(subscribed.customer, lines, "manual", tax=subscribed.tax, subscription=subscribed.subscription)
    invoice = invoices.issue(world, bill)
    invoices.mark_paid(world, invoice)
    world.tell("invoice.paid", invoice)
    return invoice


def add_code(world: World, subscribed: Subscribed, code: Code) -> JsonObject:
    """A code redeemed on a subscription that is running already."""
    made = subscribed.subscription
    discount = redeem(world, code, customer=subscribed.customer["id"], subscription=made["id"])
    return world.change("customer.subscription.updated", made, discounts=[*made["discounts"], discount["id"]])


def cancel(world: World, subscribed: Subscribed) -> JsonObject:
    """The end of a subscription."""
    subscribed.subscription.update(status="canceled", canceled_at=world.now, ended_at=world.now)
    return world.tell("customer.subscription.deleted", subscribed.subscription)


def _subscription(world: World, customer: JsonObject, monthly: JsonObject, plan: Plan) -> JsonObject:
    subscription_id, trial_end = world.new_id("sub_1"), world.now + plan.trial_days * DAY
    trial: JsonObject = {"status": "trialing", "trial_start": world.now, "trial_end": trial_end}
    item = blank(
        "subscription_item",
        id=world.new_id("si_"),
        created=world.now,
        current_period_end=trial_end if plan.trial_days else world.now + MONTH,
        current_period_start=world.now,
        subscription=subscription_id,
    )
    url = f"/v1/subscription_items?subscription={subscription_id}"
    return world.add(
        "subscription",
        id=subscription_id,
        billing_cycle_anchor=trial_end,
        billing_mode={
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": world.now,
        },
        currency=plan.currency,
        customer=customer["id"],
        items={"object": "list", "data": [_repriced(item, monthly)], "has_more": False, "url": url},
        metadata=plan.metadata or {},
        start_date=world.now,
        **(trial if plan.trial_days else {}),
    )


def _repriced(item: JsonObject, monthly: JsonObject) -> JsonObject:
    """A subscription's item with this price, and with the plan that Stripe still shows beside it."""
    amount = {"amount": monthly["unit_amount"], "amount_decimal": monthly["unit_amount_decimal"]}
    same = {name: monthly[name] for name in ("id", "created", "currency", "product")}
    return {**item, "price": monthly, "plan": blank("plan", **same, **amount)}


def _billed(world: World, subscribed: Subscribed, invoice: JsonObject) -> None:
    """A coupon for one time is used up by the first invoice it takes something off."""
    made = subscribed.subscription
    made["latest_invoice"] = invoice["id"]
    used = {each["discount"] for each in invoice["total_discount_amounts"]}
    for owner in (made, made["items"]["data"][0]):
        owner["discounts"] = [
            each for each in owner["discounts"] if each not in used or _duration(world, each) != "once"
        ]


def _in_force(world: World, discount_ids: list[str]) -> list[JsonObject]:
    discounts = [world.get("discount", each) for each in discount_ids]
    return [each for each in discounts if each["end"] is None or world.now < each["end"]]


def _duration(world: World, discount_id: str) -> str:
    discount = world.get("discount", discount_id)
    return world.get("coupon", discount["source"]["coupon"])["duration"]
