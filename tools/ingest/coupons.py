"""What the merchant does in Stripe by hand: codes switched off and on, coupons deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import CodeChanged, CouponDeleted
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.known import Known

if TYPE_CHECKING:
    from datetime import datetime

    from rekomi_mcp.storage.tables import AffiliateCodeRow


class CodeNote(BaseModel):
    """What the audit log keeps of it."""

    code: str
    status: str
    inStripe: str


def note_code(context: Context, known: Known, fact: CodeChanged) -> None:
    """A code of ours was switched off or on in Stripe; older news than what is known changes nothing."""
    row = known.codes_by_promotion.get(fact.promotion_code_id)
    if row is None:
        return
    told_at = max(filter(None, (row.told_at, row.deactivated_at)), default=None)
    if told_at is not None and (fact.occurred_at < told_at or (fact.occurred_at == told_at and fact.active)):
        return
    row.told_at = fact.occurred_at
    if not fact.active and row.status != "Inactive":
        _end(context, row, fact.occurred_at, "deactivated")
    elif fact.active and row.status == "Inactive" and _may_live(context, known, row):
        row.status, row.deactivated_at = "Active", None
        _note(context, row, "activated")


def note_coupon(context: Context, known: Known, fact: CouponDeleted) -> None:
    """A coupon of ours was deleted in Stripe, and its codes are dead. Whom they brought stays whose it is."""
    coupons = [row for row in known.coupons.values() if row.stripe_coupon_id == fact.coupon_id]
    for row in coupons:
        was_archived_later = row.archived_at is not None and fact.occurred_at < row.archived_at
        if row.status != "Archived" or (was_archived_later and not row.ended_in_stripe):
            row.status, row.archived_at, row.ended_in_stripe = "Archived", fact.occurred_at, True
            context.changed("campaign_coupon", row.id, action="campaign_coupon.deleted_in_stripe")
    for code in storage.codes.live_of_coupons(context.session, context.organization_id, (row.id for row in coupons)):
        code.told_at = fact.occurred_at
        _end(context, code, fact.occurred_at, "coupon deleted")


def _may_live(context: Context, known: Known, row: AffiliateCodeRow) -> bool:
    """Whether nothing here speaks against it: a text that another code has taken since, a coupon that is archived."""
    taken = storage.codes.live_by_text(context.session, context.organization_id, row.code)
    return taken is None and known.coupons[row.campaign_coupon_id].status == "Active"


def _end(context: Context, row: AffiliateCodeRow, at: datetime, why: str) -> None:
    row.status, row.deactivated_at = "Inactive", at
    _note(context, row, why)


def _note(context: Context, row: AffiliateCodeRow, why: str) -> None:
    note = CodeNote(code=row.code, status=row.status, inStripe=why)
    context.changed("affiliate_code", row.id, after=note, action=f"affiliate_code.{why.replace(' ', '_')}_in_stripe")
