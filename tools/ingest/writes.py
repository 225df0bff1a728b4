"""What a batch will write, collected as plain rows and inserted with one statement a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.ledger import EntryKind
from rekomi_mcp.domain.sales import Reversal
from rekomi_mcp.operation import Context
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.ingest.known import Earning, SaleKey

RowValues = dict[str, Any]


def _rows() -> list[RowValues]:
    return []


@dataclass(slots=True)
class Writes:
    """Rows by table, keyed by column name."""

    sales: list[RowValues] = field(default_factory=_rows)
    redecided: list[RowValues] = field(default_factory=_rows)
    payments: list[RowValues] = field(default_factory=_rows)
    bindings: list[RowValues] = field(default_factory=_rows)
    ended_subscriptions: list[RowValues] = field(default_factory=_rows)
    leads: list[RowValues] = field(default_factory=_rows)
    conversions: list[RowValues] = field(default_factory=_rows)
    entries: list[RowValues] = field(default_factory=_rows)
    new_reversals: list[RowValues] = field(default_factory=_rows)
    changed_reversals: list[RowValues] = field(default_factory=_rows)
    settled: dict[str, RowValues] = field(default_factory=dict[str, RowValues])
    """Conversions whose remaining commission changed, by id; the last change of a batch counts."""

    def payment(self, context: Context, payment_id: str, key: SaleKey) -> None:
        self.payments.append(
            {
                "organization_id": context.organization_id,
                "payment_id": payment_id,
                "source": key[0],
                "source_id": key[1],
            }
        )

    def entry(
        self,
        context: Context,
        earning: Earning,
        *,
        kind: EntryKind,
        amount_minor: int,
        cause: tuple[str, str, str],
        cause_amount_minor: int,
        occurred_at: datetime,
    ) -> None:
        """A ledger entry. `cause` is what happened: its kind, its id and what became of it."""
        self.entries.append(
            {
                "id": new_id(),
                "organization_id": context.organization_id,
                "affiliate_id": earning.affiliate_id,
                "conversion_id": earning.conversion_id,
                "kind": kind.value,
                "amount_minor": amount_minor,
                "currency": earning.commission_currency,
                "cause": cause[0],
                "cause_id": cause[1],
                "cause_state": cause[2],
                "cause_amount_minor": cause_amount_minor,
                "available_at": earning.held_until,
                "sold_at": earning.sold_at,
                "occurred_at": occurred_at,
                "recorded_at": context.now,
            }
        )

    def reversal(self, context: Context, fact: Reversal, *, is_new: bool) -> None:
        if not is_new:
            self.changed_reversals.append(
                {
                    "reversal_id": fact.id,
                    "amount": fact.amount_minor,
                    "new_status": fact.status.value,
                    "new_event_id": fact.event_id,
                }
            )
            return
        self.new_reversals.append(
            {
                "organization_id": context.organization_id,
                "id": fact.id,
                "kind": fact.kind.value,
                "event_id": fact.event_id,
                "payment_intent_id": fact.payment_intent_id,
                "charge_id": fact.charge_id,
                "currency": fact.currency,
                "amount_minor": fact.amount_minor,
                "status": fact.status.value,
                "occurred_at": fact.occurred_at,
                "recorded_at": context.now,
            }
        )

    def settle(self, earning: Earning) -> None:
        self.settled[earning.conversion_id] = {
            "conversion_id": earning.conversion_id,
            "remaining": earning.remaining_minor,
            "new_state": earning.state,
            "refunded": earning.refunded_at,
        }

    def flush(self, context: Context) -> None:
        session, sales, tables = context.session, storage.sales, storage.tables
        add_missing = storage.rows.add_missing
        sales.add(session, tables.SaleRow, self.sales)
        sales.redecide(session, self.redecided)
        add_missing(session, tables.SalePaymentRow, self.payments)
        add_missing(session, tables.BindingRow, self.bindings)
        sales.end_bindings(session, context.organization_id, self.ended_subscriptions)
        add_missing(session, tables.LeadRow, self.leads)
        sales.add(session, tables.ConversionRow, self.conversions)
        sales.add(session, tables.LedgerEntryRow, self.entries)
        sales.add(session, tables.ReversalRow, self.new_reversals)
        sales.update_reversals(session, context.organization_id, self.changed_reversals)
        sales.update_conversions(session, list(self.settled.values()))
