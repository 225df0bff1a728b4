"""What an explanation can be asked after: a sale or what paid it, a customer, or a code. They may have many sales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.explanations import CodeView, SaleView


@dataclass(frozen=True, slots=True)
class Subject:
    """What was asked after, in words, and its newest sales."""

    about: str | None
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
    counted = [sale for sale in sales if sale.outcome != "duplicate"]
    about = f"This payment paid several sales. {_how_many('it', counted)}" if len(counted) > 1 else None
    return Subject(about, sales)


def customer(context: Context, email: str) -> Subject:
    """A customer by e-mail address."""
    session, organization_id = context.session, context.organization_id
    sales = storage.explanations.sales_of_email(session, organization_id, email.lower())
    found = storage.explanations.signups(session, organization_id, email.lower())
    signups = [f"{signup.affiliate_name} on {signup.created_at:%Y-%m-%d}" for signup in found[:3]]
    about = [f"Signups of this customer: {', '.join(signups)}."] if signups else []
    if not sales:
        about += [] if signups else ["No signup of this customer is known."]
        about.append(
            "No sale with this address has arrived. A sale may carry another address, or not be paid or told yet: "
            "see tracking_health."
        )
    if len(sales) > 1:
        about.append(_how_many("this customer", sales))
    return Subject(" ".join(about) or None, sales)


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
    sales = storage.explanations.sales_of_codes(session, organization_id, found)
    about = [_about(each) for each in found[:3]]
    if not sales:
        about.append(
            "No sale with it has arrived: it was not redeemed, or the news has not come (see tracking_health)."
        )
    if len(sales) > 1:
        about.append(_how_many("it", sales))
    return Subject(" ".join(about), sales)


def _about(code: CodeView) -> str:
    ended = code.status == "Inactive" and code.deactivated_at
    state = {"Active": "is live", "Pending": "is being made in Stripe", "Inactive": "is dead"}[code.status]
    state = f"ended on {code.deactivated_at:%Y-%m-%d}" if ended else state
    clicks = "" if code.overrides_clicks else " It stands behind clicks on other affiliates' links."
    earns = code.affiliate_status == "Approved"
    nothing = "" if earns else f" They are {code.affiliate_status}, so new sales with it earn them nothing."
    return f"The code {code.code} of {code.affiliate_name} {state}.{nothing}{clicks}"


def _how_many(whose: str, sales: Sequence[SaleView]) -> str:
    most = storage.explanations.MOST_SALES
    return f"Of the {f'more than {most}' if len(sales) > most else len(sales)} sales of {whose} the newest:"
