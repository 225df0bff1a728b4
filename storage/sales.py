"""Sales, their payments and reversals, and whom customers belong to: read and written in batches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, bindparam, insert, update
from sqlmodel import Session, SQLModel, col, select

from rekomi_mcp.storage.rows import grouped
from rekomi_mcp.storage.tables import (
    BindingRow,
    ConversionRow,
    ReversalRow,
    SalePaymentRow,
    SaleRow,
)

Rows = Sequence[Mapping[str, Any]]
SaleKey = tuple[str, str]
"""A sale's source and source id."""


def by_keys(session: Session, organization_id: str, keys: Iterable[SaleKey]) -> dict[SaleKey, SaleRow]:
    query = select(SaleRow).where(SaleRow.organization_id == organization_id)
    found: dict[SaleKey, SaleRow] = {}
    for source, ids in grouped(keys).items():
        of_source = query.where(SaleRow.source == source, col(SaleRow.source_id).in_(ids))
        found |= {(source, row.source_id): row for row in session.exec(of_source)}
    return found


def get(session: Session, organization_id: str, sale_id: str) -> SaleRow | None:
    row = session.get(SaleRow, sale_id)
    return row if row is not None and row.organization_id == organization_id else None


def by_source_id(session: Session, organization_id: str, source_id: str) -> SaleRow | None:
    query = select(SaleRow).where(
        SaleRow.organization_id == organization_id,
        col(SaleRow.source).in_(("invoice", "checkout_session")),
        SaleRow.source_id == source_id,
    )
    return session.exec(query).first()


def conversions_of(session: Session, sale_ids: Iterable[str]) -> dict[str, ConversionRow]:
    """The conversion of each of these sales that has one."""
    if not (wanted := set(sale_ids)):
        return {}
    query = select(ConversionRow).where(col(ConversionRow.sale_id).in_(wanted))
    return {row.sale_id: row for row in session.exec(query)}


def sales_of_payments(session: Session, organization_id: str, payment_ids: Iterable[str]) -> dict[str, SaleKey]:
    if not (wanted := set(payment_ids)):
        return {}
    query = select(SalePaymentRow).where(
        SalePaymentRow.organization_id == organization_id, col(SalePaymentRow.payment_id).in_(wanted)
    )
    return {row.payment_id: (row.source, row.source_id) for row in session.exec(query)}


def payments_of_sales(session: Session, organization_id: str, keys: Iterable[SaleKey]) -> dict[SaleKey, set[str]]:
    query = select(SalePaymentRow).where(SalePaymentRow.organization_id == organization_id)
    found: dict[SaleKey, set[str]] = {}
    for source, ids in grouped(keys).items():
        of_source = query.where(SalePaymentRow.source == source, col(SalePaymentRow.source_id).in_(ids))
        for row in session.exec(of_source):
            found.setdefault((source, row.source_id), set()).add(row.payment_id)
    return found


def reversals_of_payments(session: Session, organization_id: str, payment_ids: Iterable[str]) -> list[ReversalRow]:
    if not (ids := sorted(set(payment_ids))):
        return []
    query = select(ReversalRow).where(ReversalRow.organization_id == organization_id)
    found: dict[str, ReversalRow] = {}
    for column in (col(ReversalRow.payment_intent_id), col(ReversalRow.charge_id)):
        found |= {row.id: row for row in session.exec(query.where(column.in_(ids)))}
    return list(found.values())


def reversals_by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, ReversalRow]:
    if not (wanted := set(ids)):
        return {}
    query = select(ReversalRow).where(ReversalRow.organization_id == organization_id, col(ReversalRow.id).in_(wanted))
    return {row.id: row for row in session.exec(query)}


def bindings(
    session: Session, organization_id: str, refs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], BindingRow]:
    """Bindings by (kind, ref), where kind is `customer` or `subscription`."""
    query = select(BindingRow).where(BindingRow.organization_id == organization_id)
    found: dict[tuple[str, str], BindingRow] = {}
    for kind, of_kind in grouped(refs).items():
        bound = query.where(BindingRow.kind == kind, col(BindingRow.ref).in_(of_kind))
        found |= {(kind, row.ref): row for row in session.exec(bound)}
    return found


def paid_times(session: Session, organization_id: str, subscription_ids: Iterable[str]) -> dict[str, list[Any]]:
    """When each subscription's invoices that cost money were paid, oldest first."""
    if not (wanted := set(subscription_ids)):
        return {}
    query = (
        select(SaleRow.subscription_id, SaleRow.occurred_at)
        .where(
            SaleRow.organization_id == organization_id,
            col(SaleRow.subscription_id).in_(wanted),
            SaleRow.net_minor > 0,
        )
        .order_by(col(SaleRow.occurred_at))
    )
    found: dict[str, list[Any]] = {}
    for subscription_id, occurred_at in session.exec(query):
        found.setdefault(str(subscription_id), []).append(occurred_at)
    return found


def add(session: Session, table: type[SQLModel], rows: Rows) -> None:
    """Insert rows with one Core statement: one object a row is the measured bottleneck of ingest."""
    if rows:
        session.connection().execute(insert(table), rows)


def redecide(session: Session, rows: Rows) -> None:
    """Put a new decision onto recorded sales: rows of `sale_id`, `new_outcome`, `new_decision`."""
    if rows:
        session.connection().execute(
            update(SaleRow)
            .where(col(SaleRow.id) == bindparam("sale_id"))
            .values(outcome=bindparam("new_outcome"), decision=bindparam("new_decision", type_=JSON)),
            rows,
        )


def update_conversions(session: Session, rows: Rows) -> None:
    """Set what is left of conversions: rows of `conversion_id`, `remaining`, `new_state`, `refunded`."""
    if rows:
        session.connection().execute(
            update(ConversionRow)
            .where(col(ConversionRow.id) == bindparam("conversion_id"))
            .values(
                remaining_minor=bindparam("remaining"), state=bindparam("new_state"), refunded_at=bindparam("refunded")
            ),
            rows,
        )


def update_reversals(session: Session, organization_id: str, rows: Rows) -> None:
    """Set where reversals stand: rows of `reversal_id`, `amount`, `new_status`, `new_event_id`."""
    if rows:
        session.connection().execute(
            update(ReversalRow)
            .where(col(ReversalRow.organization_id) == organization_id, col(ReversalRow.id) == bindparam("reversal_id"))
            .values(
                amount_minor=bindparam("amount"), status=bindparam("new_status"), event_id=bindparam("new_event_id")
            ),
            rows,
        )


def end_bindings(session: Session, organization_id: str, rows: Rows) -> None:
    """Note that bound subscriptions ended: rows of `subscription_id`, `at`."""
    if rows:
        session.connection().execute(
            update(BindingRow)
            .where(
                col(BindingRow.organization_id) == organization_id,
                col(BindingRow.kind) == "subscription",
                col(BindingRow.ref) == bindparam("subscription_id"),
            )
            .values(ended_at=bindparam("at")),
            rows,
        )
