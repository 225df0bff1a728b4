"""Translate Stripe's objects into the facts that ingest understands. Works on plain JSON, in the pinned API version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from rekomi_mcp.domain import slugs
from rekomi_mcp.domain.sales import (
    CodeChanged,
    CouponDeleted,
    Payment,
    Referral,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionEnded,
    SubscriptionStarted,
)

JsonObject = dict[str, Any]

_CLICK, _LINK = "rekomi_click", "rekomi_ref"
"""Metadata by which a seller says who brought a checkout: a click's id, or the slug of an affiliate's link."""
_IN_INVOICE, _PERHAPS = 1, 2
"""What the metadata of an invoice, and what client_reference_id is behind: the metadata of the checkout itself."""
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFUND = {
    "succeeded": ReversalStatus.Succeeded,
    "pending": ReversalStatus.Pending,
    "requires_action": ReversalStatus.Pending,
    "failed": ReversalStatus.Failed,
    "canceled": ReversalStatus.Failed,
}
_DISPUTE = {
    "warning_needs_response": ReversalStatus.Pending,
    "warning_under_review": ReversalStatus.Pending,
    "warning_closed": ReversalStatus.Failed,
    "lost": ReversalStatus.Succeeded,
    "won": ReversalStatus.Failed,
    "prevented": ReversalStatus.Failed,
}
"""In any other status it is open: the money is in dispute. An inquiry (`warning_…`) has moved none."""


_THRESHOLD = "subscription_threshold"
"""Usage went over a limit, in the middle of a period."""
_MAY_FALL_BETWEEN_PERIODS = ("automatic_pending_invoice_item_invoice", "manual", "subscription_update")
"""Why an invoice of a subscription was written that need not begin a period of it: its lines tell."""


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
        payments=tuple(Payment(p, amount) for (p, _), amount in _paid_parts(_list(invoice, "payments")).items()),
        is_counted=_is_counted(invoice),
        referral=_referral(
            _part(_part(_part(invoice, "parent"), "subscription_details"), "metadata"),
            _part(invoice, "metadata"),
            rank=_IN_INVOICE,
        ),
    )


def subscription_of_invoice(invoice: JsonObject) -> str | None:
    details = _part(_part(invoice, "parent"), "subscription_details")
    return id_of(details.get("subscription"))


def is_first(invoice: JsonObject) -> bool:
    """Whether its subscription began with it, so that nothing was paid before."""
    return invoice.get("billing_reason") == "subscription_create"


def lacks_lines(invoice: JsonObject) -> bool:
    """True when whether the invoice counts hangs on lines that it does not show: prorations come first in it."""
    hangs_on_lines = invoice.get("billing_reason") in _MAY_FALL_BETWEEN_PERIODS and subscription_of_invoice(invoice)
    return bool(hangs_on_lines and _part(invoice, "lines").get("has_more") and not _is_counted(invoice))


def with_lines(invoice: JsonObject, lines: list[JsonObject]) -> JsonObject:
    """The invoice with all of its lines."""
    return {**invoice, "lines": {**_part(invoice, "lines"), "data": lines, "has_more": False}}


def _is_counted(invoice: JsonObject) -> bool:
    """Whether it is one of its subscription's payments: it bills a period anew, not a change or an extra within one.

    A trial that is ended early, a free plan that becomes a paid one and another rhythm begin a period by an update.
    """
    reason = invoice.get("billing_reason")
    if subscription_of_invoice(invoice) is None or reason not in (_THRESHOLD, *_MAY_FALL_BETWEEN_PERIODS):
        return True
    return reason != _THRESHOLD and any(_bills_a_period(line) for line in _list(invoice, "lines"))


def _bills_a_period(line: JsonObject) -> bool:
    item = _part(_part(line, "parent"), "subscription_item_details")
    return bool(item) and not item.get("proration") and int(line["amount"]) > 0


def session_sale(session: JsonObject, event_id: str, occurred_at: datetime) -> Sale | None:
    """A completed checkout without an invoice as a sale; None when the money is still on its way, or an invoice has it.

    One that only keeps a card for later sells nothing, and may have no currency.
    """
    if session.get("invoice") or session.get("subscription") or session.get("payment_status") == "unpaid":
        return None
    if session.get("mode") == "setup" or not session.get("currency"):
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
        payments=tuple(Payment(p) for p in [id_of(session.get("payment_intent"))] if p is not None),
        referral=session_referral(session),
    )


def at_checkout(sale: Sale, session: JsonObject) -> Sale:
    """An invoice's sale with the code and the click that its checkout knows of; the invoice need not repeat them."""
    codes, referral = promotion_codes(session.get("discounts")), session_referral(session)
    return replace(
        sale,
        promotion_code_ids=tuple(dict.fromkeys((*codes, *sale.promotion_code_ids))),
        referral=referral.merged(sale.referral) if referral is not None else sale.referral,
        checkout_id=session["id"],
    )


def session_referral(session: JsonObject) -> Referral | None:
    """Who brought a checkout, as its metadata or its client_reference_id says.

    The seller may use client_reference_id for something else: what is neither a click nor a slug of ours is nobody's.
    """
    named = _referral(_part(session, "metadata"))
    if named is not None:
        return named
    reference = _reference(session.get("client_reference_id"))
    if reference is None:
        return None
    slug = reference.lower()
    return Referral(click_id=reference, slug=slug if slugs.is_valid(slug) else None, rank=_PERHAPS)


def _referral(*owners: JsonObject, rank: int = 0) -> Referral | None:
    """What the first of these metadata that names a click or a link says of who brought the sale."""
    for owner in owners:
        click, slug = _reference(owner.get(_CLICK)), _reference(owner.get(_LINK))
        if click or slug:
            return Referral(click_id=click, slug=slug and slug.lower(), rank=rank)
    return None


def _reference(value: Any) -> str | None:
    """A click's id or a slug; None for whatever cannot be either, which a visitor may have written into an address."""
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else None


def session_subscription(session: JsonObject, event_id: str) -> SubscriptionStarted | None:
    """The subscription a checkout began, with the code that was typed there and the click that led to it."""
    subscription_id = id_of(session.get("subscription"))
    if subscription_id is None:
        return None
    return SubscriptionStarted(
        subscription_id=subscription_id,
        customer_id=id_of(session.get("customer")),
        event_id=event_id,
        occurred_at=at(session["created"]),
        promotion_code_ids=promotion_codes(session.get("discounts")),
        referral=session_referral(session),
        at_checkout=True,
    )


def subscription_started(subscription: JsonObject, event_id: str, told_at: datetime) -> list[SubscriptionStarted]:
    """What ties a subscription to affiliates, by the time it was put on: at the beginning, or later by hand.

    Its discounts must be expanded.
    """
    begun = int(subscription["created"])
    owners = [subscription, *_list(subscription, "items")]
    codes: dict[int, list[str]] = {}
    for discount in (d for owner in owners for d in _discounts(owner) if isinstance(d, dict)):
        code, start = id_of(discount.get("promotion_code")), int(discount.get("start") or begun)
        if code is not None:
            codes.setdefault(max(start, begun), []).append(code)
    referral = _referral(_part(subscription, "metadata"))
    if referral is not None:
        codes.setdefault(begun, [])
    return [
        SubscriptionStarted(
            subscription_id=subscription["id"],
            customer_id=id_of(subscription.get("customer")),
            event_id=event_id,
            occurred_at=at(start),
            promotion_code_ids=tuple(dict.fromkeys(of_start)),
            referral=referral if start == begun else None,
            told_at=told_at,
        )
        for start, of_start in sorted(codes.items())
    ]


def lacks_discounts(subscription: JsonObject, told: JsonObject) -> bool:
    """Whether a subscription, asked for again, no longer has all the discounts that its event told of."""
    left = {id_of(discount) for discount in _discounts(subscription)}
    return any(id_of(discount) not in left for discount in _discounts(told))


def with_discounts(subscription: JsonObject, told: JsonObject, invoice: JsonObject) -> JsonObject:
    """The subscription with the discounts its event told of, in that order: those that are gone, from its invoice."""
    found = {id_of(d): d for owner in (invoice, subscription) for d in _discounts(owner) if isinstance(d, dict)}
    return {**subscription, "discounts": [found[i] for d in _discounts(told) if (i := id_of(d)) in found]}


def subscription_ended(subscription: JsonObject, event_id: str, occurred_at: datetime) -> SubscriptionEnded:
    ended_at = subscription.get("ended_at")
    return SubscriptionEnded(subscription["id"], event_id, at(ended_at) if ended_at else occurred_at)


def refund(stripe_refund: JsonObject, event_id: str, told_at: datetime) -> Reversal:
    """A refund where it stands now. One that failed did so about when we were told, not when it was made."""
    # A refund without a status dates from before refunds had one: its money has moved.
    status = _REFUND[stripe_refund.get("status") or "succeeded"]
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
        told_at=told_at,
    )


def dispute(stripe_dispute: JsonObject, event_id: str, told_at: datetime) -> Reversal:
    """A dispute or an inquiry where it stands now, in the currency that was charged."""
    status = _DISPUTE.get(stripe_dispute["status"], ReversalStatus.Open)
    return Reversal(
        id=stripe_dispute["id"],
        kind=ReversalKind.Dispute,
        event_id=event_id,
        occurred_at=at(stripe_dispute["created"]) if status is ReversalStatus.Pending else told_at,
        currency=stripe_dispute["currency"].upper(),
        amount_minor=int(stripe_dispute["amount"]),
        status=status,
        payment_intent_id=id_of(stripe_dispute.get("payment_intent")),
        charge_id=id_of(stripe_dispute.get("charge")),
        told_at=told_at,
    )


def credit_note(note: JsonObject, event_id: str, told_at: datetime) -> Reversal | None:
    """What a credit note takes off a sale besides its refunds, which are told by themselves; None when that is nothing.

    Before the payment it lowers what is owed; after it, it may give money back outside of Stripe or as a balance.
    """
    refunded = sum(int(row.get("amount_refunded") or 0) for row in note.get("refunds") or ())
    credited = int(note.get("pre_payment_amount") or 0) + int(note.get("post_payment_amount") or 0) - refunded
    invoice_id = id_of(note.get("invoice"))
    if credited <= 0 or invoice_id is None:
        return None
    return Reversal(
        id=note["id"],
        kind=ReversalKind.CreditNote,
        event_id=event_id,
        occurred_at=told_at if note.get("status") == "void" else at(note["created"]),
        currency=note["currency"].upper(),
        amount_minor=credited,
        status=ReversalStatus.Failed if note.get("status") == "void" else ReversalStatus.Succeeded,
        told_at=told_at,
        sale=(SaleSource.Invoice, invoice_id),
    )


def code_changed(promotion_code: JsonObject, event_id: str, told_at: datetime) -> CodeChanged:
    return CodeChanged(promotion_code["id"], bool(promotion_code["active"]), event_id, told_at)


def coupon_deleted(coupon: JsonObject, event_id: str, told_at: datetime) -> CouponDeleted:
    return CouponDeleted(coupon["id"], event_id, told_at)


def has_unexpanded_discounts(owner: JsonObject, lines: str) -> bool:
    """True when the object names discounts only by id, so their promotion codes must be asked for."""
    owners = [owner, *_list(owner, lines)]
    return any(isinstance(discount, str) for o in owners for discount in _discounts(o))


def lacks_payments(invoice: JsonObject) -> bool:
    """True when the object does not say what paid it, and a checkout may have told of the same payment.

    A subscription's invoice is never a checkout's second telling: such a checkout names its subscription.
    """
    return invoice.get("payments") is None and subscription_of_invoice(invoice) is None


def payment_intents(invoice: JsonObject) -> list[str]:
    """What paid the invoice, as far as checkouts may know of it."""
    found = (id_of(_part(row, "payment").get("payment_intent")) for row in _list(invoice, "payments"))
    return list(dict.fromkeys(filter(None, found)))


def paid_invoices(invoice_payments: Iterable[JsonObject], event_id: str) -> list[SaleReference]:
    """The invoices that payments went into."""
    return [
        SaleReference(payment_id, SaleSource.Invoice, invoice_id, event_id, amount)
        for (payment_id, invoice_id), amount in _paid_parts(invoice_payments).items()
        if invoice_id is not None
    ]


def promotion_codes(discounts: Any) -> tuple[str, ...]:
    """Promotion code ids of expanded discounts, in Stripe's order."""
    rows = cast(list[JsonObject | str], discounts or [])
    found = (id_of(row.get("promotion_code")) for row in rows if isinstance(row, dict))
    return tuple(code for code in found if code is not None)


def code_texts(owner: JsonObject) -> dict[str, str]:
    """What customers type, by promotion code id, where discounts and their codes are expanded."""
    discounts = (discount for discount in _discounts(owner) if isinstance(discount, dict))
    codes = (cast(JsonObject, c) for d in discounts if isinstance(c := d.get("promotion_code"), dict))
    return {str(code["id"]): str(code["code"]) for code in codes}


def _promotion_codes_of_invoice(invoice: JsonObject) -> Iterator[str]:
    yield from promotion_codes(invoice.get("discounts"))
    for line in _list(invoice, "lines"):
        yield from promotion_codes(line.get("discounts"))


def _paid_parts(invoice_payments: Iterable[JsonObject]) -> dict[tuple[str, str | None], int | None]:
    """How much of each payment went into each invoice, where that is told, by their ids. What is open has paid nothing."""
    found: dict[tuple[str, str | None], int | None] = {}
    for row in invoice_payments:
        if row.get("status", "paid") != "paid":
            continue
        details, invoice_id = _part(row, "payment"), id_of(row.get("invoice"))
        for payment_id in filter(None, (id_of(details.get(kind)) for kind in ("payment_intent", "charge"))):
            before, amount = found.get((payment_id, invoice_id)), row.get("amount_paid")
            found[payment_id, invoice_id] = before if amount is None else (before or 0) + int(amount)
    return found


def _part(owner: JsonObject, name: str) -> JsonObject:
    """A nested object; empty when it is null or absent."""
    return cast(JsonObject, owner.get(name) or {})


def _discounts(owner: JsonObject) -> list[JsonObject | str]:
    return cast(list[JsonObject | str], owner.get("discounts") or [])


def _list(owner: JsonObject, name: str) -> list[JsonObject]:
    """The rows of a nested list object; none when it is null or absent."""
    return cast(list[JsonObject], _part(owner, name).get("data") or [])
