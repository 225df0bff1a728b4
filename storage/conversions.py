"""Conversions: what each sale earned an affiliate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from sqlalchemy import ColumnElement, Select, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_columns_first
from rekomi_mcp.storage.tables import AffiliateRow, ConversionRow, LedgerEntryRow, SaleRow

OPEN, PAID, REFUNDED, DENIED = "Open", "Paid", "Refunded", "Denied"


@dataclass(frozen=True, slots=True)
class ConversionFilter:
    affiliate_id: str | None = None
    program_id: str | None = None
    status: str | None = None
    """As callers say it: Pending, Approved, Paid, Refunded or Denied."""
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ConversionView(Protocol):
    """A conversion with the name and the Stripe ids that an answer shows; a row of columns, which is cheap."""

    id: str
    affiliate_id: str
    affiliate_name: str
    program_id: str
    code: str | None
    method: str
    type: str
    amount_minor: int
    currency: str
    commission_minor: int
    commission_currency: str
    remaining_minor: int
    state: str
    occurred_at: datetime
    held_until: datetime
    refunded_at: datetime | None
    on_hold_minor: int
    flag: str | None
    source_id: str
    customer_id: str | None
    subscription_id: str | None


_VIEW: tuple[Any, ...] = (
    col(ConversionRow.id),
    col(ConversionRow.affiliate_id),
    func.coalesce(func.nullif(AffiliateRow.full_name, ""), AffiliateRow.email).label("affiliate_name"),
    col(ConversionRow.program_id),
    col(ConversionRow.code),
    col(ConversionRow.method),
    col(ConversionRow.type),
    col(ConversionRow.amount_minor),
    col(ConversionRow.currency),
    col(ConversionRow.commission_minor),
    col(ConversionRow.commission_currency),
    col(ConversionRow.remaining_minor),
    col(ConversionRow.state),
    col(ConversionRow.occurred_at),
    col(ConversionRow.held_until),
    col(ConversionRow.refunded_at),
    col(ConversionRow.on_hold_minor),
    col(ConversionRow.flag),
    col(SaleRow.source_id),
    col(SaleRow.customer_id),
    col(SaleRow.subscription_id),
)


_VIEWS: Select[*tuple[Any, ...]] = (
    select_columns(*_VIEW)
    .join(SaleRow, col(SaleRow.id) == ConversionRow.sale_id)
    .join(AffiliateRow, col(AffiliateRow.id) == ConversionRow.affiliate_id)
)


def status_of(row: ConversionView | ConversionRow, now: datetime) -> str:
    """The status callers see: an open conversion is Pending until its hold ends, or while disputed, then Approved."""
    if row.state != OPEN:
        return row.state
    return "Pending" if now < row.held_until or row.on_hold_minor else "Approved"


def get(session: Session, organization_id: str, conversion_id: str) -> ConversionRow | None:
    row = session.get(ConversionRow, conversion_id)
    return row if row is not None and row.organization_id == organization_id else None


def view(session: Session, organization_id: str, conversion_id: str) -> ConversionView | None:
    query = _VIEWS.where(col(ConversionRow.organization_id) == organization_id, col(ConversionRow.id) == conversion_id)
    return cast(ConversionView | None, session.connection().execute(query).first())


def page(
    session: Session, organization_id: str, wanted: ConversionFilter, now: datetime, window: Window
) -> Page[ConversionView]:
    query = _VIEWS.where(col(ConversionRow.organization_id) == organization_id)
    if wanted.affiliate_id is not None:
        query = query.where(col(ConversionRow.affiliate_id) == wanted.affiliate_id)
    if wanted.program_id is not None:
        query = query.where(col(ConversionRow.program_id) == wanted.program_id)
    if wanted.code is not None:
        query = query.where(col(ConversionRow.code) == wanted.code.strip().upper())
    if wanted.since is not None:
        query = query.where(col(ConversionRow.occurred_at) >= wanted.since)
    if wanted.until is not None:
        query = query.where(col(ConversionRow.occurred_at) < wanted.until)
    if wanted.status is not None:
        query = query.where(*_status_is(wanted.status, now))
    return newest_columns_first(
        session, query, "conversions", col(ConversionRow.occurred_at), col(ConversionRow.id), window
    )


def _status_is(status: str, now: datetime) -> Sequence[ColumnElement[bool]]:
    if status == "Pending":
        held = or_(col(ConversionRow.held_until) > now, col(ConversionRow.on_hold_minor) > 0)
        return col(ConversionRow.state) == OPEN, held
    if status == "Approved":
        payable = col(ConversionRow.held_until) <= now, col(ConversionRow.on_hold_minor) == 0
        return col(ConversionRow.state) == OPEN, *payable
    return (col(ConversionRow.state) == status,)


def timeline(session: Session, organization_id: str, conversion_id: str, limit: int) -> Sequence[LedgerEntryRow]:
    """What happened to one sale, and to the other sales of its subscription, oldest first."""
    sale = select(SaleRow.subscription_id).join(ConversionRow, col(ConversionRow.sale_id) == SaleRow.id)
    subscription_id = session.exec(sale.where(ConversionRow.id == conversion_id)).first()
    query = select(LedgerEntryRow).where(LedgerEntryRow.organization_id == organization_id)
    if subscription_id is None:
        query = query.where(LedgerEntryRow.conversion_id == conversion_id)
    else:
        siblings = (
            select(ConversionRow.id)
            .join(SaleRow, col(SaleRow.id) == ConversionRow.sale_id)
            .where(SaleRow.organization_id == organization_id, SaleRow.subscription_id == subscription_id)
        )
        query = query.where(col(LedgerEntryRow.conversion_id).in_(siblings))
    return session.exec(query.order_by(col(LedgerEntryRow.occurred_at), col(LedgerEntryRow.id)).limit(limit)).all()
