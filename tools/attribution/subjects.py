"""What an explanation can be asked after: a sale or what paid it, a customer, or a code. They may have many sales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.explanations import CodeView, SaleView, SignupView


@dataclass(frozen=True, slots=True)
class Subject:
    """What was asked after, in sentences, and its newest sales."""

    about: Sequence[str]
    sales: Sequence[SaleView]


def source(context: Context, source_id: str) -> Subject:
    """A sale by Stripe's id, or the seller's own; or the sales that a payment paid.

    Raises:
        NotFound: no such sale has arrived.
    """
    sales = storage.explanations.sales_by_source_id(context.session, context.organization_id, source_id)
    if not sales:
        raise NotFound(
            "No sale of this id has arrived. Give the id of an invoice (in_), a checkout session (cs_), a payment intent "
            "(pi_) or your own; it arrives once it is paid. find_missed_sales asks Stripe for what did not, and "
            "tracking_health says whether news is missing.",
            field="sourceId",
        )
    return Subject(_how_many("sales that this payment paid", sales), sales)


def customer(context: Context, email: str) -> Subject:
    """A customer by e-mail address."""
    session, organization_id = context.session, context.organization_id
    sales = _told_first(storage.explanations.sales_of_email(session, organization_id, email.lower()))
    found = storage.explanations.signups(session, organization_id, email.lower())
    signups = [_signup(each, *sales[:1]) for each in found[:3]]
    about = [f"Signups of this customer: {', '.join(signups)}."] if signups else []
    if not sales:
        about += [] if signups else ["No signup of this customer is known."]
        about.append(
            "No sale with this address has arrived. A sale may carry another address, or not be paid or told yet: "
            "see tracking_health."
        )
    return Subject([*about, *_how_many("sales to this customer", sales)], sales)


def code(context: Context, text: str) -> Subject:
    """A code by its text.

    Raises:
        NotFound: no code here has or had this text.
    """
    session, organization_id = context.session, context.organization_id
    found = storage.explanations.codes(session, organization_id, codes.normalise(text))
    if not found:
        raise NotFound(
            "No code here has this text, so its sales credit nobody. If it is in Stripe, find it with "
            "list_adoptable_codes and give it to an affiliate with adopt_promotion_code.",
            field="code",
        )
    sales = _told_first(storage.explanations.sales_of_codes(session, organization_id, found))
    about = [_about(each, context.now) for each in found[:3]]
    if not sales:
        about.append(
            "No sale with it has arrived: it was not redeemed, or the news has not come (see tracking_health)."
        )
    return Subject([*about, *_how_many("sales with it", sales)], sales)


def _about(code: CodeView, now: datetime) -> str:
    clicks = "" if code.overrides_clicks else " It stands behind clicks on other affiliates' links."
    earns = code.affiliate_status == "Approved"
    nothing = "" if earns else f" They are {code.affiliate_status}, so new sales with it earn them nothing."
    return f"The code {code.code} of {code.affiliate_name} {_state(code, now)}.{nothing}{clicks}"


def _state(code: CodeView, now: datetime) -> str:
    if code.status == "Pending":
        return "is being made in Stripe"
    if code.status == "Inactive":
        return f"ended on {code.deactivated_at:%Y-%m-%d}" if code.deactivated_at else "is dead"
    if code.ends_at is not None and code.ends_at <= now:
        return f"expired on {code.ends_at:%Y-%m-%d}"
    # How often it was redeemed only Stripe knows: sales may be missed, and renewals are no redemptions.
    limit = code.max_redemptions
    return "is live" if limit is None else f"is live until its redemption limit of {limit:,} is reached"


def _signup(signup: SignupView, sale: SaleView | None = None) -> str:
    """A signup, and whether it came too late to be a claim on the sale that is told."""
    text = f"{signup.affiliate_name} on {signup.created_at:%Y-%m-%d}"
    if sale is None or signup.created_at <= sale.occurred_at:
        return text
    # One that was recorded later may have been a claim all the same: Stripe's times are whole seconds, and an earlier
    # order that cost nothing may have been the signup.
    is_claim = signup.lead_id in {claim["reference"] for claim in sale.decision["candidates"]}
    return text if is_claim else f"{text} (after the newest sale)"


def _each_once(sales: Sequence[SaleView]) -> list[SaleView]:
    """Without the checkouts that are one sale with an invoice that is there too."""
    invoices = {sale.source_id for sale in sales if sale.source == "invoice"}
    return [sale for sale in sales if sale.double_of not in invoices]


def _told_first(sales: Sequence[SaleView]) -> list[SaleView]:
    """The newest sale, by its invoice where it has one too, and then the others."""
    told = _each_once(sales)[:1]
    return [*told, *(sale for sale in sales if sale not in told)]


def _how_many(what: str, sales: Sequence[SaleView]) -> list[str]:
    """What goes before the newest of several sales; of one, nothing."""
    counted = len(_each_once(sales))
    number = f"more than {counted - 1}" if len(sales) > storage.explanations.MOST_SALES else str(counted)
    return [f"The newest of {number} {what}:"] if counted > 1 else []
