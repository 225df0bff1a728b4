"""Affiliate codes: which text and which promotion code belong to whom."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.rows import parts
from rekomi_mcp.storage.tables import AffiliateCodeRow, ConversionRow

LIVE = ("Pending", "Active")


@dataclass(frozen=True, slots=True)
class CodeFilter:
    affiliate_id: str | None = None
    code: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Redemptions:
    """Sales made with a code, and those of them that were not refunded whole."""

    sales: int = 0
    kept: int = 0


def get(session: Session, organization_id: str, code_id: str) -> AffiliateCodeRow | None:
    row = session.get(AffiliateCodeRow, code_id)
    return row if row is not None and row.organization_id == organization_id else None


def live_by_text(session: Session, organization_id: str, code: str) -> AffiliateCodeRow | None:
    query = select(AffiliateCodeRow).where(
        AffiliateCodeRow.organization_id == organization_id,
        AffiliateCodeRow.code == code,
        col(AffiliateCodeRow.status).in_(LIVE),
    )
    return session.exec(query).first()


def live_texts(session: Session, organization_id: str, texts: Iterable[str]) -> set[str]:
    """Which of these texts are taken."""
    if not (wanted := set(texts)):
        return set()
    query = select(AffiliateCodeRow.code).where(
        AffiliateCodeRow.organization_id == organization_id,
        col(AffiliateCodeRow.code).in_(wanted),
        col(AffiliateCodeRow.status).in_(LIVE),
    )
    return set(session.exec(query))


def by_promotion_codes(
    session: Session, organization_id: str, promotion_code_ids: Iterable[str]
) -> dict[str, AffiliateCodeRow]:
    """Codes by their Stripe promotion code id, dead ones too: a code that died keeps its past."""
    query = select(AffiliateCodeRow).where(AffiliateCodeRow.organization_id == organization_id)
    return {
        str(row.stripe_promotion_code_id): row
        for wanted in parts(promotion_code_ids)
        for row in session.exec(query.where(col(AffiliateCodeRow.stripe_promotion_code_id).in_(wanted)))
    }


def by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, AffiliateCodeRow]:
    query = select(AffiliateCodeRow).where(AffiliateCodeRow.organization_id == organization_id)
    return {
        row.id: row for wanted in parts(ids) for row in session.exec(query.where(col(AffiliateCodeRow.id).in_(wanted)))
    }


def live_of_coupon(session: Session, organization_id: str, coupon_id: str) -> list[AffiliateCodeRow]:
    query = select(AffiliateCodeRow).where(
        AffiliateCodeRow.organization_id == organization_id,
        AffiliateCodeRow.campaign_coupon_id == coupon_id,
        col(AffiliateCodeRow.status).in_(LIVE),
    )
    return list(session.exec(query))


def redemptions(session: Session, organization_id: str, codes: Iterable[str]) -> dict[str, Redemptions]:
    """How often each code id was redeemed. Counted from the sales, so it cannot drift from them."""
    texts = set(codes)
    query = (
        select(
            ConversionRow.code_id,
            func.count(),
            func.count().filter(col(ConversionRow.state) != "Refunded"),
        )
        .where(
            ConversionRow.organization_id == organization_id,
            col(ConversionRow.code).in_(texts),
            ConversionRow.method == "coupon",
        )
        .group_by(col(ConversionRow.code_id))
    )
    return {str(code_id): Redemptions(sales, kept) for code_id, sales, kept in session.exec(query)}


def page(session: Session, organization_id: str, wanted: CodeFilter, window: Window) -> Page[AffiliateCodeRow]:
    query = select(AffiliateCodeRow).where(AffiliateCodeRow.organization_id == organization_id)
    if wanted.affiliate_id is not None:
        query = query.where(AffiliateCodeRow.affiliate_id == wanted.affiliate_id)
    if wanted.code is not None:
        query = query.where(AffiliateCodeRow.code == wanted.code.strip().upper())
    if wanted.status is not None:
        query = query.where(AffiliateCodeRow.status == wanted.status)
    return newest_first(
        session, query, "affiliate_codes", col(AffiliateCodeRow.created_at), col(AffiliateCodeRow.id), window
    )


def live_of_coupons(session: Session, organization_id: str, coupon_ids: Iterable[str]) -> list[AffiliateCodeRow]:
    """The live codes of these campaign coupons."""
    if not (wanted := set(coupon_ids)):
        return []
    query = select(AffiliateCodeRow).where(
        AffiliateCodeRow.organization_id == organization_id,
        col(AffiliateCodeRow.campaign_coupon_id).in_(wanted),
        col(AffiliateCodeRow.status).in_(LIVE),
    )
    return list(session.exec(query))
