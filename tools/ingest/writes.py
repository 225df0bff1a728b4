"""What a batch will write, collected as plain rows and inserted with one statement a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.ledger import EntryKind
from rekomi_mcp.domain.sales import EarlierPayment, Payment, Reversal, Sale, SubscriptionStarted
from rekomi_mcp.operation import Context
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.ingest.known import Binding, Earning, Lead, Recorded, Ref
from rekomi_mcp.tools.ingest.payments import SaleKey

RowValues = dict[str, Any]
_Part = tuple[str, str, str]
"""A payment, and the sale it paid."""


def _rows() -> list[RowValues]:
    return []


def _by_id() -> dict[str, RowValues]:
    return {}


@dataclass(slots=True)
class Writes:
    """Rows by table, keyed by column name; where the last change of a batch counts, by id."""

    sales: list[RowValues] = field(default_factory=_rows)
    redecided: dict[str, RowValues] = field(default_factory=_by_id)
    sale_codes: list[RowValues] = field(default_factory=_rows)
    payments: dict[_Part, RowValues] = field(default_factory=dict["_Part", RowValues])
    told_payments: dict[_Part, RowValues] = field(default_factory=dict["_Part", RowValues])
    """Stored ones of which the amount is told now."""
    bindings: dict[Ref, RowValues] = field(default_factory=dict[Ref, RowValues])
    gone_bindings: set[Ref] = field(default_factory=set[Ref])
    """Those that were there and are not bound again."""
    ended_subscriptions: list[RowValues] = field(default_factory=_rows)
    earlier_payments: dict[Ref, RowValues] = field(default_factory=dict[Ref, RowValues])
    """By subscription and invoice."""
    gone_earlier_payments: list[Ref] = field(default_factory=list[Ref])
    subscription_starts: dict[tuple[str, str], RowValues] = field(default_factory=dict[tuple[str, str], RowValues])
    """By promotion code and subscription."""
    leads: dict[str, RowValues] = field(default_factory=_by_id)
    free_sales: dict[str, datetime | None] = field(default_factory=dict[str, "datetime | None"])
    """Of stored ones: when their earliest sale that cost nothing was made."""
    gone_leads: list[str] = field(default_factory=list[str])
    conversions: dict[str, RowValues] = field(default_factory=_by_id)
    """New ones."""
    recredited: dict[str, RowValues] = field(default_factory=_by_id)
    settled: dict[str, RowValues] = field(default_factory=_by_id)
    entries: list[RowValues] = field(default_factory=_rows)
    new_reversals: dict[str, RowValues] = field(default_factory=_by_id)
    changed_reversals: dict[str, RowValues] = field(default_factory=_by_id)

    def sale(self, context: Context, recorded: Recorded) -> None:
        """The sale with its decision: a row of its own, or a new decision on the one that is there."""
        sale = recorded.sale
        decided: RowValues = {
            "outcome": recorded.outcome,
            "decision": recorded.decision,
            "revision": recorded.revision,
            "referral": asdict(sale.referral) if sale.referral is not None else None,
            "customer_id": sale.customer_id,
            "customer_email": sale.customer_email,
            "email_key": sale.customer_email and sale.customer_email.lower(),
            "currency": sale.currency,
            "net_minor": sale.net_minor,
            "gross_minor": sale.gross_minor,
        }
        if recorded.row is not None:
            recorded.row.update(decided)
            return
        self.redecided[recorded.id] = {"key_id": recorded.id, **_new(decided)}

    def new_sale(self, context: Context, recorded: Recorded) -> None:
        sale = recorded.sale
        recorded.row = {
            "id": recorded.id,
            "organization_id": context.organization_id,
            "source": sale.source.value,
            "source_id": sale.source_id,
            "event_id": sale.event_id,
            "subscription_id": sale.subscription_id,
            "is_counted": sale.is_counted,
            "occurred_at": sale.occurred_at,
            "recorded_at": context.now,
        }
        self.sales.append(recorded.row)

    def sale_code(self, context: Context, promotion_code_id: str, sale_id: str) -> None:
        self.sale_codes.append(
            {"organization_id": context.organization_id, "promotion_code_id": promotion_code_id, "sale_id": sale_id}
        )

    def subscription_start(
        self, context: Context, promotion_code_id: str, fact: SubscriptionStarted, origin: str
    ) -> None:
        """How a subscription began with a code that is nobody's; of several tellings the earliest."""
        before = self.subscription_starts.get((promotion_code_id, fact.subscription_id))
        if before is not None and (before["occurred_at"], before["origin"]) < (fact.occurred_at, origin):
            return
        self.subscription_starts[promotion_code_id, fact.subscription_id] = {
            "organization_id": context.organization_id,
            "promotion_code_id": promotion_code_id,
            "subscription_id": fact.subscription_id,
            "customer_id": fact.customer_id,
            "event_id": fact.event_id,
            "occurred_at": fact.occurred_at,
            "origin": origin,
            "at_checkout": fact.at_checkout,
            "told_at": fact.told_at,
            "promotion_code_ids": list(fact.promotion_code_ids),
            "referral": asdict(fact.referral) if fact.referral is not None else None,
        }

    def payment(self, context: Context, payment: Payment, key: SaleKey, *, is_new: bool) -> None:
        part = (payment.id, *key)
        if is_new or part in self.payments:
            self.payments[part] = {
                "organization_id": context.organization_id,
                "payment_id": payment.id,
                "source": key[0],
                "source_id": key[1],
                "amount_minor": payment.amount_minor,
            }
        else:
            self.told_payments[part] = {
                "old_payment_id": payment.id,
                "old_source": key[0],
                "old_source_id": key[1],
                "new_amount_minor": payment.amount_minor,
            }

    def lead(self, context: Context, lead: Lead, sale: Sale, *, is_new: bool) -> None:
        """A signup by a sale that cost nothing; one that is not new has its row already."""
        if lead.id in self.leads:
            self.leads[lead.id].update(created_at=lead.since, free_sale_at=lead.since)
        elif not is_new:
            self.free_sales[lead.id] = lead.since
        else:
            self.leads[lead.id] = {
                "id": lead.id,
                "organization_id": context.organization_id,
                "program_id": lead.program_id,
                "affiliate_id": lead.affiliate_id,
                "email": sale.customer_email,
                "email_key": (sale.customer_email or "").lower(),
                "name": sale.customer_name,
                "source": storage.leads.OF_SALE,
                "external_event_id": None,
                "created_at": lead.since,
                "free_sale_at": lead.since,
            }

    def gone_lead(self, lead: Lead, *, is_recorded: bool) -> None:
        """The sale was no signup of theirs; what else was recorded of it stays."""
        if is_recorded:
            self.free_sales[lead.id] = None
        elif self.leads.pop(lead.id, None) is None:
            self.free_sales.pop(lead.id, None)
            self.gone_leads.append(lead.id)

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
        available_at: datetime | None = None,
    ) -> None:
        """A ledger entry. `cause` is what happened: its kind, its id and what became of it."""
        again = f"#{earning.revision}" if earning.revision else ""
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
                "cause_state": cause[2] + again,
                "cause_amount_minor": cause_amount_minor,
                "available_at": available_at or earning.held_until,
                "sold_at": earning.sold_at,
                "occurred_at": occurred_at,
                "recorded_at": context.now,
            }
        )

    def reversal(self, context: Context, fact: Reversal, *, is_new: bool) -> None:
        standing: RowValues = {
            "event_id": fact.event_id,
            "amount_minor": fact.amount_minor,
            "status": fact.status.value,
            "told_at": fact.told_at,
        }
        if fact.id in self.new_reversals:
            self.new_reversals[fact.id].update(standing)
        elif not is_new:
            self.changed_reversals[fact.id] = {"reversal_id": fact.id, **_new(standing)}
        else:
            self.new_reversals[fact.id] = {
                "organization_id": context.organization_id,
                "id": fact.id,
                "kind": fact.kind.value,
                "payment_intent_id": fact.payment_intent_id,
                "charge_id": fact.charge_id,
                "sale_source": fact.sale[0].value if fact.sale else None,
                "sale_source_id": fact.sale[1] if fact.sale else None,
                "currency": fact.currency,
                "occurred_at": fact.occurred_at,
                "recorded_at": context.now,
                **standing,
            }

    def settle(self, earning: Earning) -> None:
        """What is left of a conversion."""
        left: RowValues = {
            "remaining_minor": earning.remaining_minor,
            "state": earning.state,
            "refunded_at": earning.refunded_at,
            "on_hold_minor": earning.on_hold_minor,
        }
        if earning.conversion_id in self.conversions:
            self.conversions[earning.conversion_id].update(left)
        elif earning.conversion_id in self.recredited:
            self.recredited[earning.conversion_id].update(_new(left))
        else:
            self.settled[earning.conversion_id] = {"key_id": earning.conversion_id, **_new(left)}

    def conversion(self, context: Context, earning: Earning, values: RowValues, fixed: RowValues, is_new: bool) -> None:
        """A conversion on its terms: `values` are those that a later decision may change, `fixed` never change."""
        if earning.conversion_id in self.conversions:
            self.conversions[earning.conversion_id].update(values)
        elif is_new:
            self.conversions[earning.conversion_id] = {
                "id": earning.conversion_id,
                "organization_id": context.organization_id,
                **fixed,
                **values,
            }
        else:
            self.settled.pop(earning.conversion_id, None)
            self.recredited[earning.conversion_id] = {"key_id": earning.conversion_id, **_new(values)}

    def binding(self, context: Context, ref: Ref, binding: Binding) -> None:
        self.bindings[ref] = {
            "organization_id": context.organization_id,
            "kind": ref[0],
            "ref": ref[1],
            "affiliate_id": binding.affiliate_id,
            "program_id": binding.program_id,
            "code_id": binding.code_id,
            "event_id": binding.event_id,
            "bound_at": binding.bound_at,
            "origin": binding.origin.name,
            "customer_id": binding.customer_id,
        }

    def no_binding(self, ref: Ref) -> None:
        self.bindings.pop(ref, None)
        self.gone_bindings.add(ref)

    def earlier_payment(self, context: Context, fact: EarlierPayment) -> None:
        self.earlier_payments[fact.subscription_id, fact.invoice_id] = {
            "organization_id": context.organization_id,
            "subscription_id": fact.subscription_id,
            "invoice_id": fact.invoice_id,
            "paid_at": fact.occurred_at,
        }

    def no_earlier_payment(self, sale: Sale) -> None:
        key = (sale.subscription_id or "", sale.source_id)
        if self.earlier_payments.pop(key, None) is None:
            self.gone_earlier_payments.append(key)

    def flush(self, context: Context, stored_bindings: set[Ref]) -> None:
        session, sales, tables = context.session, storage.sales, storage.tables
        add_missing = storage.rows.add_missing
        sales.add(session, tables.SaleRow, self.sales)
        sales.redecide(session, list(self.redecided.values()))
        add_missing(session, tables.SaleCodeRow, self.sale_codes)
        add_missing(session, tables.SalePaymentRow, list(self.payments.values()))
        storage.sale_payments.set_amounts(session, context.organization_id, list(self.told_payments.values()))
        add_missing(
            session, tables.BindingRow, [row for ref, row in self.bindings.items() if ref not in stored_bindings]
        )
        moved = [_rebound(row) for ref, row in self.bindings.items() if ref in stored_bindings]
        sales.rebind(session, context.organization_id, moved)
        sales.unbind(session, context.organization_id, self.gone_bindings - self.bindings.keys())
        sales.end_bindings(session, context.organization_id, self.ended_subscriptions)
        add_missing(session, tables.EarlierPaymentRow, list(self.earlier_payments.values()))
        storage.earlier_payments.remove(session, context.organization_id, self.gone_earlier_payments)
        storage.subscription_starts.keep(session, list(self.subscription_starts.values()))
        storage.leads.remove(session, context.organization_id, self.gone_leads)
        storage.leads.set_free_sales(session, context.organization_id, self.free_sales)
        add_missing(session, tables.LeadRow, list(self.leads.values()))
        sales.add(session, tables.ConversionRow, list(self.conversions.values()))
        sales.recredit(session, list(self.recredited.values()))
        sales.add(session, tables.LedgerEntryRow, self.entries)
        sales.add(session, tables.ReversalRow, list(self.new_reversals.values()))
        sales.update_reversals(session, context.organization_id, list(self.changed_reversals.values()))
        sales.update_conversions(session, list(self.settled.values()))


def _new(values: RowValues) -> RowValues:
    """As an update takes them: a parameter must not be named as its column."""
    return {f"new_{name}": value for name, value in values.items()}


def _rebound(row: RowValues) -> RowValues:
    changed = {name: value for name, value in row.items() if name not in ("organization_id", "kind", "ref")}
    return {"old_kind": row["kind"], "old_ref": row["ref"], **_new(changed)}
