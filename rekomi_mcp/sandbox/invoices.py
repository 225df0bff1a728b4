"""Invoices: made from priced lines, and paid."""

from collections.abc import Sequence
from dataclasses import dataclass

from rekomi_mcp.domain.money import display
from rekomi_mcp.sandbox.blanks import blank
from rekomi_mcp.sandbox.customers import next_invoice_number
from rekomi_mcp.sandbox.events import emit
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import DATED_PAGING, PART_PAGING, listing, page, page_of_parts
from rekomi_mcp.sandbox.params import Choice, Fields, Text
from rekomi_mcp.sandbox.payments import decline_payment, receive_payment, start_payment
from rekomi_mcp.sandbox.periods import DAY_SECONDS
from rekomi_mcp.sandbox.pricing import PricedLine
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, list_of
from rekomi_mcp.sandbox.work import Filter, Work


@dataclass(frozen=True)
class InvoiceLine:
    """A priced line, and what it is for.

    Attributes:
        item: the subscription item it bills, None for a one-off sale.
    """

    priced: PricedLine
    description: str
    start: int
    end: int
    item: str | None = None


@dataclass(frozen=True)
class Bill:
    """What an invoice is made from. `discounts` are in the order in which the lines were priced."""

    customer: str
    lines: Sequence[InvoiceLine]
    discounts: Sequence[JsonObject]
    reason: str
    period_start: int
    period_end: int
    subscription: JsonObject | None = None
    metadata: dict[str, str] | None = None


def issue(work: Work, bill: Bill, id: str) -> JsonObject:
    """Draft and finalize an invoice, ready to be paid."""
    customer = work.get("customer", bill.customer, "customer")
    invoice = _draft(work, bill, customer, id)
    work.add(invoice)
    emit(work, "invoice.created", invoice)
    invoice |= {
        "auto_advance": False,
        "effective_at": work.now,
        "number": next_invoice_number(work, customer["id"], invoice["currency"]),
        "status": "open",
    }
    invoice["status_transitions"]["finalized_at"] = work.now
    work.save(invoice)
    emit(work, "invoice.finalized", invoice)
    return invoice


def pay(work: Work, invoice: JsonObject, *, declined: bool = False) -> JsonObject | None:
    """Charge the customer for an open invoice. Returns the payment intent, None when nothing is due.

    Args:
        declined: the customer's bank refuses; the invoice stays open.
    """
    payment = _payment_of(work, invoice) if invoice["amount_due"] else None
    intent = None
    if payment is not None:
        intent = work.get("payment_intent", payment["payment"]["payment_intent"], "payment_intent")
        invoice["attempt_count"] += 1
    invoice["attempted"] = True
    if declined and intent is not None:
        decline_payment(work, intent)
        invoice["next_payment_attempt"] = work.now + 3 * DAY_SECONDS
        work.save(invoice)
        emit(work, "invoice.payment_failed", invoice)
        return intent
    if payment is not None and intent is not None:
        receive_payment(work, intent)
        payment |= {"amount_paid": payment["amount_requested"], "status": "paid"}
        payment["status_transitions"]["paid_at"] = work.now
        work.save(payment)
    invoice |= {
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "next_payment_attempt": None,
        "status": "paid",
    }
    invoice["status_transitions"]["paid_at"] = work.now
    work.save(invoice)
    emit(work, "invoice.paid", invoice)
    emit(work, "invoice.payment_succeeded", invoice)
    if payment is not None:
        emit(work, "invoice_payment.paid", payment)
    return intent


def line_description(price: JsonObject, product: JsonObject, quantity: int) -> str:
    """For example `2 x Pro (at USD 49.00 / month)`."""
    each = display(price["unit_amount"], price["currency"])
    rhythm = f" / {price['recurring']['interval']}" if price["recurring"] else ""
    return f"{quantity} x {product['name']} (at {each}{rhythm})"


def _payment_of(work: Work, invoice: JsonObject) -> JsonObject:
    """The invoice's attempt to get paid: the open one, or a new one with a payment intent of its own."""
    earlier = next(work.where("invoice_payment", {"invoice": invoice["id"]}), None)
    if earlier is not None:
        return earlier
    intent = start_payment(
        work,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        email=invoice["customer_email"],
        description=f"Payment for Invoice {invoice['number']}",
    )
    payment: JsonObject = {
        "id": new_id("inpay_"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": work.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    work.add(payment)
    return payment


def _draft(work: Work, bill: Bill, customer: JsonObject, id: str) -> JsonObject:
    priced = [line.priced for line in bill.lines]
    total = sum(line.total for line in priced)
    discount_ids = [discount["id"] for discount in bill.discounts]
    taken_off = [
        {"amount": sum(line.discounts[index] for line in priced), "discount": discount}
        for index, discount in enumerate(discount_ids)
    ]
    lines = [_line(line, id, discount_ids, bill.subscription) for line in bill.lines]
    return blank("invoice") | {
        "id": id,
        "amount_due": total,
        "amount_remaining": total,
        "auto_advance": True,
        "billing_reason": bill.reason,
        "created": work.now,
        "currency": priced[0].price["currency"],
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "discounts": discount_ids,
        "lines": list_of(lines, f"/v1/invoices/{id}/lines"),
        "metadata": bill.metadata or {},
        "parent": _parent(bill.subscription),
        "period_end": bill.period_end,
        "period_start": bill.period_start,
        "status": "draft",
        "subtotal": sum(line.subtotal for line in priced),
        "subtotal_excluding_tax": sum(line.subtotal_excluding_tax for line in priced),
        "total": total,
        "total_discount_amounts": taken_off,
        "total_excluding_tax": sum(line.total_excluding_tax for line in priced),
        "total_pretax_credit_amounts": [each | {"type": "discount"} for each in taken_off],
        "total_taxes": _taxes(priced),
        "webhooks_delivered_at": work.now,
    }


def _line(line: InvoiceLine, invoice: str, discounts: list[str], subscription: JsonObject | None) -> JsonObject:
    priced = line.priced
    taken_off = [
        {"amount": amount, "discount": discount} for discount, amount in zip(discounts, priced.discounts, strict=True)
    ]
    proration = {"proration": False, "proration_details": {"credited_items": None}}
    one_off = {"invoice_item": new_id("ii_"), "subscription": None} | proration
    recurring = {
        "invoice_item": None,
        "subscription": subscription["id"] if subscription else None,
        "subscription_item": line.item,
    } | proration
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "amount": priced.subtotal,
        "currency": priced.price["currency"],
        "description": line.description,
        "discount_amounts": taken_off,
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None if line.item else one_off,
            "subscription_item_details": recurring if line.item else None,
            "type": "subscription_item_details" if line.item else "invoice_item_details",
        },
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [each | {"type": "discount"} for each in taken_off],
        "pricing": {
            "price_details": {"price": priced.price["id"], "product": priced.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": priced.price["unit_amount_decimal"],
        },
        "quantity": priced.quantity,
        "quantity_decimal": str(priced.quantity),
        "subscription": subscription["id"] if subscription else None,
        "subtotal": priced.subtotal,
        "taxes": _taxes([priced]),
    }


def _taxes(lines: Sequence[PricedLine]) -> list[JsonObject]:
    """The taxes of the lines, summed by rate."""
    by_rate: dict[str, JsonObject] = {}
    for line in lines:
        for tax in line.taxes:
            entry = by_rate.setdefault(
                tax.rate["id"],
                {
                    "amount": 0,
                    "tax_behavior": "inclusive" if tax.rate["inclusive"] else "exclusive",
                    "tax_rate_details": {"tax_rate": tax.rate["id"]},
                    "taxability_reason": "not_available",
                    "taxable_amount": 0,
                    "type": "tax_rate_details",
                },
            )
            entry["amount"] += tax.amount
            entry["taxable_amount"] += tax.taxable
    return list(by_rate.values())


def _parent(subscription: JsonObject | None) -> JsonObject | None:
    if subscription is None:
        return None
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def list_invoice_payments(work: Work, params: JsonObject) -> JsonObject:
    fields: dict[str, Filter] = {name: params[name] for name in ("invoice", "status") if name in params}
    payment = params.get("payment", {})
    if payment:
        fields["payment.type"] = payment["type"]
    if "payment_intent" in payment:
        fields["payment.payment_intent"] = payment["payment_intent"]
    return page(work, "invoice_payment", "/v1/invoice_payments", params, fields)


def list_lines(work: Work, invoice_id: str, params: JsonObject) -> JsonObject:
    lines = work.get("invoice", invoice_id, "invoice", in_path=True)["lines"]
    return page_of_parts(lines["data"], lines["url"], params)


ROUTES = (
    listing(
        "/v1/invoices",
        "invoice",
        {
            "customer": (Text(), "customer"),
            "status": (Choice("draft", "open", "paid", "uncollectible", "void"), "status"),
            "subscription": (Text(), "parent.subscription_details.subscription"),
        },
    ),
    retrieving("/v1/invoices/{invoice}", "invoice"),
    Route("GET", "/v1/invoices/{invoice}/lines", list_lines, Fields(PART_PAGING)),
    Route(
        "GET",
        "/v1/invoice_payments",
        list_invoice_payments,
        Fields(
            DATED_PAGING
            | {
                "invoice": Text(),
                "payment": Fields(
                    {"payment_intent": Text(), "type": Choice("payment_intent", "payment_record")}, required=("type",)
                ),
                "status": Choice("canceled", "open", "paid"),
            }
        ),
    ),
    retrieving("/v1/invoice_payments/{invoice_payment}", "invoice_payment"),
    # Nobody writes a credit note here, so there are none to list.
    listing("/v1/credit_notes", "credit_note", {"invoice": (Text(), "invoice")}),
    retrieving("/v1/credit_notes/{id}", "credit_note"),
)
