"""Read what the facts of a batch refer to, in a fixed number of queries; more only when news comes late."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import (
    CodeChanged,
    CouponDeleted,
    EarlierPayment,
    Fact,
    Referral,
    Reversal,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.doubles import checkout_key, find_doubles, join_doubles
from rekomi_mcp.tools.ingest.known import (
    DENIED,
    Known,
    Lead,
    Ref,
    key_of,
    refs_of,
)
from rekomi_mcp.tools.ingest.late_news import Bindings, later_sales
from rekomi_mcp.tools.ingest.payments import Payments, SaleKey
from rekomi_mcp.tools.ingest.starts import with_adopted_starts
from rekomi_mcp.tools.ingest.stored import binding_of, recorded_of, reversal_of, sale_of

if TYPE_CHECKING:
    from rekomi_mcp.storage.clicks import Click
    from rekomi_mcp.storage.earlier_payments import EarlierPayment as Before
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import (
        AffiliateLinkRow,
        BindingRow,
        LeadRow,
        ReversalRow,
        SaleRow,
    )

LONGEST_WINDOW = timedelta(days=366)
"""No program counts a click for longer."""


def load(context: Context, facts: Sequence[Fact], *, corrects: bool = False) -> Known:
    """The working set of these facts; with what may change when they correct amounts."""
    session, organization_id = context.session, context.organization_id
    organization = storage.organizations.get(session, organization_id)
    assert organization is not None
    facts = with_adopted_starts(context, organization, facts)
    sales = [f for f in facts if isinstance(f, Sale)]
    reversals = [f for f in facts if isinstance(f, Reversal)]
    started = [f for f in facts if isinstance(f, SubscriptionStarted)]
    references = [f for f in facts if isinstance(f, SaleReference)]
    paid_before = [f for f in facts if isinstance(f, EarlierPayment)]

    payment_ids = {p for f in (*sales, *reversals) for p in f.payment_ids} | {f.payment_id for f in references}
    payments = Payments()
    payments.read(context, payment_ids)
    told = {key_of(sale) for sale in sales}
    payments.read_of(context, told)
    payments.read(context, (payment_id for key in told for payment_id in payments.of(key)))
    keys = told | payments.sales() | {(f.source.value, f.source_id) for f in references}
    keys |= {(r.sale[0].value, r.sale[1]) for r in reversals if r.sale is not None}
    keys |= {(SaleSource.Invoice.value, f.invoice_id) for f in paid_before}
    keys |= {checkout_key(sale) for sale in sales if sale.checkout_id is not None}
    rows = storage.sales.by_keys(session, organization_id, keys)
    doubles = _doubles(context, facts, payments, rows)
    keys |= rows.keys() | payments.sales()
    if doubles:
        facts = join_doubles(facts, doubles, {key: sale_of(rows[key]) for key in rows})
        sales = [f for f in facts if isinstance(f, Sale)]
        told = {key_of(sale) for sale in sales}
    bindings = Bindings()
    later = later_sales(context, [*sales, *started, *paid_before], rows, bindings, corrects=corrects)
    rows |= later
    keys |= later.keys()
    taken_back = _taken_back(context, payments, keys, payment_ids, reversals)
    rows |= storage.sales.by_keys(session, organization_id, payments.sales() - keys)
    recorded = recorded_of(context, rows)

    again = [recorded[key].sale for key in (told & rows.keys()) | later.keys()]
    deciding = [*sales, *again]
    bindings.read(context, (ref for fact in (*deciding, *started) for ref in refs_of(fact)))
    bindings.read_begun(context, again)
    known = _claims(context, organization, facts, deciding, started, bindings.rows)
    known.facts, known.doubles, known.corrects = facts, doubles, corrects
    known.recorded, known.later = recorded, [recorded[key] for key in later]
    known.payments = payments
    _note_reversals(known, taken_back)
    return known


def _doubles(
    context: Context, facts: Sequence[Fact], payments: Payments, rows: dict[SaleKey, SaleRow]
) -> dict[SaleKey, list[SaleKey]]:
    """Checkouts with the invoices they are one sale with; what else is stored of them is read into `rows`.

    Such an invoice may have been paid by other checkouts too, and those may have paid other invoices.
    """
    doubles, read = find_doubles(facts, payments, rows.keys()), set[SaleKey]()
    while (invoices := {invoice for of_checkout in doubles.values() for invoice in of_checkout}) - read:
        read |= invoices
        payments.read_of(context, invoices)
        payments.read(context, (p for invoice in invoices for p in payments.of(invoice)))
        rows |= storage.sales.by_keys(context.session, context.organization_id, payments.sales() - rows.keys())
        doubles = find_doubles(facts, payments, rows.keys())
    return doubles


def _claims(
    context: Context,
    organization: OrganizationView,
    facts: Sequence[Fact],
    sales: Sequence[Sale],
    started: Sequence[SubscriptionStarted],
    rows: Mapping[Ref, BindingRow],
) -> Known:
    """Everything that may speak for an affiliate on these sales and subscriptions."""
    session, organization_id = context.session, context.organization_id
    promotion_codes = {p for f in (*sales, *started) for p in f.promotion_code_ids}
    promotion_codes |= {f.promotion_code_id for f in facts if isinstance(f, CodeChanged)}
    codes_by_promotion = storage.codes.by_promotion_codes(session, organization_id, promotion_codes)
    emails = {s.customer_email for s in sales if s.customer_email}
    leads = storage.leads.by_emails(session, organization_id, emails)
    codes = {row.id: row for row in codes_by_promotion.values()}
    referrals = [f.referral for f in (*sales, *started) if f.referral is not None]
    other_codes = {b.code_id for b in rows.values() if b.code_id} | {r.code_id for r in referrals if r.code_id}
    codes |= storage.codes.by_ids(session, organization_id, other_codes - codes.keys())
    coupon_ids = {row.campaign_coupon_id for row in codes.values()}
    times = [*(sale.earned_at for sale in sales), *(fact.occurred_at for fact in started)]
    visits = _visits(context, referrals, times)

    affiliate_ids = {row.affiliate_id for row in (*codes.values(), *rows.values(), *visits.links.values())}
    affiliate_ids |= {lead.affiliate_id for of_email in leads.values() for lead in of_email}
    affiliate_ids |= {click.affiliate_id for of_visitor in visits.of_visitor.values() for click in of_visitor}
    affiliate_ids |= {r.affiliate_id for r in referrals if r.affiliate_id}
    affiliates = storage.affiliates.terms(session, organization_id, affiliate_ids)
    program_ids = {row.program_id for row in affiliates.values()}
    deleted = [f.coupon_id for f in facts if isinstance(f, CouponDeleted)]
    coupons = storage.campaign_coupons.by_ids(session, organization_id, coupon_ids)
    coupons |= storage.campaign_coupons.by_stripe_ids(session, organization_id, deleted)
    subscriptions = {s.subscription_id for s in sales if s.subscription_id}
    subscriptions |= {f.subscription_id for f in facts if isinstance(f, EarlierPayment)}
    paid_before = list(storage.earlier_payments.of_subscriptions(session, organization_id, subscriptions))
    return Known(
        organization=organization,
        recorded={},
        later=[],
        payments=Payments(),
        bindings={ref: binding_of(row) for ref, row in rows.items()},
        stored_bindings=set(rows),
        codes_by_promotion=codes_by_promotion,
        codes=codes,
        coupons=coupons,
        leads={email: _leads(of_email) for email, of_email in leads.items()},
        visitor_of_click=visits.visitors,
        clicks_of_visitor=visits.of_visitor,
        links=visits.links,
        affiliates=affiliates,
        programs=storage.programs.by_ids(session, organization_id, sorted(program_ids)),
        past_terms=storage.past_terms.of_subjects(
            session,
            organization_id,
            {*affiliate_ids, *program_ids, *(row.id for row in coupons.values())},
            since=min(times, default=context.now),
        ),
        paid_times=_paid_times(storage.sales.paid_times(session, organization_id, subscriptions), paid_before),
        paid_before={payment.invoice_id: payment.paid_at for payment in paid_before},
    )


def _paid_times(of_sales: dict[str, list[datetime]], before: Sequence[Before]) -> dict[str, list[datetime]]:
    for payment in before:
        insort(of_sales.setdefault(payment.subscription_id, []), payment.paid_at)
    return of_sales


@dataclass(frozen=True, slots=True)
class _Visits:
    visitors: dict[str, str]
    """Who made each click."""
    of_visitor: dict[str, list[Click]]
    links: dict[str, AffiliateLinkRow]


def _visits(context: Context, referrals: Sequence[Referral], times: Sequence[datetime]) -> _Visits:
    """The clicks and links that sales refer to, with the other clicks of the same visitors."""
    session, organization_id = context.session, context.organization_id
    clicks = storage.clicks.by_ids(session, organization_id, (r.click_id for r in referrals if r.click_id))
    visitors = {click.id: click.visitor_id for click in clicks.values()}
    since = min(times, default=context.now) - LONGEST_WINDOW
    return _Visits(
        visitors,
        storage.clicks.of_visitors(session, organization_id, visitors.values(), since),
        storage.links.by_slugs(session, organization_id, (r.slug for r in referrals if r.slug)),
    )


def _leads(rows: Sequence[LeadRow]) -> list[Lead]:
    """Signups, oldest first: the same affiliate may have one by a sale and one that was recorded."""
    found: list[Lead] = []
    for row in rows:
        if row.source != storage.leads.OF_SALE:
            found.append(Lead(row.id, row.affiliate_id, row.program_id, row.created_at))
        if row.free_sale_at is not None:
            found.append(Lead(row.id, row.affiliate_id, row.program_id, row.free_sale_at, is_of_sale=True))
    return sorted(found, key=Lead.place)


def _taken_back(
    context: Context, payments: Payments, keys: set[SaleKey], payment_ids: set[str], facts: Sequence[Reversal]
) -> list[ReversalRow]:
    """What was taken back of these sales so far, and of those that bear it with them."""
    session, organization_id = context.session, context.organization_id
    rows = storage.sales.reversals_by_ids(session, organization_id, (r.id for r in facts))
    while keys or payment_ids:
        payments.read_of(context, keys)
        payment_ids = payment_ids | {p for key in keys for p in payments.of(key)}
        of_payments = storage.sales.reversals_of_payments(session, organization_id, payment_ids)
        of_sales = storage.sales.reversals_of_sales(session, organization_id, keys)
        rows |= {row.id: row for row in (*of_payments, *of_sales)}
        before = payments.sales()
        payments.read(context, (p for row in of_payments for p in reversal_of(row).payment_ids))
        keys, payment_ids = payments.sales() - before, set()
    return list(rows.values())


def _note_reversals(known: Known, rows: Sequence[ReversalRow]) -> None:
    """What was taken back so far, and what it takes from each sale."""
    for row in rows:
        known.note_reversal(reversal_of(row))
    for key, recorded in known.recorded.items():
        earning = recorded.earning
        if earning is None or earning.state == DENIED:
            continue
        for reversal in known.reversals_of(key):
            share = earning.borne[reversal.id] = known.shares_of(reversal).get(key, 0)
            earning.reversed_minor[reversal.id] = reversal.effective_minor * share
