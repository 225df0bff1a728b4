"""The ledger: balances as sums of appended entries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col

from rekomi_mcp.domain.ledger import NOT_PAYABLE
from rekomi_mcp.domain.payout import Balance
from rekomi_mcp.storage.tables import LedgerEntryRow


@dataclass(frozen=True, slots=True)
class BalanceFilter:
    affiliate_ids: Sequence[str] | None = None
    since: datetime | None = None
    """Sales of a period only; what a balance owes from outside it still counts against it."""
    until: datetime | None = None


def balances(session: Session, organization_id: str, wanted: BalanceFilter, now: datetime) -> list[Balance]:
    """Every balance that is not zero, by affiliate and currency.

    With a period, what is available is the smaller of the period's sum and the whole balance: a debt from elsewhere is
    netted, and money from elsewhere is not paid.
    """
    amount = col(LedgerEntryRow.amount_minor)
    released = col(LedgerEntryRow.available_at) <= now
    kind = col(LedgerEntryRow.kind)
    sale = case((kind == "accrual", 1), (kind == "retraction", -1), else_=0)
    period = _in_period(wanted)
    whole = [] if period is None else [_sum(amount, released).label("available_ever")]
    query = (
        select_columns(
            col(LedgerEntryRow.affiliate_id),
            col(LedgerEntryRow.currency),
            _sum(amount, *period or ()).label("all"),
            _sum(amount, released, *period or ()).label("available"),
            _sum(sale, *period or ()).label("sales"),
            _sum(sale, released, *period or ()).label("released_sales"),
            *whole,
        )
        .where(col(LedgerEntryRow.organization_id) == organization_id)
        .group_by(col(LedgerEntryRow.affiliate_id), col(LedgerEntryRow.currency))
        .order_by(col(LedgerEntryRow.affiliate_id), col(LedgerEntryRow.currency))
    )
    if wanted.affiliate_ids is not None:
        query = query.where(col(LedgerEntryRow.affiliate_id).in_(wanted.affiliate_ids))
    found = [_balance(row) for row in session.connection().execute(query)]
    return [balance for balance in found if balance.available_minor or balance.held_minor]


def next_releases(
    session: Session, organization_id: str, wanted: BalanceFilter, now: datetime
) -> dict[tuple[str, str], datetime]:
    """When the next part of what is held becomes available, by affiliate and currency; what was refunded is no part.

    Ask for those that are shown: for named affiliates it walks the index to what is still held.
    """
    available_at = col(LedgerEntryRow.available_at)
    conditions = [
        col(LedgerEntryRow.organization_id) == organization_id,
        available_at > now,
        available_at < NOT_PAYABLE,
    ]
    conditions += _in_period(wanted) or ()
    if wanted.affiliate_ids is not None:
        conditions.append(col(LedgerEntryRow.affiliate_id).in_(wanted.affiliate_ids))
    key = (col(LedgerEntryRow.affiliate_id), col(LedgerEntryRow.currency))
    held_sales = (
        select_columns(*key, func.min(LedgerEntryRow.available_at).label("available_at"))
        .where(*conditions)
        .group_by(*key, col(LedgerEntryRow.conversion_id))
        .having(func.sum(LedgerEntryRow.amount_minor) > 0)
        .subquery()
    )
    query = select_columns(
        held_sales.c.affiliate_id, held_sales.c.currency, func.min(held_sales.c.available_at).label("at")
    ).group_by(held_sales.c.affiliate_id, held_sales.c.currency)
    return {(row.affiliate_id, row.currency): row.at for row in session.connection().execute(query)}


def disputed(
    session: Session, organization_id: str, wanted: BalanceFilter, currencies: Collection[str]
) -> dict[tuple[str, str], int]:
    """What of the held part waits for the end of a dispute, by affiliate and currency, in minor units.

    Ask for those that are shown: for named affiliates and their currencies the index leads straight to it.
    """
    key = (col(LedgerEntryRow.affiliate_id), col(LedgerEntryRow.currency))
    query = (
        select_columns(*key, func.sum(LedgerEntryRow.amount_minor).label("amount"))
        .where(
            col(LedgerEntryRow.organization_id) == organization_id,
            col(LedgerEntryRow.affiliate_id).in_(wanted.affiliate_ids or ()),
            col(LedgerEntryRow.currency).in_(currencies),
            col(LedgerEntryRow.available_at) == NOT_PAYABLE,
            *_in_period(wanted) or (),
        )
        .group_by(*key)
    )
    return {(row.affiliate_id, row.currency): int(row.amount) for row in session.connection().execute(query)}


def _in_period(wanted: BalanceFilter) -> list[ColumnElement[bool]] | None:
    """What makes a sale one of the period's; None without a period."""
    bounds: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        bounds.append(col(LedgerEntryRow.sold_at) >= wanted.since)
    if wanted.until is not None:
        bounds.append(col(LedgerEntryRow.sold_at) < wanted.until)
    return bounds or None


def _sum(value: Any, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((and_(*conditions), value), else_=0) if conditions else value)


def _balance(row: Any) -> Balance:
    affiliate_id, currency, everything, released, sales, released_sales, *whole = row
    available = int(min(released, *whole)) if whole else int(released)
    return Balance(
        affiliate_id=affiliate_id,
        currency=currency,
        available_minor=available,
        held_minor=int(everything - released),
        sales=int(released_sales if available else sales - released_sales),
    )
