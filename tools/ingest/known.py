"""What the store knows about the facts of one batch: read in bulk before, kept current while the batch runs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.attribution import NO_CLAIM
from rekomi_mcp.domain.sales import (
    Fact,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleReference,
    SubscriptionStarted,
)
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import (
        AffiliateCodeRow,
        AffiliateRow,
        LeadRow,
        ProgramRow,
        ReversalRow,
    )

SaleKey = tuple[str, str]
"""A sale's source and source id."""
CUSTOMER, SUBSCRIPTION = "customer", "subscription"


@dataclass(frozen=True, slots=True)
class Binding:
    """The affiliate a customer or subscription belongs to."""

    affiliate_id: str
    program_id: str
    code_id: str | None
    bound_at: datetime


@dataclass(slots=True)
class Earning:
    """A credited sale, as far as reversals need to know it."""

    conversion_id: str
    affiliate_id: str
    commission_minor: int
    commission_currency: str
    gross_minor: int
    remaining_minor: int
    state: str
    refunded_at: datetime | None
    sold_at: datetime
    held_until: datetime
    reversed_minor: dict[str, int]
    """What each reversal takes away, by its id."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """A sale that nobody has claimed yet: later news of the same sale may name an affiliate."""

    sale_id: str
    row: dict[str, Any] | None
    """The row about to be written, while it is not in the store."""


@dataclass(slots=True)
class Known:
    """The working set of one batch."""

    organization: OrganizationView
    earnings: dict[SaleKey, Earning | None]
    """Every sale of the batch that is recorded; None for one that nobody earned on."""
    undecided: dict[SaleKey, Undecided]
    sale_of_payment: dict[str, SaleKey]
    payments_of_sale: dict[SaleKey, set[str]]
    reversals: dict[str, Reversal]
    reversals_of_payment: dict[str, set[str]]
    bindings: dict[tuple[str, str], Binding]
    codes_by_promotion: dict[str, AffiliateCodeRow]
    codes: dict[str, AffiliateCodeRow]
    leads: dict[str, list[LeadRow]]
    affiliates: dict[str, AffiliateRow]
    programs: dict[str, ProgramRow]
    paid_times: dict[str, list[datetime]]

    def invoice_index(self, subscription_id: str, at: datetime) -> int:
        """How many invoices of the subscription were paid before this time."""
        return bisect_left(self.paid_times.get(subscription_id, []), at)

    def note_paid(self, subscription_id: str, at: datetime) -> None:
        insort(self.paid_times.setdefault(subscription_id, []), at)

    def note_payment(self, payment_id: str, key: SaleKey) -> bool:
        """Remember what paid a sale; False when that is known already."""
        if payment_id in self.sale_of_payment:
            return False
        self.sale_of_payment[payment_id] = key
        self.payments_of_sale.setdefault(key, set()).add(payment_id)
        return True

    def note_reversal(self, reversal: Reversal) -> None:
        self.reversals[reversal.id] = reversal
        for payment_id in reversal.payment_ids:
            self.reversals_of_payment.setdefault(payment_id, set()).add(reversal.id)

    def reversals_of(self, key: SaleKey) -> list[Reversal]:
        payment_ids = self.payments_of_sale.get(key, ())
        ids = {i for p in payment_ids for i in self.reversals_of_payment.get(p, ())}
        return [self.reversals[i] for i in sorted(ids)]


def load(context: Context, facts: Sequence[Fact]) -> Known:
    """Read what the facts refer to, in a fixed number of queries."""
    session, organization_id = context.session, context.organization_id
    sales = [f for f in facts if isinstance(f, Sale)]
    reversals = [f for f in facts if isinstance(f, Reversal)]
    started = [f for f in facts if isinstance(f, SubscriptionStarted)]

    payment_ids = {p for s in sales for p in s.payment_ids} | {p for r in reversals for p in r.payment_ids}
    payment_ids |= {f.payment_id for f in facts if isinstance(f, SaleReference)}
    sale_of_payment = storage.sales.sales_of_payments(session, organization_id, payment_ids)
    keys = {(s.source.value, s.source_id) for s in sales} | set(sale_of_payment.values())
    keys |= {(f.source.value, f.source_id) for f in facts if isinstance(f, SaleReference)}
    payments = storage.sales.payments_of_sales(session, organization_id, keys)
    payment_ids |= {p for of_sale in payments.values() for p in of_sale}
    known_reversals = storage.sales.reversals_of_payments(session, organization_id, payment_ids)
    known_reversals += storage.sales.reversals_by_ids(session, organization_id, (r.id for r in reversals)).values()

    promotion_codes = {p for f in (*sales, *started) for p in f.promotion_code_ids}
    codes_by_promotion = storage.codes.by_promotion_codes(session, organization_id, promotion_codes)
    bindings = _bindings(context, (*sales, *started))
    leads = storage.leads.by_emails(session, organization_id, {s.customer_email for s in sales if s.customer_email})
    codes = {row.id: row for row in codes_by_promotion.values()}
    bound_codes = {b.code_id for b in bindings.values() if b.code_id} - codes.keys()
    codes |= storage.codes.by_ids(session, organization_id, bound_codes)

    affiliate_ids = {row.affiliate_id for row in codes.values()} | {b.affiliate_id for b in bindings.values()}
    affiliate_ids |= {lead.affiliate_id for of_email in leads.values() for lead in of_email}
    affiliates = storage.affiliates.by_ids(session, organization_id, affiliate_ids)
    program_ids = {row.program_id for row in affiliates.values()}
    organization = storage.organizations.get(session, organization_id)
    assert organization is not None
    known = Known(
        organization=organization,
        earnings={},
        undecided={},
        sale_of_payment={**sale_of_payment, **{p: key for key, of_sale in payments.items() for p in of_sale}},
        payments_of_sale=payments,
        reversals={},
        reversals_of_payment={},
        bindings=bindings,
        codes_by_promotion=codes_by_promotion,
        codes=codes,
        leads=leads,
        affiliates=affiliates,
        programs=storage.programs.by_ids(session, organization_id, sorted(program_ids)),
        paid_times=storage.sales.paid_times(
            session, organization_id, {s.subscription_id for s in sales if s.subscription_id}
        ),
    )
    for row in known_reversals:
        known.note_reversal(_reversal(row))
    _load_earnings(context, known, keys)
    return known


def _bindings(context: Context, facts: Iterable[Sale | SubscriptionStarted]) -> dict[tuple[str, str], Binding]:
    refs = {(SUBSCRIPTION, f.subscription_id) for f in facts if f.subscription_id}
    refs |= {(CUSTOMER, f.customer_id) for f in facts if f.customer_id}
    rows = storage.sales.bindings(context.session, context.organization_id, refs)
    return {key: Binding(b.affiliate_id, b.program_id, b.code_id, b.bound_at) for key, b in rows.items()}


def _load_earnings(context: Context, known: Known, keys: set[SaleKey]) -> None:
    sales = storage.sales.by_keys(context.session, context.organization_id, keys)
    conversions = storage.sales.conversions_of(context.session, (row.id for row in sales.values()))
    taken: dict[SaleKey, dict[str, int]] = {}
    for reversal in known.reversals.values():
        for payment_id in reversal.payment_ids:
            if payment_id in known.sale_of_payment:
                taken.setdefault(known.sale_of_payment[payment_id], {})[reversal.id] = reversal.effective_minor
    for key, sale in sales.items():
        if sale.outcome == NO_CLAIM:
            known.undecided[key] = Undecided(sale.id, None)
        row = conversions.get(sale.id)
        known.earnings[key] = row and Earning(
            conversion_id=row.id,
            affiliate_id=row.affiliate_id,
            commission_minor=row.commission_minor,
            commission_currency=row.commission_currency,
            gross_minor=sale.gross_minor,
            remaining_minor=row.remaining_minor,
            state=row.state,
            refunded_at=row.refunded_at,
            sold_at=row.occurred_at,
            held_until=row.held_until,
            reversed_minor=taken.get(key, {}),
        )


def _reversal(row: ReversalRow) -> Reversal:
    return Reversal(
        id=row.id,
        kind=ReversalKind(row.kind),
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        currency=row.currency,
        amount_minor=row.amount_minor,
        status=ReversalStatus(row.status),
        payment_intent_id=row.payment_intent_id,
        charge_id=row.charge_id,
    )
