"""Conversions: what each sale earned an affiliate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import ColumnList, Page, Window, newest_columns_first
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


class ConversionView(NamedTuple):
    """A conversion with the name and the Stripe ids that an answer shows; a row of `_VIEW`'s columns."""

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


def view(session: Session, organization_id: str, conversion_id: str) -> ConversionView | None:
    row = session.connection().execute(_BY_ID, {"organization_id": organization_id, "id": conversion_id}).first()
    return None if row is None else ConversionView._make(row)


def page(
    session: Session, organization_id: str, wanted: ConversionFilter, now: datetime, window: Window
) -> Page[ConversionView]:
    filters = {
        "affiliate_id": wanted.affiliate_id,
        "program_id": wanted.program_id,
        "code": None if wanted.code is None else wanted.code.strip().upper(),
        "since": wanted.since,
        "until": wanted.until,
    }
    values: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    which = _list(frozenset(values), wanted.status)
    return newest_columns_first(session, which, {"organization_id": organization_id, "now": now, **values}, window)


_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "affiliate_id": col(ConversionRow.affiliate_id) == bindparam("affiliate_id"),
    "program_id": col(ConversionRow.program_id) == bindparam("program_id"),
    "code": col(ConversionRow.code) == bindparam("code"),
    "since": col(ConversionRow.occurred_at) >= bindparam("since"),
    "until": col(ConversionRow.occurred_at) < bindparam("until"),
}
_OWN = col(ConversionRow.organization_id) == bindparam("organization_id")
_BY_ID = _VIEWS.where(_OWN, col(ConversionRow.id) == bindparam("id"))


@cache
def _list(filters: frozenset[str], status: str | None) -> ColumnList:
    """The list with these filters."""
    conditions = [condition for name, condition in _CONDITIONS.items() if name in filters]
    if status is not None:
        conditions += _status_is(status)
    query = _VIEWS.where(_OWN, *conditions)
    return ColumnList(
        "conversions", query, (col(ConversionRow.occurred_at), col(ConversionRow.id)), ConversionView._make
    )


def _status_is(status: str) -> Sequence[ColumnElement[bool]]:
    if status == "Pending":
        held = or_(col(ConversionRow.held_until) > bindparam("now"), col(ConversionRow.on_hold_minor) > 0)
        return col(ConversionRow.state) == OPEN, held
    if status == "Approved":
        payable = col(ConversionRow.held_until) <= bindparam("now"), col(ConversionRow.on_hold_minor) == 0
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


def told_by_stripe(
    session: Session, organization_id: str, span: tuple[datetime, datetime], recorded_by: datetime, limit: int
) -> list[tuple[str, str, datetime]]:
    """Credited sales of a span that Stripe told of, newest first: source, source id and time."""
    query = (
        select(SaleRow.source, SaleRow.source_id, ConversionRow.occurred_at)
        .join(SaleRow, col(SaleRow.id) == ConversionRow.sale_id)
        .where(
            ConversionRow.organization_id == organization_id,
            ConversionRow.occurred_at >= span[0],
            ConversionRow.occurred_at < span[1],
            col(SaleRow.source).in_(("invoice", "checkout_session")),
            SaleRow.recorded_at <= recorded_by,
        )
        .order_by(col(ConversionRow.occurred_at).desc(), col(ConversionRow.id).desc())
        .limit(limit)
    )
    return list(session.exec(query))
