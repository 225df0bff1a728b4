"""A verified Stripe event as a row of the inbox, and which events matter."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from rekomi_mcp.gateways.stripe import OWN_ACCOUNT
from rekomi_mcp.gateways.stripe_facts import at

HANDLED_EVENTS: Final = (
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refunded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "coupon.created",
    "coupon.deleted",
    "coupon.updated",
    "credit_note.created",
    "credit_note.updated",
    "credit_note.voided",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.voided",
    "invoice_payment.paid",
    "promotion_code.created",
    "promotion_code.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
"""The event types to subscribe an endpoint to. Others are stored and ignored."""


def inbox_row(
    event: dict[str, Any], *, text: str | None = None, source: str, live: bool, now: datetime
) -> dict[str, Any]:
    """The columns of InboxEventRow.

    Args:
        event: the parsed event.
        text: its JSON as received, when there is one.
        source: `webhook` or `poll`.
        live: whether this server holds live money; events of the other kind are kept and ignored.
    """
    note = None
    if event["type"] not in HANDLED_EVENTS:
        note = "not an event this server acts on"
    elif bool(event.get("livemode")) is not live:
        note = f"a {'live' if event.get('livemode') else 'test'}-mode event, and this server holds the other kind"
    return {
        "account": event.get("account") or OWN_ACCOUNT,
        "event_id": event["id"],
        "type": event["type"],
        "api_version": event.get("api_version"),
        "livemode": bool(event.get("livemode")),
        "source": source,
        "payload": text or json.dumps(event, separators=(",", ":")),
        "state": "pending" if note is None else "ignored",
        "note": note,
        "attempts": 0,
        "stripe_created": at(int(event["created"])),
        "received_at": now,
        "next_attempt_at": now,
        "processed_at": None if note is None else now,
    }
