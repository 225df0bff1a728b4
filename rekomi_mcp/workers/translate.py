"""One Stripe event as facts, asking Stripe again only for what its payload lacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rekomi_mcp.domain.sales import Fact, Reversal, Sale, SaleReference, SaleSource
from rekomi_mcp.gateways import stripe_facts as shapes
from rekomi_mcp.gateways.stripe import API_VERSION, StripeAccount
from rekomi_mcp.gateways.stripe_lists import checkout_of_invoice, paid_before, sales_of_payment, with_all_lines

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event out of the inbox."""

    id: str
    type: str
    api_version: str | None
    created: datetime
    payload: JsonObject
    """The object the event is about."""

    @property
    def speaks_our_version(self) -> bool:
        return self.api_version == API_VERSION


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store knows of these events, so that Stripe need not be asked."""

    payments: Collection[str]
    """Of those that refunds name: whose sales are there."""
    subscriptions: Collection[str]
    """Of those that invoices are of: which have a sale there, so that all that was paid of them is there too."""


async def facts_of(event: Event, stripe: StripeAccount, stored: Stored) -> list[Fact]:
    """The facts one event brings.

    Raises:
        Refusal: Stripe could not be asked, or knows nothing of the object.
    """
    translate = _TRANSLATORS[event.type]
    facts = await translate(event, stripe)
    unknown = {
        fact.payment_intent_id
        for fact in facts
        if isinstance(fact, Reversal) and not any(p in stored.payments for p in fact.payment_ids)
    }
    references = [await sales_of_payment(stripe, payment_id, event.id) for payment_id in sorted(filter(None, unknown))]
    before = [await paid_before(stripe, sale) for sale in _with_a_past(event, facts, stored)]
    return [fact for several in (*references, *before) for fact in several] + facts


def _with_a_past(event: Event, facts: Sequence[Fact], stored: Stored) -> list[Sale]:
    """Sales of subscriptions that are new here, but not in Stripe."""
    sales = [fact for fact in facts if isinstance(fact, Sale) and fact.subscription_id is not None]
    return [
        sale
        for sale in sales
        if sale.subscription_id not in stored.subscriptions and not shapes.is_first(event.payload)
    ]


async def _checkout_completed(event: Event, stripe: StripeAccount) -> list[Fact]:
    session = event.payload if event.speaks_our_version else await stripe.checkout_session(event.payload["id"])
    invoice_id = shapes.id_of(session.get("invoice"))
    facts: list[Fact | None] = [shapes.session_subscription(session, event.id)]
    if invoice_id is None:
        facts.append(shapes.session_sale(session, event.id, event.created))
    else:
        # The session is what the owner sees in Stripe: an explanation can be asked for by it too.
        facts.append(SaleReference(session["id"], SaleSource.Invoice, invoice_id, event.id))
    if invoice_id is not None and session.get("subscription") is None:
        sale = shapes.invoice_sale(await stripe.invoice(invoice_id), event.id)
        facts.append(sale and shapes.at_checkout(sale, session))
    return [fact for fact in facts if fact is not None]


async def _invoice_paid(event: Event, stripe: StripeAccount) -> list[Fact]:
    invoice = event.payload
    lacks_something = shapes.has_unexpanded_discounts(invoice, "lines") or shapes.lacks_payments(invoice)
    if not event.speaks_our_version or lacks_something:
        invoice = await stripe.invoice(invoice["id"])
    sale = shapes.invoice_sale(await with_all_lines(stripe, invoice), event.id)
    if sale is None or sale.subscription_id is not None:
        return [sale] if sale is not None else []
    # What the checkout told may have come before the invoice was paid, and then said nothing of a sale.
    session = await checkout_of_invoice(stripe, invoice)
    return [sale if session is None else shapes.at_checkout(sale, session)]


async def _invoice_payment_paid(event: Event, stripe: StripeAccount) -> list[Fact]:
    payment = event.payload if event.speaks_our_version else await stripe.invoice_payment(event.payload["id"])
    return [*shapes.paid_invoices([payment], event.id)]


async def _subscription_changed(event: Event, stripe: StripeAccount) -> list[Fact]:
    subscription = event.payload
    if not event.speaks_our_version or shapes.has_unexpanded_discounts(subscription, "items"):
        subscription = await stripe.subscription(subscription["id"])
        first_invoice = shapes.id_of(event.payload.get("latest_invoice"))
        if shapes.lacks_discounts(subscription, event.payload) and first_invoice is not None:
            # A code for one payment is gone from the subscription once that is made; the invoice keeps it.
            subscription = shapes.with_discounts(subscription, event.payload, await stripe.invoice(first_invoice))
    return [*shapes.subscription_started(subscription, event.id, event.created)]


async def _subscription_deleted(event: Event, stripe: StripeAccount) -> list[Fact]:
    return [shapes.subscription_ended(event.payload, event.id, event.created)]


async def _refund_changed(event: Event, stripe: StripeAccount) -> list[Fact]:
    refund = event.payload if event.speaks_our_version else await stripe.refund(event.payload["id"])
    return [shapes.refund(refund, event.id, event.created)]


async def _charge_refunded(event: Event, stripe: StripeAccount) -> list[Fact]:
    # The event carries a running total; the single refunds are what can be counted once.
    return [
        shapes.refund(refund, event.id, event.created) for refund in await stripe.refunds_of_charge(event.payload["id"])
    ]


async def _dispute_changed(event: Event, stripe: StripeAccount) -> list[Fact]:
    dispute = event.payload if event.speaks_our_version else await stripe.dispute(event.payload["id"])
    return [shapes.dispute(dispute, event.id, event.created)]


async def _credit_note_changed(event: Event, stripe: StripeAccount) -> list[Fact]:
    note = event.payload if event.speaks_our_version else await stripe.credit_note(event.payload["id"])
    reversal = shapes.credit_note(note, event.id, event.created)
    return [reversal] if reversal is not None else []


async def _code_changed(event: Event, stripe: StripeAccount) -> list[Fact]:
    code = event.payload if event.speaks_our_version else await stripe.promotion_code(event.payload["id"])
    return [shapes.code_changed(code, event.id, event.created)] if code is not None else []


async def _coupon_deleted(event: Event, stripe: StripeAccount) -> list[Fact]:
    return [shapes.coupon_deleted(event.payload, event.id, event.created)]


async def _nothing_to_do(event: Event, stripe: StripeAccount) -> list[Fact]:
    """News that moves no commission: what was not paid has earned nothing yet."""
    return []


_TRANSLATORS: dict[str, Callable[[Event, StripeAccount], Awaitable[list[Fact]]]] = {
    "charge.dispute.closed": _dispute_changed,
    "charge.dispute.created": _dispute_changed,
    "charge.dispute.funds_reinstated": _dispute_changed,
    "charge.dispute.funds_withdrawn": _dispute_changed,
    "charge.dispute.updated": _dispute_changed,
    "charge.refunded": _charge_refunded,
    "checkout.session.async_payment_failed": _nothing_to_do,
    "checkout.session.async_payment_succeeded": _checkout_completed,
    "checkout.session.completed": _checkout_completed,
    "coupon.created": _nothing_to_do,
    "coupon.deleted": _coupon_deleted,
    "coupon.updated": _nothing_to_do,
    "credit_note.created": _credit_note_changed,
    "credit_note.updated": _credit_note_changed,
    "credit_note.voided": _credit_note_changed,
    "customer.subscription.created": _subscription_changed,
    "customer.subscription.deleted": _subscription_deleted,
    "customer.subscription.updated": _subscription_changed,
    "invoice.paid": _invoice_paid,
    "invoice.payment_failed": _nothing_to_do,
    "invoice.payment_succeeded": _invoice_paid,
    "invoice.voided": _nothing_to_do,
    "invoice_payment.paid": _invoice_payment_paid,
    "promotion_code.created": _code_changed,
    "promotion_code.updated": _code_changed,
    "refund.created": _refund_changed,
    "refund.failed": _refund_changed,
    "refund.updated": _refund_changed,
}
