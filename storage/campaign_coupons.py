"""Campaign coupons: the discounts behind affiliates' codes."""

from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.tables import CampaignCouponRow


def get(session: Session, organization_id: str, coupon_id: str) -> CampaignCouponRow | None:
    row = session.get(CampaignCouponRow, coupon_id)
    return row if row is not None and row.organization_id == organization_id else None


def by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, CampaignCouponRow]:
    if not (wanted := set(ids)):
        return {}
    query = select(CampaignCouponRow).where(
        CampaignCouponRow.organization_id == organization_id, col(CampaignCouponRow.id).in_(wanted)
    )
    return {row.id: row for row in session.exec(query)}


def by_stripe_ids(session: Session, organization_id: str, stripe_ids: Iterable[str]) -> dict[str, CampaignCouponRow]:
    """By our id, those whose coupon in Stripe is one of these: a coupon may serve several programs."""
    if not (wanted := set(stripe_ids)):
        return {}
    query = select(CampaignCouponRow).where(
        CampaignCouponRow.organization_id == organization_id, col(CampaignCouponRow.stripe_coupon_id).in_(wanted)
    )
    return {row.id: row for row in session.exec(query)}


def active_of_program(session: Session, organization_id: str, program_id: str) -> Sequence[CampaignCouponRow]:
    query = (
        select(CampaignCouponRow)
        .where(
            CampaignCouponRow.organization_id == organization_id,
            CampaignCouponRow.program_id == program_id,
            CampaignCouponRow.status == "Active",
        )
        .order_by(col(CampaignCouponRow.created_at).desc(), col(CampaignCouponRow.id).desc())
        .limit(20)
    )
    return session.exec(query).all()


def live_in_stripe(session: Session, organization_id: str, limit: int) -> list[tuple[str, str, str]]:
    """The newest campaign coupons that should be in Stripe: our id, the name and the coupon's id there."""
    query = (
        select(CampaignCouponRow.id, CampaignCouponRow.name, col(CampaignCouponRow.stripe_coupon_id))
        .where(
            CampaignCouponRow.organization_id == organization_id,
            CampaignCouponRow.status == "Active",
            col(CampaignCouponRow.stripe_coupon_id).is_not(None),
        )
        .order_by(col(CampaignCouponRow.created_at).desc(), col(CampaignCouponRow.id).desc())
        .limit(limit)
    )
    return [(row_id, name, str(stripe_id)) for row_id, name, stripe_id in session.exec(query)]


def of_stripe_coupon(
    session: Session, organization_id: str, program_id: str, stripe_coupon_id: str
) -> CampaignCouponRow | None:
    """The program's campaign coupon that stands for a coupon in Stripe; a live one before those that were archived."""
    query = (
        select(CampaignCouponRow)
        .where(
            CampaignCouponRow.organization_id == organization_id,
            CampaignCouponRow.program_id == program_id,
            CampaignCouponRow.stripe_coupon_id == stripe_coupon_id,
        )
        .order_by((col(CampaignCouponRow.status) == "Archived").asc(), col(CampaignCouponRow.created_at).desc())
        .limit(1)
    )
    return session.exec(query).first()


def page(
    session: Session, organization_id: str, program_id: str | None, include_archived: bool, window: Window
) -> Page[CampaignCouponRow]:
    query = select(CampaignCouponRow).where(CampaignCouponRow.organization_id == organization_id)
    if program_id is not None:
        query = query.where(CampaignCouponRow.program_id == program_id)
    if not include_archived:
        query = query.where(CampaignCouponRow.status != "Archived")
    return newest_first(
        session, query, "campaign_coupons", col(CampaignCouponRow.created_at), col(CampaignCouponRow.id), window
    )
