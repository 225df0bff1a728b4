"""What was paid of subscriptions before this server heard of them: renewals are counted with it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlmodel import Session, col

from rekomi_mcp.storage.rows import grouped, parts
from rekomi_mcp.storage.tables import EarlierPaymentRow


class EarlierPayment(NamedTuple):
    subscription_id: str
    invoice_id: str
    paid_at: datetime


_COLUMNS = select(
    col(EarlierPaymentRow.subscription_id), col(EarlierPaymentRow.invoice_id), col(EarlierPaymentRow.paid_at)
)


def of_subscriptions(session: Session, organization_id: str, ids: Iterable[str]) -> Iterator[EarlierPayment]:
    query = _COLUMNS.where(col(EarlierPaymentRow.organization_id) == organization_id)
    for wanted in parts(ids):
        rows = session.connection().execute(query.where(col(EarlierPaymentRow.subscription_id).in_(wanted)))
        yield from map(EarlierPayment._make, rows)


def remove(session: Session, organization_id: str, keys: Iterable[tuple[str, str]]) -> None:
    """Take out what is a sale now, by subscription and invoice."""
    query = delete(EarlierPaymentRow).where(col(EarlierPaymentRow.organization_id) == organization_id)
    for subscription_id, invoice_ids in grouped(keys):
        of_subscription = query.where(col(EarlierPaymentRow.subscription_id) == subscription_id)
        session.connection().execute(of_subscription.where(col(EarlierPaymentRow.invoice_id).in_(invoice_ids)))
