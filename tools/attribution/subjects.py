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
            "No sale of this Stripe id has arrived. Run `rekomi-mcp sync` to read Stripe's events now.",
            field="sourceId",
        )
    counted = [sale for sale in sales if sale.outcome != "duplicate"]
    about = "This payment paid several sales." + _how_many(counted) if len(counted) > 1 else None
    return Subject(about, sales)


def customer(context: Context, email: str) -> Subject:
    """A customer by e-mail address."""
    session, organization_id = context.session, context.organization_id
    sales = storage.explanations.sales_of_email(session, organization_id, email.lower())
    found = storage.explanations.signups(session, organization_id, email.lower())
    signups = [f"{signup.affiliate_name} on {signup.created_at:%Y-%m-%d}" for signup in found[:3]]
    about = f"Signups of this customer: {', '.join(signups)}." if signups else "No signup of this customer is known."
    if not sales:
        about += (
            " No sale with this address has arrived. A sale may carry another address, or not have arrived yet: "
            "see tracking_health."
        )
    return Subject(about + _how_many(sales), sales)


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
    about = " ".join(map(_about, found[:3]))
    if not sales:
        about += " No sale with it has arrived: it was not redeemed, or the news has not come (see tracking_health)."
    return Subject(about + _how_many(sales), sales)


def _about(code: CodeView) -> str:
    ended = code.status == "Inactive" and code.deactivated_at
    until = f", which ended on {code.deactivated_at:%Y-%m-%d}" if ended else ""
    state = {"Active": "is live", "Pending": "is being made in Stripe", "Inactive": "is dead"}[code.status]
    clicks = "" if code.overrides_clicks else " It stands behind clicks on other affiliates' links."
    earns = code.affiliate_status == "Approved"
    nothing = "" if earns else f" They are {code.affiliate_status}, so new sales with it earn them nothing."
    return f"The code {code.code} of {code.affiliate_name} {state}{until}.{nothing}{clicks}"


def _how_many(sales: Sequence[SaleView]) -> str:
    if len(sales) < 2:
        return ""
    most = storage.explanations.MOST_SALES
    return f" Of its {f'more than {most}' if len(sales) > most else len(sales)} sales the newest:"
