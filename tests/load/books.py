"""What a server has in its books and in its inbox, by the names of the shop."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select

from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import ConversionRow, InboxEventRow, LedgerEntryRow, SaleRow

Sums = dict[tuple[str, str], int]
"""Minor units by affiliate and currency; nothing of nothing."""


@dataclass(frozen=True)
class Books:
    sales: dict[str, tuple[str, str, int]]
    """Affiliate, currency and what is left of each conversion that was not denied, by the id of its sale."""
    remaining: Sums
    """What the conversions say is left."""
    ledger: Sums
    """What the ledger adds up to."""
    disagreeing: list[str]
    """Conversions whose entries add up to something else."""
    inbox: dict[str, int]
    """Events by state."""
    notes: list[str]
    """What went wrong with events on the way, each once."""


def read_books(store: Store, names: Mapping[str, str]) -> Books:
    remaining, ledger, of_conversion = (
        Counter[tuple[str, str]](),
        Counter[tuple[str, str]](),
        defaultdict[str, int](int),
    )
    with store.reading() as session:
        entries = select(
            col(LedgerEntryRow.conversion_id), LedgerEntryRow.affiliate_id, LedgerEntryRow.currency,
            LedgerEntryRow.amount_minor,
        )  # fmt: skip
        for conversion, affiliate, currency, minor in session.exec(entries):
            ledger[names[affiliate], currency.lower()] += minor
            of_conversion[conversion] += minor
        sales, wrong = dict[str, tuple[str, str, int]](), list[str]()
        rows = select(ConversionRow, SaleRow.source_id).join(SaleRow, col(SaleRow.id) == col(ConversionRow.sale_id))
        for row, source_id in session.exec(rows):
            conversion, minor = row.id, row.remaining_minor
            earner = names[row.affiliate_id], row.commission_currency.lower()
            remaining[earner] += minor
            if row.state != "Denied":
                sales[source_id] = (*earner, minor)
            if of_conversion[conversion] != minor:
                wrong.append(conversion)
        states = session.exec(select(col(InboxEventRow.state), func.count()).group_by(col(InboxEventRow.state)))
        inbox = dict(states.all())
        noted = session.exec(select(InboxEventRow.note).where(col(InboxEventRow.note).is_not(None)).distinct())
        notes = [str(note) for note in noted]
    return Books(sales, _some(remaining), _some(ledger), wrong, inbox, notes)


def _some(sums: Mapping[tuple[str, str], int]) -> Sums:
    return {key: minor for key, minor in sums.items() if minor}
