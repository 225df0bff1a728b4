"""Translate Stripe's objects into the facts that ingest understands. Works on plain JSON, in the pinned API version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

from rekomi_mcp.domain.sales import (
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleSource,
    SubscriptionEnded,
    SubscriptionStarted,
)

JsonObject = dict[str, Any]

_STATUS = {
    "succeeded": ReversalStatus.Succeeded,
    "pending": ReversalStatus.Pending,
    "requires_action": ReversalStatus.Pending,
    "failed": ReversalStatus.Failed,
    "canceled": ReversalStatus.Failed,
}


def at(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def id_of(value: Any) -> str | None:
    """The id of an object that may be expanded, an id already, or absent."""
    if isinstance(value, dict):
        return str(value["id"])  # pyright: ignore[reportUnknownArgumentType]
    return str(value) if value else None


def invoice_sale(invoice: JsonObject, event_id: str) -> Sale | None:
    """A paid invoice as a sale; None while it is not paid. Its discounts must be expanded."""
    if invoice.get("status") != "paid":
        return None
    net = invoice.get("total_excluding_tax")
    paid_at = _part(invoice, "status_transitions").get("paid_at") or invoice["created"]
    return Sale(
        source=SaleSource.Invoice,
        source_id=invoice["id"],
        event_id=event_id,
        occurred_at=at(paid_at),
        currency=invoice["currency"].upper(),
        net_minor=int(invoice["total"] if net is None else net),
        gross_minor=int(invoice["total"]),
        customer_id=id_of(invoice.get("customer")),
        customer_email=invoice.get("customer_email"),
        customer_name=invoice.get("customer_name"),
        subscription_id=subscription_of_invoice(invoice),
        promotion_code_ids=tuple(dict.fromkeys(_promotion_codes_of_invoice(invoice))),
        payment_ids=tuple(_payments_of_invoice(invoice)),
    )


def subscription_of_invoice(invoice: JsonObject) -> str | None:
    details = _part(_part(invoice, "parent"), "subscription_details")
    return id_of(details.get("subscription"))


def session_sale(session: JsonObject, event_id: str, occurred_at: datetime) -> Sale | None:
    """A completed checkout without an invoice as a sale; None when the money is still on its way, or an invoice has it."""
    if session.get("invoice") or session.get("subscription") or session.get("payment_status") == "unpaid":
        return None
    total = int(session.get("amount_total") or 0)
    details, customer = _part(session, "total_details"), _part(session, "customer_details")
    return Sale(
        source=SaleSource.CheckoutSession,
        source_id=session["id"],
        event_id=event_id,
        occurred_at=occurred_at,
        currency=session["currency"].upper(),
        net_minor=total - int(details.get("amount_tax") or 0) - int(details.get("amount_shipping") or 0),
        gross_minor=total,
        customer_id=id_of(session.get("customer")),
        customer_email=customer.get("email") or session.get("customer_email"),
        customer_name=customer.get("name"),
        promotion_code_ids=promotion_codes(session.get("discounts")),
        payment_ids=tuple(filter(None, [id_of(session.get("payment_intent"))])),
    )


def session_subscription(session: JsonObject, event_id: str, occurred_at: datetime) -> SubscriptionStarted | None:
    """The subscription a checkout began, with the code that was typed there."""
    subscription_id = id_of(session.get("subscription"))
    if subscription_id is None:
        return None
    return SubscriptionStarted(
        subscription_id=subscription_id,
        customer_id=id_of(session.get("customer")),
        event_id=event_id,
        occurred_at=occurred_at,
        promotion_code_ids=promotion_codes(session.get("discounts")),
    )


def subscription_started(subscription: JsonObject, event_id: str) -> SubscriptionStarted:
    """A new subscription; its discounts must be expanded."""
    of_items = [code for item in _list(subscription, "items") for code in promotion_codes(item.get("discounts"))]
    codes = (*promotion_codes(subscription.get("discounts")), *of_items)
    return SubscriptionStarted(
        subscription_id=subscription["id"],
        customer_id=id_of(subscription.get("customer")),
        event_id=event_id,
        occurred_at=at(subscription["created"]),
        promotion_code_ids=tuple(dict.fromkeys(codes)),
    )


def subscription_ended(subscription: JsonObject, event_id: str, occurred_at: datetime) -> SubscriptionEnded:
    ended_at = subscription.get("ended_at")
    return SubscriptionEnded(subscription["id"], event_id, at(ended_at) if ended_at else occurred_at)


def refund(stripe_refund: JsonObject, event_id: str, told_at: datetime) -> Reversal:
    """A refund where it stands now. One that failed did so about when we were told, not when it was made."""
    # A refund without a status dates from before refunds had one: its money has moved.
    status = _STATUS[stripe_refund.get("status") or "succeeded"]
    return Reversal(
        id=stripe_refund["id"],
        kind=ReversalKind.Refund,
        event_id=event_id,
        occurred_at=told_at if status is ReversalStatus.Failed else at(stripe_refund["created"]),
        currency=stripe_refund["currency"].upper(),
        amount_minor=int(stripe_refund["amount"]),
        status=status,
        payment_intent_id=id_of(stripe_refund.get("payment_intent")),
        charge_id=id_of(stripe_refund.get("charge")),
    )


def has_unexpanded_discounts(owner: JsonObject, lines: str) -> bool:
    """True when the object names discounts only by id, so their promotion codes must be asked for."""
    owners = [owner, *_list(owner, lines)]
    return any(isinstance(discount, str) for o in owners for discount in _discounts(o))


def promotion_codes(discounts: Any) -> tuple[str, ...]:
    """Promotion code ids of expanded discounts, in Stripe's order."""
    rows = cast(list[JsonObject | str], discounts or [])
    found = (id_of(row.get("promotion_code")) for row in rows if isinstance(row, dict))
    return tuple(code for code in found if code is not None)


def _promotion_codes_of_invoice(invoice: JsonObject) -> Iterator[str]:
    yield from promotion_codes(invoice.get("discounts"))
    for line in _list(invoice, "lines"):
        yield from promotion_codes(line.get("discounts"))


def _payments_of_invoice(invoice: JsonObject) -> Iterator[str]:
    for payment in _list(invoice, "payments"):
        details = _part(payment, "payment")
        for kind in ("payment_intent", "charge"):
            if (payment_id := id_of(details.get(kind))) is not None:
                yield payment_id


def _part(owner: JsonObject, name: str) -> JsonObject:
    """A nested object; empty when it is null or absent."""
    return cast(JsonObject, owner.get(name) or {})


def _discounts(owner: JsonObject) -> list[JsonObject | str]:
    return cast(list[JsonObject | str], owner.get("discounts") or [])


def _list(owner: JsonObject, name: str) -> list[JsonObject]:
    """The rows of a nested list object; none when it is null or absent."""
    return cast(list[JsonObject], _part(owner, name).get("data") or [])
