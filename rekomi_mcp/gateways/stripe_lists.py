"""What Stripe lists of a span of time, and which sales a payment paid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from rekomi_mcp.domain.errors import StripeRefused
from rekomi_mcp.domain.sales import EarlierPayment, Sale, SaleReference, SaleSource
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.gateways.stripe_facts import (
    id_of,
    invoice_sale,
    lacks_lines,
    paid_invoices,
    payment_intents,
    with_lines,
)

JsonObject = dict[str, Any]


class Listed(StrEnum):
    """The kinds of objects that sales, and what becomes of them, are told by."""

    Invoices = "invoices"
    Sessions = "checkout.sessions"
    Subscriptions = "subscriptions"
    Refunds = "refunds"
    Disputes = "disputes"
    CreditNotes = "credit_notes"


_WANTED: Final[Mapping[Listed, Mapping[str, object]]] = {
    Listed.Invoices: {
        "status": "paid",
        "expand": ["data.discounts.promotion_code", "data.lines.data.discounts", "data.payments"],
    },
    Listed.Sessions: {
        "status": "complete",
        "expand": ["data.discounts.promotion_code", "data.payment_intent.latest_charge"],
    },
    Listed.Subscriptions: {"status": "all", "expand": ["data.discounts", "data.items.data.discounts"]},
    Listed.Refunds: {},
    Listed.Disputes: {},
    Listed.CreditNotes: {},
}


async def made_between(
    stripe: StripeAccount, kind: Listed, since: datetime, until: datetime, after: str | None
) -> tuple[list[JsonObject], bool]:
    """Up to 100 objects of a kind that were made in a span of time, newest first, and whether there are more.

    Args:
        until: the first second that is not meant any more.
        after: the id of the object to continue after.
    """
    span = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
    return await stripe.page(kind.value, created=span, starting_after=after, **_WANTED[kind])


async def coupons(stripe: StripeAccount, after: str | None) -> tuple[list[JsonObject], bool]:
    """Up to 100 coupons, newest first, and whether there are more."""
    return await stripe.page("coupons", starting_after=after)


async def sales_of_payment(stripe: StripeAccount, payment_id: str, event_id: str) -> list[SaleReference]:
    """Which invoices a payment paid, or else which checkout: a refund does not say."""
    if invoices := paid_invoices(await stripe.invoice_payments(payment_id), event_id):
        return invoices
    if (session := await stripe.session_of_payment(payment_id)) is not None:
        return [SaleReference(payment_id, SaleSource.CheckoutSession, session["id"], event_id)]
    return []


async def checkout_of_invoice(stripe: StripeAccount, invoice: JsonObject) -> JsonObject | None:
    """The checkout that an invoice was written for; the invoice itself does not say. Its payments must be there."""
    for payment_id in payment_intents(invoice):
        session = await stripe.session_of_payment(payment_id)
        if session is not None and id_of(session.get("invoice")) == invoice["id"]:
            return session
    return None


async def paid_before(stripe: StripeAccount, sale: Sale) -> list[EarlierPayment]:
    """What was paid of its subscription before a sale: a renewal does not say which it is."""
    return [each for each in await paid_with(stripe, sale) if each.occurred_at < sale.occurred_at]


async def paid_with(stripe: StripeAccount, sale: Sale) -> list[EarlierPayment]:
    """All that was paid of the subscription of a sale so far, the sale among it."""
    assert sale.subscription_id is not None
    invoices = await _paid_invoices(stripe, sale.subscription_id)
    told = [invoice_sale(await with_all_lines(stripe, invoice), sale.event_id) for invoice in invoices]
    return [
        EarlierPayment(sale.subscription_id, each.source_id, sale.event_id, each.occurred_at)
        for each in told
        if each is not None and each.is_counted and each.net_minor > 0
    ]


async def _paid_invoices(stripe: StripeAccount, subscription_id: str) -> list[JsonObject]:
    wanted = {"subscription": subscription_id, "status": "paid"}
    found, has_more = await stripe.page("invoices", **wanted)
    while has_more:
        page, has_more = await stripe.page("invoices", **wanted, starting_after=found[-1]["id"])
        found += page
    return found


async def with_all_lines(stripe: StripeAccount, invoice: JsonObject) -> JsonObject:
    """The invoice; with the lines that it does not show, where it hangs on them whether it counts."""
    return with_lines(invoice, await stripe.invoice_lines(invoice["id"])) if lacks_lines(invoice) else invoice


async def is_paid(stripe: StripeAccount, source: SaleSource, source_id: str) -> bool:
    """Whether Stripe still has this sale as one that was made."""
    try:
        if source is SaleSource.Invoice:
            return (await stripe.invoice(source_id)).get("status") == "paid"
        return (await stripe.checkout_session(source_id)).get("status") == "complete"
    except StripeRefused as refusal:
        if refusal.details.get("stripeCode") != "resource_missing":
            raise
        return False
