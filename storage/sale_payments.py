"""What paid which sale: payment intents, charges, and the checkout of an invoice; read and written in batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlmodel import Session, col

from rekomi_mcp.domain.sales import SaleSource
from rekomi_mcp.storage import sales
from rekomi_mcp.storage.rows import grouped, parts
from rekomi_mcp.storage.tables import SalePaymentRow

Rows = Sequence[Mapping[str, Any]]


class Part(NamedTuple):
    """A payment, or what of it went into one sale, where that is told."""

    payment_id: str
    source: str
    source_id: str
    amount_minor: int | None


_PARTS = select(
    col(SalePaymentRow.payment_id),
    col(SalePaymentRow.source),
    col(SalePaymentRow.source_id),
    col(SalePaymentRow.amount_minor),
)


def of_payments(session: Session, organization_id: str, payment_ids: Iterable[str]) -> Iterator[Part]:
    """Every sale that these payments paid."""
    query = _PARTS.where(col(SalePaymentRow.organization_id) == organization_id)
    for wanted in parts(payment_ids):
        rows = session.connection().execute(query.where(col(SalePaymentRow.payment_id).in_(wanted)))
        yield from map(Part._make, rows)


def of_sales(session: Session, organization_id: str, keys: Iterable[tuple[str, str]]) -> Iterator[Part]:
    """Every payment of these sales, by source and source id."""
    query = _PARTS.where(col(SalePaymentRow.organization_id) == organization_id)
    for source, ids in grouped(keys):
        of_source = query.where(col(SalePaymentRow.source) == source, col(SalePaymentRow.source_id).in_(ids))
        yield from map(Part._make, session.connection().execute(of_source))


def settled(session: Session, organization_id: str, payment_ids: Iterable[str]) -> set[str]:
    """Those of these payments of which everything is known that they paid.

    Stripe is asked at the first refund: an invoice's event need not say that its payment paid another invoice too.
    """
    known: dict[str, set[str]] = {}
    for part in of_payments(session, organization_id, payment_ids):
        known.setdefault(part.payment_id, set()).add(part.source)
    of_invoices = {payment_id for payment_id, sources in known.items() if SaleSource.Invoice in sources}
    taken_back = sales.reversals_of_payments(session, organization_id, of_invoices)
    asked = {payment_id for row in taken_back for payment_id in (row.payment_intent_id, row.charge_id)}
    return (known.keys() - of_invoices) | (of_invoices & asked)


def set_amounts(session: Session, organization_id: str, rows: Rows) -> None:
    """Set how much of a payment went into a sale, by `old_payment_id`, `old_source` and `old_source_id`."""
    if not rows:
        return
    query = update(SalePaymentRow).where(
        col(SalePaymentRow.organization_id) == organization_id,
        col(SalePaymentRow.payment_id) == bindparam("old_payment_id"),
        col(SalePaymentRow.source) == bindparam("old_source"),
        col(SalePaymentRow.source_id) == bindparam("old_source_id"),
    )
    session.connection().execute(query.values(amount_minor=bindparam("new_amount_minor")), rows)
