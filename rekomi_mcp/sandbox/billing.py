"""The life of a subscription: its start, its invoices period by period, its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rekomi_mcp.sandbox.blanks import blank
from rekomi_mcp.sandbox.discounts import Offer, check_offer, coupon_of, redeem
from rekomi_mcp.sandbox.errors import InvalidRequest
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.invoices import Bill, InvoiceLine, issue, line_description, pay
from rekomi_mcp.sandbox.periods import add_periods
from rekomi_mcp.sandbox.pricing import PricedLine, price_lines
from rekomi_mcp.sandbox.shapes import JsonObject, list_of, notes
from rekomi_mcp.sandbox.validity import is_expired
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work


@dataclass(frozen=True)
class Item:
    """Something sold: a price, how many, and the tax rates of its own it may have."""

    price: JsonObject
    quantity: int = 1
    rates: list[JsonObject] = field(default_factory=list[JsonObject])

    def priced(self, default_rates: list[JsonObject], *, free: bool = False) -> PricedLine:
        subtotal = 0 if free else self.price["unit_amount"] * self.quantity
        return PricedLine(self.price, self.quantity, subtotal, self.rates or default_rates)


@dataclass(frozen=True)
class Order:
    """What a new subscription is to be.

    Attributes:
        extras: one-off sales on its first invoice.
    """

    customer: str
    items: Sequence[Item]
    extras: Sequence[Item] = ()
    offers: Sequence[Offer] = ()
    trial_end: int | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    default_rates: list[JsonObject] = field(default_factory=list[JsonObject])
    description: str | None = None


def start_subscription(work: Work, order: Order, param: str) -> JsonObject:
    """Create a subscription and bill its first period. `param` is at fault when an offer cannot be had."""
    lines = [item.priced([]) for item in (*order.items, *order.extras)]
    for offer in order.offers:
        check_offer(work, offer, lines, order.customer, param)
    subscription = _new_subscription(work, order)
    subscription["discounts"] = [
        redeem(work, offer, customer=order.customer, subscription=subscription["id"])["id"] for offer in order.offers
    ]
    work.add(subscription)
    _bill_period(work, subscription, order.extras)
    return subscription


def renew(work: Work, subscription: JsonObject) -> None:
    """What happens at the end of a period: the next one is billed, or the subscription ends as was asked."""
    if subscription["cancel_at_period_end"]:
        end_subscription(work, subscription)
        return
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    timing = notes(subscription)
    timing["cycles"] += 1
    end = add_periods(timing["anchor"], recurring["interval"], recurring["interval_count"] * timing["cycles"])
    before = view(work, subscription)
    _set_period(subscription, timing["due"], end)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    _bill_period(work, subscription, (), before)


def end_subscription(work: Work, subscription: JsonObject) -> None:
    subscription |= {
        "canceled_at": subscription["canceled_at"] or work.now,
        "ended_at": work.now,
        "status": "canceled",
    }
    subscription["cancellation_details"]["reason"] = "cancellation_requested"
    notes(subscription)["due"] = None
    work.save(subscription)
    emit(work, "customer.subscription.deleted", subscription)


def _bill_period(
    work: Work, subscription: JsonObject, extras: Sequence[Item], before: JsonObject | None = None
) -> None:
    """Invoice the current period. `before` is the subscription as it was shown, None when it is new."""
    now = work.now
    discounts = [work.get("discount", id, "discounts") for id in subscription["discounts"]]
    discounts = [discount for discount in discounts if not is_expired(discount["end"], now)]
    lines = _lines(work, subscription, extras)
    price_lines([line.priced for line in lines], [coupon_of(discount) for discount in discounts])
    # A once-only discount is used up by the first invoice that has something to discount: a trial's has not.
    used_up = any(line.priced.subtotal for line in lines)
    subscription["discounts"] = [
        discount["id"] for discount in discounts if not (used_up and coupon_of(discount)["duration"] == "once")
    ]
    bill = Bill(
        customer=subscription["customer"],
        lines=lines,
        discounts=discounts,
        reason="subscription_cycle" if before else "subscription_create",
        period_start=before["items"]["data"][0]["current_period_start"] if before else now,
        period_end=now,
        subscription=subscription,
    )
    subscription["latest_invoice"] = new_id("in_")
    declined = notes(subscription).pop("decline_next", False)
    if before is None:
        work.save(subscription)
        emit(work, "customer.subscription.created", subscription)
    else:
        save_and_tell(work, "customer.subscription.updated", before, subscription)
    invoice = issue(work, bill, subscription["latest_invoice"])
    pay(work, invoice, declined=declined)
    if declined:
        set_status(work, subscription, "past_due")


def set_status(work: Work, subscription: JsonObject, status: str) -> None:
    before = view(work, subscription)
    subscription["status"] = status
    save_and_tell(work, "customer.subscription.updated", before, subscription)


def _lines(work: Work, subscription: JsonObject, extras: Sequence[Item]) -> list[InvoiceLine]:
    trialing = subscription["status"] == "trialing"
    default_rates = subscription["default_tax_rates"]
    lines: list[InvoiceLine] = []
    for entry in subscription["items"]["data"]:
        item = Item(entry["price"], entry["quantity"], entry["tax_rates"])
        product = work.get("product", item.price["product"], "product")
        paid_for = line_description(item.price, product, item.quantity)
        lines.append(
            InvoiceLine(
                priced=item.priced(default_rates, free=trialing),
                description=f"Trial period for {product['name']}" if trialing else paid_for,
                start=entry["current_period_start"],
                end=entry["current_period_end"],
                item=entry["id"],
            )
        )
    return lines + one_off_lines(work, [(extra, extra.priced(default_rates)) for extra in extras])


def one_off_lines(work: Work, sales: Sequence[tuple[Item, PricedLine]]) -> list[InvoiceLine]:
    """Invoice lines of what is sold once, now."""
    return [
        InvoiceLine(
            priced=priced,
            description=line_description(
                item.price, work.get("product", item.price["product"], "product"), item.quantity
            ),
            start=work.now,
            end=work.now,
        )
        for item, priced in sales
    ]


def _new_subscription(work: Work, order: Order) -> JsonObject:
    recurring = order.items[0].price["recurring"]
    if any(_rhythm(item) != _rhythm(order.items[0]) for item in order.items):
        raise InvalidRequest("The sandbox needs all prices of a subscription in one currency and one interval.")
    id, anchor = new_id("sub_"), order.trial_end or work.now
    first_end = order.trial_end or add_periods(anchor, recurring["interval"], recurring["interval_count"])
    items = [_new_item(work, id, item) for item in order.items]
    subscription = blank("subscription") | {
        "id": id,
        "billing_cycle_anchor": anchor,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": work.now,
        },
        "created": work.now,
        "currency": order.items[0].price["currency"],
        "customer": order.customer,
        "default_tax_rates": order.default_rates,
        "description": order.description,
        "discounts": [],
        "items": list_of(items, f"/v1/subscription_items?subscription={id}"),
        "latest_invoice": None,
        "metadata": order.metadata,
        "start_date": work.now,
        "status": "trialing" if order.trial_end else "active",
        "trial_end": order.trial_end,
        "trial_start": work.now if order.trial_end else None,
        # `cycles` counts paid periods from the anchor, so that a month's 31st is not lost for ever in February.
        "_": {"anchor": anchor, "cycles": 0 if order.trial_end else 1},
    }
    _set_period(subscription, work.now, first_end)
    return subscription


def _rhythm(item: Item) -> tuple[str, str, int]:
    recurring = item.price["recurring"]
    return item.price["currency"], recurring["interval"], recurring["interval_count"]


def _set_period(subscription: JsonObject, start: int, end: int) -> None:
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": end}
    notes(subscription)["due"] = end


def _new_item(work: Work, subscription: str, item: Item) -> JsonObject:
    price = item.price
    plan = {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    return {
        "id": new_id("si_"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": work.now,
        "discounts": [],
        "metadata": {},
        "plan": plan,
        "price": price,
        "quantity": item.quantity,
        "subscription": subscription,
        "tax_rates": item.rates,
    }
