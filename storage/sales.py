"""Sales, their reversals, and whom customers belong to: read and written in batches."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, inspect, update
from sqlmodel import Session, SQLModel, col, select

from rekomi_mcp.storage.rows import grouped, parts
from rekomi_mcp.storage.tables import (
    BindingRow,
    ConversionRow,
    ReversalRow,
    SaleCodeRow,
    SaleRow,
)

Rows = Sequence[Mapping[str, Any]]
SaleKey = tuple[str, str]
"""A sale's source and source id."""
_DECIDED = (
    "outcome decision revision referral customer_id customer_email email_key currency net_minor gross_minor"
).split()
_REF_COLUMNS: dict[str, Any] = {
    "subscription": col(SaleRow.subscription_id),
    "customer": col(SaleRow.customer_id),
    "email": col(SaleRow.email_key),
}


def by_keys(session: Session, organization_id: str, keys: Iterable[SaleKey]) -> dict[SaleKey, SaleRow]:
    query = select(SaleRow).where(SaleRow.organization_id == organization_id)
    found: dict[SaleKey, SaleRow] = {}
    for source, ids in grouped(keys):
        of_source = query.where(SaleRow.source == source, col(SaleRow.source_id).in_(ids))
        found |= {(source, row.source_id): row for row in session.exec(of_source)}
    return found


def since(session: Session, organization_id: str, refs: Mapping[tuple[str, str], datetime]) -> list[SaleRow]:
    """Sales of these subscriptions, customers and addresses (in lower case), each from its time on."""
    found: dict[str, SaleRow] = {}
    for kind, of_kind in grouped(refs):
        column = _REF_COLUMNS[kind]
        earliest = min(refs[kind, ref] for ref in of_kind)
        query = select(SaleRow).where(
            SaleRow.organization_id == organization_id, column.in_(of_kind), SaleRow.occurred_at >= earliest
        )
        for row in session.exec(query):
            if row.occurred_at >= refs[kind, str(getattr(row, column.key))]:
                found[row.id] = row
    return list(found.values())


def with_codes(session: Session, organization_id: str, promotion_code_ids: Iterable[str]) -> list[SaleRow]:
    """Sales that carried one of these promotion codes and were not credited by it when they came."""
    if not (wanted := set(promotion_code_ids)):
        return []
    query = (
        select(SaleRow)
        .join(SaleCodeRow, col(SaleCodeRow.sale_id) == SaleRow.id)
        .where(SaleCodeRow.organization_id == organization_id, col(SaleCodeRow.promotion_code_id).in_(wanted))
    )
    return list(session.exec(query))


def conversions_of(session: Session, sale_ids: Iterable[str]) -> dict[str, ConversionRow]:
    """The conversion of each of these sales that has one."""
    found: dict[str, ConversionRow] = {}
    for wanted in parts(sale_ids):
        query = select(ConversionRow).where(col(ConversionRow.sale_id).in_(wanted))
        found |= {row.sale_id: row for row in session.exec(query)}
    return found


def reversals_of_payments(session: Session, organization_id: str, payment_ids: Iterable[str]) -> list[ReversalRow]:
    query = select(ReversalRow).where(ReversalRow.organization_id == organization_id)
    found: dict[str, ReversalRow] = {}
    for wanted in parts(payment_ids):
        for column in (col(ReversalRow.payment_intent_id), col(ReversalRow.charge_id)):
            found |= {row.id: row for row in session.exec(query.where(column.in_(wanted)))}
    return list(found.values())


def reversals_of_sales(session: Session, organization_id: str, keys: Iterable[SaleKey]) -> list[ReversalRow]:
    """Reversals that name the sale itself and not a payment of it."""
    query = select(ReversalRow).where(ReversalRow.organization_id == organization_id)
    found: list[ReversalRow] = []
    for source, ids in grouped(keys):
        found += session.exec(query.where(ReversalRow.sale_source == source, col(ReversalRow.sale_source_id).in_(ids)))
    return found


def reversals_by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, ReversalRow]:
    query = select(ReversalRow).where(ReversalRow.organization_id == organization_id)
    return {row.id: row for wanted in parts(ids) for row in session.exec(query.where(col(ReversalRow.id).in_(wanted)))}


def bindings(
    session: Session, organization_id: str, refs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], BindingRow]:
    """Bindings by (kind, ref), where kind is `customer` or `subscription`."""
    query = select(BindingRow).where(BindingRow.organization_id == organization_id)
    found: dict[tuple[str, str], BindingRow] = {}
    for kind, of_kind in grouped(refs):
        bound = query.where(BindingRow.kind == kind, col(BindingRow.ref).in_(of_kind))
        found |= {(kind, row.ref): row for row in session.exec(bound)}
    return found


def bindings_of_customers(
    session: Session, organization_id: str, customer_ids: Iterable[str]
) -> dict[tuple[str, str], BindingRow]:
    """Of the subscriptions of these customers those that were bound by themselves, by (kind, ref)."""
    query = select(BindingRow).where(
        BindingRow.organization_id == organization_id, col(BindingRow.customer_id).is_not(None)
    )
    return {
        (row.kind, row.ref): row
        for ids in parts(customer_ids)
        for row in session.exec(query.where(col(BindingRow.customer_id).in_(ids)))
    }


def paid_times(session: Session, organization_id: str, subscription_ids: Iterable[str]) -> dict[str, list[Any]]:
    """When each subscription's invoices that cost money and count were paid, oldest first."""
    query = (
        select(SaleRow.subscription_id, SaleRow.occurred_at)
        .where(SaleRow.organization_id == organization_id, SaleRow.net_minor > 0, col(SaleRow.is_counted))
        .order_by(col(SaleRow.occurred_at))
    )
    found: dict[str, list[Any]] = {}
    for wanted in parts(subscription_ids):
        for subscription_id, occurred_at in session.exec(query.where(col(SaleRow.subscription_id).in_(wanted))):
            found.setdefault(str(subscription_id), []).append(occurred_at)
    return found


def sold_subscriptions(session: Session, organization_id: str, subscription_ids: Iterable[str]) -> set[str]:
    """Those of these subscriptions that have a sale."""
    query = select(SaleRow.subscription_id).where(SaleRow.organization_id == organization_id).distinct()
    wanted = parts(subscription_ids)
    return {str(each) for ids in wanted for each in session.exec(query.where(col(SaleRow.subscription_id).in_(ids)))}


def add(session: Session, table: type[SQLModel], rows: Rows) -> None:
    """Insert rows with one Core statement: one object a row is the measured bottleneck of ingest."""
    if rows:
        session.connection().execute(insert(table), rows)


def redecide(session: Session, rows: Rows) -> None:
    """Put a new decision, and what more was told of them, onto recorded sales, by `key_id`."""
    _update(session, SaleRow, _DECIDED, rows)


def recredit(session: Session, rows: Rows) -> None:
    """Give conversions to another affiliate, or on other terms, by `key_id`."""
    columns = (
        "program_id affiliate_id code_id code method commission_minor commission_currency remaining_minor rate_type "
        "rate_value rate_source terms_version state refunded_at on_hold_minor flag click_id amount_minor currency"
    ).split()
    _update(session, ConversionRow, columns, rows)


def update_conversions(session: Session, rows: Rows) -> None:
    """Set what is left of conversions, by `key_id`."""
    _update(session, ConversionRow, ("remaining_minor", "state", "refunded_at", "on_hold_minor"), rows)


def _update(session: Session, table: type[SaleRow | ConversionRow], columns: Sequence[str], rows: Rows) -> None:
    """Set these columns of the row whose id is `key_id`; a new value is named after its column with `new_` before it."""
    if not rows:
        return
    types = {c.name: c.type for c in inspect(table).columns}
    values = {name: bindparam(f"new_{name}", type_=types[name]) for name in columns}
    session.connection().execute(update(table).where(col(table.id) == bindparam("key_id")).values(values), rows)


def update_reversals(session: Session, organization_id: str, rows: Rows) -> None:
    """Set where reversals stand, by `reversal_id`."""
    if not rows:
        return
    names = ("amount_minor", "status", "event_id", "told_at")
    types = {c.name: c.type for c in inspect(ReversalRow).columns}
    query = update(ReversalRow).where(
        col(ReversalRow.organization_id) == organization_id, col(ReversalRow.id) == bindparam("reversal_id")
    )
    values = {name: bindparam(f"new_{name}", type_=types[name]) for name in names}
    session.connection().execute(query.values(values), rows)


def rebind(session: Session, organization_id: str, rows: Rows) -> None:
    """Give customers and subscriptions to whom they belonged earlier, by `old_kind` and `old_ref`."""
    if not rows:
        return
    names = ("affiliate_id", "program_id", "code_id", "event_id", "bound_at", "origin", "customer_id")
    types = {c.name: c.type for c in inspect(BindingRow).columns}
    query = update(BindingRow).where(
        col(BindingRow.organization_id) == organization_id,
        col(BindingRow.kind) == bindparam("old_kind"),
        col(BindingRow.ref) == bindparam("old_ref"),
    )
    values = {name: bindparam(f"new_{name}", type_=types[name]) for name in names}
    session.connection().execute(query.values(values), rows)


def unbind(session: Session, organization_id: str, refs: Iterable[tuple[str, str]]) -> None:
    """Remove bindings by (kind, ref)."""
    query = delete(BindingRow).where(col(BindingRow.organization_id) == organization_id)
    for kind, of_kind in grouped(refs):
        bound = query.where(col(BindingRow.kind) == kind, col(BindingRow.ref).in_(of_kind))
        session.connection().execute(bound)


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
