"""Find the row an argument names, or refuse in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import (
    AffiliateNotApproved,
    InvalidInput,
    NotFound,
    ProgramArchived,
    StripeNotConnected,
)
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import AffiliateLinkRow, AffiliateRow, CampaignCouponRow, ProgramRow


def organization(context: Context) -> OrganizationView:
    row = storage.organizations.get(context.session, context.organization_id)
    assert row is not None, "the caller was identified by this row"
    return row


def program(context: Context, program_id: str, *, field: str = "programId") -> ProgramRow:
    row = storage.programs.get(context.session, context.organization_id, program_id)
    if row is None:
        raise NotFound("No program has this id. Find it with list_programs.", field=field)
    return row


def live_program(context: Context, program_id: str | None) -> ProgramRow:
    """The named program, or, when none is named, the only one there is.

    Raises:
        NotFound: no such program, or none at all yet.
        ProgramArchived: it no longer takes anything new.
        InvalidInput: none named, and several to choose from.
    """
    if program_id is not None:
        row = program(context, program_id)
        if row.archived_at is not None:
            raise ProgramArchived("This program is archived. Choose a live one from list_programs.", field="programId")
        return row
    rows = storage.programs.live(context.session, context.organization_id, limit=2)
    if not rows:
        raise NotFound("There is no program yet. Make one with create_program.", field="programId")
    if len(rows) > 1:
        raise InvalidInput("There are several programs; name one by programId. See list_programs.", field="programId")
    return rows[0]


def require_live_program(context: Context, row: AffiliateRow, *, field: str) -> None:
    """Refuse an affiliate whose program takes nothing new.

    Args:
        field: the argument that named the affiliate.
    """
    if program(context, row.program_id).archived_at is not None:
        raise ProgramArchived(
            "This affiliate's program is archived. Choose an affiliate of a live one from list_affiliates.", field=field
        )


def affiliate(context: Context, affiliate_id: str, *, field: str = "affiliateId") -> AffiliateRow:
    row = storage.affiliates.get(context.session, context.organization_id, affiliate_id)
    if row is None:
        raise NotFound("No affiliate has this id. Find it with list_affiliates.", field=field)
    return row


def approved_affiliate(context: Context, affiliate_id: str) -> AffiliateRow:
    row = affiliate(context, affiliate_id)
    require_approved(row, field="affiliateId")
    return row


def require_approved(row: AffiliateRow, *, field: str) -> None:
    if row.status != "Approved":
        advice = (
            "Approve the affiliate with approve_affiliate first."
            if row.status == "Pending"
            else ("Set the status to Approved with update_affiliate first.")
        )
        raise AffiliateNotApproved(f"This affiliate is {row.status}. {advice}", field=field)


def link(context: Context, link_id: str) -> AffiliateLinkRow:
    row = storage.links.get(context.session, context.organization_id, link_id)
    if row is None:
        raise NotFound("No link has this id. Find it with list_links.", field="linkId")
    return row


def campaign_coupon(context: Context, coupon_id: str, *, field: str = "couponId") -> CampaignCouponRow:
    row = storage.campaign_coupons.get(context.session, context.organization_id, coupon_id)
    if row is None:
        raise NotFound("No campaign coupon has this id. Find it with list_campaign_coupons.", field=field)
    return row


def stripe_account(context: Context) -> str:
    """The organization's Stripe account, "self" for the deployment's own.

    Raises:
        StripeNotConnected: the organization has none.
    """
    account = organization(context).stripe_account
    if account is None:
        raise StripeNotConnected(
            "No Stripe account is linked to this organization. Link one with `rekomi-mcp org link-stripe`."
        )
    return account
