"""Invoices: their lines, discounts, tax and totals, and how they get paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.cases.building import payments
from tests.cases.building.amounts import Tax, amounts_off, totals
from tests.cases.building.blanks import JsonObject, blank
from tests.cases.building.world import MONTH, World


def _nothing() -> list[JsonObject]:
    return []


@dataclass(frozen=True)
class Line:
    """What one line of an invoice charges. A proration comes net of any discount, as flexible billing has it.

    An extra is an invoice item: on an invoice of a subscription it is no item of that.
    """

    price: JsonObject
    amount: int
    discounts: list[JsonObject] = field(default_factory=_nothing)
    proration: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Bill:
    """What an invoice is for."""

    customer: JsonObject
    lines: list[Line]
    reason: str
    discounts: Sequence[JsonObject] = ()
    """Discounts on the whole invoice, in Stripe's order."""
    tax: Tax | None = None
    subscription: JsonObject | None = None


def issue(world: World, bill: Bill) -> JsonObject:
    """An open invoice. The customer's balance is used up by it: a credit is negative, a debt positive."""
    invoice_id, currency = world.new_id("in_1"), bill.lines[0].price["currency"]
    lines = [_line(world, bill, line, invoice_id) for line in bill.lines]
    discount = sum(part["amount"] for line in lines for part in line["discount_amounts"])
    sums = totals(sum(line["amount"] for line in lines), discount, bill.tax)
    balance = bill.customer["balance"]
    due = max(sums.total + balance, 0)
    bill.customer["balance"] = min(sums.total + balance, 0)
    number = f"{bill.customer['invoice_prefix']}-{bill.customer['next_invoice_sequence']:04}"
    bill.customer["next_invoice_sequence"] += 1
    off = _sums_by_discount(lines)
    return world.add(
        "invoice",
        id=invoice_id,
        amount_due=due,
        amount_remaining=due,
        billing_reason=bill.reason,
        currency=currency,
        customer=bill.customer["id"],
        customer_email=bill.customer["email"],
        discounts=[each["id"] for each in bill.discounts],
        effective_at=world.now,
        ending_balance=bill.customer["balance"],
        lines={"object": "list", "data": lines, "has_more": False, "url": f"/v1/invoices/{invoice_id}/lines"},
        number=number,
        parent=_parent(bill.subscription),
        period_end=world.now,
        period_start=world.now,
        starting_balance=balance,
        status="open",
        status_transitions={
            "finalized_at": world.now,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        subtotal=sums.subtotal,
        subtotal_excluding_tax=sums.subtotal - sums.tax if bill.tax and bill.tax.inclusive else sums.subtotal,
        total=sums.total,
        total_discount_amounts=off,
        total_excluding_tax=sums.total_excluding_tax,
        total_pretax_credit_amounts=[{**each, "type": "discount"} for each in off],
        total_taxes=_taxes(world, bill.tax, sums.subtotal - sums.discount),
        webhooks_delivered_at=world.now,
    )


def mark_paid(world: World, invoice: JsonObject, *, in_parts: Sequence[int] = ()) -> None:
    """Collect what is due, in one payment unless parts are given. Nothing due takes no payment."""
    parts = list(in_parts) or ([invoice["amount_due"]] if invoice["amount_due"] else [])
    assert sum(parts) == invoice["amount_due"], "the parts are the whole"
    for position, part in enumerate(parts):
        intent = payments.pay(
            world, part, invoice["currency"], customer=invoice["customer"], email=invoice["customer_email"]
        )
        intent["description"] = f"Payment for Invoice {invoice['number']}"
        _pay_with(world, invoice, intent, part, is_default=position == 0)
    _close(world, invoice)


def _pay_with(world: World, invoice: JsonObject, intent: JsonObject, part: int, *, is_default: bool) -> JsonObject:
    return world.add(
        "invoice_payment",
        "inpay_1",
        amount_paid=part,
        amount_requested=part,
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=is_default,
        payment={"payment_intent": intent["id"], "type": "payment_intent"},
        status_transitions={"canceled_at": None, "paid_at": world.now},
    )


def _close(world: World, invoice: JsonObject) -> None:
    invoice.update(status="paid", amount_paid=invoice["amount_due"], amount_remaining=0)
    invoice["status_transitions"] = {**invoice["status_transitions"], "paid_at": world.now}


def attach(world: World, invoice: JsonObject, intent: JsonObject) -> JsonObject:
    """Pay it with a payment that was made before, or with the part of it that is left. Answers the invoice payment."""
    put = [each for each in world.all("invoice_payment") if each["payment"]["payment_intent"] == intent["id"]]
    left = intent["amount_received"] - sum(each["amount_paid"] for each in put)
    assert left >= invoice["amount_due"], "the payment is enough"
    payment = _pay_with(world, invoice, intent, invoice["amount_due"], is_default=True)
    _close(world, invoice)
    return payment


def fail_payment(world: World, invoice: JsonObject) -> JsonObject:
    """The card is declined; the invoice stays open."""
    return world.tell("invoice.payment_failed", invoice)


def void(world: World, invoice: JsonObject) -> JsonObject:
    """Nobody has to pay it any more."""
    transitions = {**invoice["status_transitions"], "voided_at": world.now}
    return world.change("invoice.voided", invoice, status="void", status_transitions=transitions)


def give_up(world: World, invoice: JsonObject) -> JsonObject:
    """Nobody expects it to be paid any more."""
    transitions = {**invoice["status_transitions"], "marked_uncollectible_at": world.now}
    return world.change("invoice.marked_uncollectible", invoice, status="uncollectible", status_transitions=transitions)


def _line(world: World, bill: Bill, line: Line, invoice_id: str) -> JsonObject:
    # A discount of the item comes first, those of the whole invoice after it.
    discounts = [] if line.proration else [*line.discounts, *bill.discounts]
    off = amounts_off(line.amount, [world.get("coupon", each["source"]["coupon"]) for each in discounts])
    parts = [{"amount": amount, "discount": each["id"]} for amount, each in zip(off, discounts, strict=True)]
    money = f"{line.amount} {line.price['currency']}"
    return blank(
        "line_item",
        id=world.new_id("il_1"),
        amount=line.amount,
        currency=line.price["currency"],
        description=f"Proration ({money})" if line.proration else f"1 x Acme Pro ({money})",
        discount_amounts=parts,
        discountable=not line.proration,
        discounts=[each["id"] for each in line.discounts],
        invoice=invoice_id,
        parent=_line_parent(world, bill.subscription, line),
        period={"start": world.now, "end": world.now + MONTH if bill.subscription and not line.extra else world.now},
        pretax_credit_amounts=[{**part, "type": "discount"} for part in parts],
        pricing={
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(line.amount),
        },
        subscription=bill.subscription["id"] if bill.subscription else None,
        subtotal=line.amount,
        taxes=_taxes(world, bill.tax, line.amount - sum(off)),
    )


def _sums_by_discount(lines: list[JsonObject]) -> list[JsonObject]:
    """What each discount took off the whole invoice."""
    sums: dict[str, int] = {}
    for part in (part for line in lines for part in line["discount_amounts"]):
        sums[part["discount"]] = sums.get(part["discount"], 0) + part["amount"]
    return [{"amount": amount, "discount": discount} for discount, amount in sums.items()]


def _taxes(world: World, tax: Tax | None, taxable: int) -> list[JsonObject]:
    if tax is None:
        return []
    return [
        {
            "amount": tax.of(taxable),
            "tax_behavior": "inclusive" if tax.inclusive else "exclusive",
            "tax_rate_details": {"tax_rate": world.new_id("txr_")},
            "taxability_reason": "not_available",
            "taxable_amount": taxable,
            "type": "tax_rate_details",
        }
    ]


def _parent(subscription: JsonObject | None) -> JsonObject | None:
    if subscription is None:
        return None
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def _line_parent(world: World, subscription: JsonObject | None, line: Line) -> JsonObject:
    rest = {"proration": line.proration, "proration_details": {"credited_items": None}}
    if subscription is None or line.extra:
        of = subscription["id"] if subscription else None
        details = {"invoice_item": world.new_id("ii_1"), "subscription": of, **rest}
        return {"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"}
    item = subscription["items"]["data"][0]["id"]
    details = {"invoice_item": None, "subscription": subscription["id"], "subscription_item": item, **rest}
    return {"invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details"}
