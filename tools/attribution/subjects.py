"""What else an explanation can be asked after: a customer, or a code. Both may have many sales, or none yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import AffiliateCodeRow, SaleRow

MOST_SALES = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """What was asked after, in words, and its newest sales."""

    about: str
    sales: Sequence[SaleRow]


def customer(context: Context, email: str) -> Subject:
    """A customer by e-mail address."""
    session, organization_id = context.session, context.organization_id
    sales = storage.sales.of_email(session, organization_id, email.lower(), MOST_SALES + 1)
    leads = storage.leads.by_emails(session, organization_id, [email]).get(email.lower(), [])
    names = storage.affiliates.names(session, organization_id, (lead.affiliate_id for lead in leads))
    signups = [f"{names[lead.affiliate_id]} on {lead.created_at:%Y-%m-%d}" for lead in leads[:3]]
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
    rows = storage.codes.with_text(session, organization_id, codes.normalise(text))
    if not rows:
        raise NotFound(
            "No code here has this text, so its sales credit nobody. If it is in Stripe, find it with "
            "list_adoptable_codes and give it to an affiliate with adopt_promotion_code.",
            field="code",
        )
    names = storage.affiliates.names(session, organization_id, (row.affiliate_id for row in rows))
    sales = storage.sales.of_codes(session, organization_id, rows, MOST_SALES + 1)
    about = " ".join(_about(context, row, names[row.affiliate_id]) for row in rows[:3])
    if not sales:
        about += " No sale with it has arrived: it was not redeemed, or the news has not come (see tracking_health)."
    return Subject(about + _how_many(sales), sales)


def _about(context: Context, row: AffiliateCodeRow, name: str) -> str:
    until = f", which ended on {row.deactivated_at:%Y-%m-%d}" if row.status == "Inactive" and row.deactivated_at else ""
    state = {"Active": "is live", "Pending": "is being made in Stripe", "Inactive": "is dead"}[row.status]
    coupon = storage.campaign_coupons.get(context.session, context.organization_id, row.campaign_coupon_id)
    yields = coupon is not None and not coupon.overrides_click_attribution
    clicks = " It stands behind clicks on other affiliates' links." if yields else ""
    return f"The code {row.code} of {name} {state}{until}.{clicks}"


def _how_many(sales: Sequence[SaleRow]) -> str:
    if len(sales) < 2:
        return ""
    return f" Of its {f'more than {MOST_SALES}' if len(sales) > MOST_SALES else len(sales)} sales the newest:"
