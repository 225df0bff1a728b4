"""Read what the facts of a batch refer to, in a fixed number of queries; more only when news comes late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import (
    CodeChanged,
    CouponDeleted,
    Fact,
    Referral,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.binding import origin_of_sale, origin_of_subscription
from rekomi_mcp.tools.ingest.doubles import checkout_key, find_doubles, join_doubles
from rekomi_mcp.tools.ingest.known import (
    CUSTOMER,
    DENIED,
    EMAIL,
    SUBSCRIPTION,
    Binding,
    Earning,
    Known,
    Lead,
    Origin,
    Recorded,
    Ref,
    key_of,
    refs_of,
)
from rekomi_mcp.tools.ingest.payments import Payments, SaleKey
from rekomi_mcp.tools.ingest.starts import with_adopted_starts

if TYPE_CHECKING:
    from rekomi_mcp.storage.clicks import Click
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import (
        AffiliateLinkRow,
        BindingRow,
        ConversionRow,
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

    payment_ids = {p for f in (*sales, *reversals) for p in f.payment_ids} | {f.payment_id for f in references}
    payments = Payments()
    payments.read(context, payment_ids)
    told = {key_of(sale) for sale in sales}
    payments.read_of(context, told)
    payments.read(context, (payment_id for key in told for payment_id in payments.of(key)))
    keys = told | payments.sales() | {(f.source.value, f.source_id) for f in references}
    keys |= {(r.sale[0].value, r.sale[1]) for r in reversals if r.sale is not None}
    keys |= {checkout_key(sale) for sale in sales if sale.checkout_id is not None}
    rows = storage.sales.by_keys(session, organization_id, keys)
    doubles = _doubles(context, facts, payments, rows)
    keys |= rows.keys() | payments.sales()
    if doubles:
        facts = join_doubles(facts, doubles, {key: sale_of(rows[key]) for key in rows})
        sales = [f for f in facts if isinstance(f, Sale)]
        told = {key_of(sale) for sale in sales}
    bindings = _Bindings()
    news = [_news_of(sale, rows.get(key_of(sale)), corrects=corrects) for sale in sales]
    later = _later(context, news, sales, started, bindings)
    rows |= later
    keys |= later.keys()
    taken_back = _taken_back(context, payments, keys, payment_ids, reversals)
    rows |= storage.sales.by_keys(session, organization_id, payments.sales() - keys)
    recorded = _recorded(context, rows)

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


def sale_of(row: SaleRow) -> Sale:
    """A stored sale as it was told. What paid it is kept apart, and its customer's name not at all."""
    referral = Referral(**row.referral) if row.referral else None
    return Sale(
        source=SaleSource(row.source),
        source_id=row.source_id,
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        currency=row.currency,
        net_minor=row.net_minor,
        gross_minor=row.gross_minor,
        customer_id=row.customer_id,
        customer_email=row.customer_email,
        subscription_id=row.subscription_id,
        promotion_code_ids=tuple(row.decision["promotionCodeIds"]),
        referral=referral,
        is_counted=row.is_counted,
        begun_at=datetime.fromisoformat(row.decision["begunAt"]) if "begunAt" in row.decision else None,
    )


@dataclass(frozen=True, slots=True)
class _News:
    """Something told or stored that may change what is known of a subscription, customer or address."""

    origin: Origin
    refs: Sequence[Ref]
    is_counted: bool = False
    """Whether it is a payment that its subscription did not have before."""


def _news_of(sale: Sale, stored: SaleRow | None, *, corrects: bool = False) -> _News:
    """A sale changes what is known of an address only where it cost nothing: then it is a lead."""
    refs = refs_of(sale) if stored is None else list({*refs_of(sale), *refs_of(sale_of(stored))})
    is_turned = corrects and stored is not None and (stored.net_minor > 0) != (sale.net_minor > 0)
    is_lead = sale.net_minor <= 0 or is_turned
    is_counted = sale.is_counted and (stored is None or is_turned)
    return _News(origin_of_sale(sale), [ref for ref in refs if ref[0] != EMAIL or is_lead], is_counted)


def _later(
    context: Context,
    news: list[_News],
    sales: Sequence[Sale],
    started: Sequence[SubscriptionStarted],
    bindings: _Bindings,
) -> dict[SaleKey, SaleRow]:
    """Stored sales at or after the time of the news whose decision the news may change.

    In the order of time there are none. Else what they may change in turn is followed too, until nothing new is found.
    """
    news = news + [_News(origin_of_subscription(fact), refs_of(fact)) for fact in started]
    found: dict[SaleKey, SaleRow] = {}
    seen: dict[Ref, datetime] = {}
    while new := _reached(context, news, seen, bindings):
        seen |= new
        rows = {
            (row.source, row.source_id): row
            for row in storage.sales.since(context.session, context.organization_id, new)
        }
        news = [_news_of(sale_of(row), row) for key, row in rows.items() if key not in found]
        found |= rows
    told = {key_of(sale) for sale in sales}
    return {key: row for key, row in found.items() if key not in told or _is_after_news(row, sales, started)}


def _reached(
    context: Context, news: Sequence[_News], seen: Mapping[Ref, datetime], bindings: _Bindings
) -> dict[Ref, datetime]:
    """What the news may change, and since when; a customer who belonged to somebody before stays whose they are."""
    bindings.read(context, (ref for each in news for ref in each.refs))
    reached: dict[Ref, datetime] = {}
    for each in news:
        at = each.origin.at
        for ref in each.refs:
            bound = bindings.rows.get(ref)
            is_settled = bound is not None and _binding(bound).origin.precedes(each.origin)
            if is_settled and not (each.is_counted and ref[0] == SUBSCRIPTION):
                continue
            if ref not in seen or at < seen[ref]:
                reached[ref] = min(at, reached.get(ref, at))
    return reached


def _is_after_news(row: SaleRow, sales: Sequence[Sale], started: Sequence[SubscriptionStarted]) -> bool:
    """False for a sale that is only told again."""
    return any(f.occurred_at <= row.occurred_at for f in started) or any(
        f.earned_at <= row.occurred_at and (f.source, f.source_id) != (row.source, row.source_id) for f in sales
    )


def _recorded(context: Context, rows: Mapping[SaleKey, SaleRow]) -> dict[SaleKey, Recorded]:
    conversions = storage.sales.conversions_of(context.session, (row.id for row in rows.values()))
    return {
        key: Recorded(
            id=row.id,
            sale=sale_of(row),
            row=None,
            outcome=row.outcome,
            decision=row.decision,
            revision=row.revision,
            earning=_earning(conversions.get(row.id), row),
        )
        for key, row in rows.items()
    }


def _earning(row: ConversionRow | None, sale: SaleRow) -> Earning | None:
    return row and Earning(
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
        on_hold_minor=row.on_hold_minor,
        revision=sale.revision,
    )


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
    return Known(
        organization=organization,
        recorded={},
        later=[],
        payments=Payments(),
        bindings={ref: _binding(row) for ref, row in rows.items()},
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
        paid_times=storage.sales.paid_times(session, organization_id, subscriptions),
    )


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


@dataclass(slots=True)
class _Bindings:
    """Whom customers and subscriptions belong to, each read once."""

    rows: dict[Ref, BindingRow] = field(default_factory=dict[Ref, "BindingRow"])
    _asked: set[Ref] = field(default_factory=set[Ref])

    def read(self, context: Context, refs: Iterable[Ref]) -> None:
        wanted = {ref for ref in refs if ref[0] != EMAIL} - self._asked
        self._asked |= wanted
        self.rows |= storage.sales.bindings(context.session, context.organization_id, wanted)

    def read_begun(self, context: Context, again: Iterable[Sale]) -> None:
        """How subscriptions began of customers whom one of these sales had bound: they have them when it has not."""
        of_customers = [(sale.customer_id, origin_of_sale(sale).name) for sale in again if sale.customer_id is not None]
        customers = {c for c, name in of_customers if (row := self.rows.get((CUSTOMER, c))) and row.origin == name}
        self.rows |= storage.sales.bindings_of_customers(context.session, context.organization_id, customers)


RANKS = {"checkout": 0, "subscription": 1, "sale": 2}
"""By the first word of a stored origin."""


def _binding(row: BindingRow) -> Binding:
    origin = row.origin or "sale:"
    rank = RANKS[origin.partition(":")[0]]
    at = Origin(row.bound_at, rank, origin)
    return Binding(row.affiliate_id, row.program_id, row.code_id, at, row.event_id, row.customer_id)


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


def reversal_of(row: ReversalRow) -> Reversal:
    """A stored refund, dispute or credit note as it was told."""
    sale = (SaleSource(row.sale_source), row.sale_source_id) if row.sale_source and row.sale_source_id else None
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
        told_at=row.told_at,
        sale=sale,
    )
