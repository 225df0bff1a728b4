"""What both sides look like, without ids; and what must hold whenever nothing is under way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

import rekomi_mcp.storage as storage
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateRow,
    AuditLineRow,
    BindingRow,
    CampaignCouponRow,
    ConversionRow,
    InboxEventRow,
    LedgerEntryRow,
    OutboundCallRow,
    SaleRow,
)
from tests.support.stage import Stage, rows_of

Picture = dict[str, Any]


def picture(stage: Stage) -> Picture:
    """Both sides without ids: two runs that did the same look the same."""
    with stage.reading() as session:
        names = {row.id: row.full_name for row in rows_of(session, AffiliateRow)}
        coupons = rows_of(session, CampaignCouponRow)
        codes = rows_of(session, AffiliateCodeRow)
        sales = {row.id: row for row in rows_of(session, SaleRow)}
        conversions = rows_of(session, ConversionRow)
        entries = rows_of(session, LedgerEntryRow)
        return {
            "coupons": sorted((row.name, row.status) for row in coupons),
            "codes": sorted((names[row.affiliate_id], row.code, row.status) for row in codes),
            "coupons in Stripe": sorted(each["name"] for each in stage.stripe.coupons()),
            "codes in Stripe": sorted((each["code"], each["active"]) for each in stage.stripe.promotion_codes()),
            "sales": sorted((row.source_id, row.net_minor, row.outcome) for row in sales.values()),
            "conversions": sorted(
                (
                    sales[row.sale_id].source_id,
                    names[row.affiliate_id],
                    row.commission_minor,
                    row.remaining_minor,
                    row.state,
                )
                for row in conversions
                if row.state != "Denied"
            ),
            "balances": _balances(entries, names),
            "bound": sorted((row.kind, row.ref, names[row.affiliate_id]) for row in rows_of(session, BindingRow)),
            "inbox": dict(Counter(row.state for row in rows_of(session, InboxEventRow))),
            "done": sorted(row.action for row in rows_of(session, AuditLineRow) if row.outcome == "ok"),
        }


def _balances(entries: Sequence[LedgerEntryRow], names: dict[str, str]) -> dict[tuple[str, str], int]:
    """What the ledger adds up to, by affiliate's name and currency."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        sums[names[entry.affiliate_id], entry.currency] += entry.amount_minor
    return dict(sums)


def done(stage: Stage, action: str) -> int:
    """How often the audit log says that this was done."""
    return sum((row.action, row.outcome) == (action, "ok") for row in stage.rows(AuditLineRow))


def check_whole(stage: Stage) -> None:
    """What holds whenever nothing is under way: the two sides agree, nothing waits, and the books are whole."""
    with stage.reading() as session:
        check_books(session, stage.cast.organization)
        coupons = {row.id: row for row in rows_of(session, CampaignCouponRow)}
        codes = {row.id: row for row in rows_of(session, AffiliateCodeRow)}
        assert [row for row in rows_of(session, OutboundCallRow) if row.state == "pending"] == []
    here = {(row.id, row.stripe_coupon_id) for row in coupons.values() if row.status != "Archived"}
    there = {(each["metadata"].get("rekomi_campaign_coupon_id"), each["id"]) for each in stage.stripe.coupons()}
    assert there == here
    assert all(row.status in ("Active", "Archived") for row in coupons.values())

    made = [each for each in stage.stripe.promotion_codes() if "rekomi_affiliate_coupon_id" in each["metadata"]]
    here = {(row.id, row.stripe_promotion_code_id, row.code, row.status == "Active") for row in codes.values()}
    there = [(p["metadata"]["rekomi_affiliate_coupon_id"], p["id"], p["code"], p["active"]) for p in made]
    assert sorted(there) == sorted(here, key=str)
    assert all(row.status in ("Active", "Inactive") for row in codes.values())
    archived = {row.id for row in coupons.values() if row.status == "Archived"}
    assert [row.code for row in codes.values() if row.campaign_coupon_id in archived and row.status == "Active"] == []


def check_books(session: Session, organization: str) -> None:
    """The audit chain holds, and every conversion's remaining commission is the sum of its ledger entries."""
    assert storage.audit.verify_chain(session, organization).broken_at is None
    sums: dict[str, int] = defaultdict(int)
    for entry in rows_of(session, LedgerEntryRow):
        sums[entry.conversion_id] += entry.amount_minor
    remaining = {row.id: row.remaining_minor for row in rows_of(session, ConversionRow)}
    assert remaining == dict.fromkeys(remaining, 0) | sums, "one that never earned has no entries"
