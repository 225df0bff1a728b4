"""Random histories, in any order and any batches, end in the books of a small model that knows only the rules."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from rekomi_mcp.domain.ledger import NOT_PAYABLE
from rekomi_mcp.domain.sales import (
    Fact,
    Referral,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.storage import past_terms, rows
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateLinkRow,
    AffiliateRow,
    BindingRow,
    CampaignCouponRow,
    ClickRow,
    ConversionRow,
    LeadRow,
    LedgerEntryRow,
    ProgramRow,
    SaleRow,
)
from rekomi_mcp.tools.ingest import apply_facts
from tests.support.stage import Stage

Event = tuple[Fact, ...]
Books = dict[str, Any]
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)
NAMES = ("Sarah Lee", "Tom Ray")
CODES = {"promo_sarah": "Sarah Lee", "promo_tom": "Tom Ray"}
"""Sarah's goes before clicks; Tom's leaves the sale to them, and has a rate of its own."""
NOBODYS = "promo_nobody"
RATES = {"promo_tom": Fraction(30, 100)}
RATE, RAISED = Fraction(20, 100), Fraction(25, 100)
CLICKS = {"click_1": ("visitor_1", "Sarah Lee", 1), "click_2": ("visitor_1", "Tom Ray", 4)}
"""The visitor, whose link, and the day."""
WINDOW_DAYS = 5
LEADS = {"kim@example.com": [("Tom Ray", 3)]}
PAYMENT = 4400


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@dataclass(frozen=True)
class Renewals:
    months: int | None
    delay: int


@dataclass(frozen=True)
class Changes:
    """What the owner changed: long before any news comes, and it counts from its own day on."""

    tom_paused: tuple[int, int] | None = None
    """From the one day up to the other."""
    raised: int | None = None
    """The day from which the program paid 25 %."""

    def may_earn(self, name: str, at: datetime) -> bool:
        return (
            name != "Tom Ray" or self.tom_paused is None or not day(self.tom_paused[0]) <= at < day(self.tom_paused[1])
        )

    def rate(self, at: datetime) -> Fraction:
        return RAISED if self.raised is not None and at >= day(self.raised) else RATE


@dataclass
class History:
    """What happened; `events` are what is told of it."""

    renewals: Renewals
    changes: Changes
    sales: list[Sale]
    started: list[SubscriptionStarted]
    reversals: list[list[Reversal]]
    partly_told: list[Sale]
    """Some sales again, by an event that knows neither codes nor clicks."""

    def events(self) -> list[Event]:
        facts: list[Fact] = [
            *self.sales,
            *self.started,
            *self.partly_told,
            *(r for each in self.reversals for r in each),
        ]
        return [(replace(fact, event_id=f"evt_{number}"),) for number, fact in enumerate(facts)]


CUSTOMERS: tuple[tuple[str | None, str | None], ...] = (
    ("cus_kim", "Kim@example.com"),
    ("cus_lou", "lou@example.com"),
    (None, "kim@example.com"),
    ("cus_max", None),
    (None, "lou@example.com"),
)
DAYS = st.integers(0, 8)
TOLD_CODES = st.lists(st.sampled_from([*CODES, NOBODYS]), max_size=2, unique=True).map(tuple)
REFERRALS = st.one_of(st.none(), st.sampled_from([Referral(click_id=c) for c in CLICKS]))


@st.composite
def _sales(draw: st.DrawFn) -> list[Sale]:
    found: list[Sale] = []
    for number in range(draw(st.integers(1, 6))):
        customer, email = draw(st.sampled_from(CUSTOMERS))
        net = draw(st.sampled_from([0, 1000, 3333, 4000]))
        found.append(
            Sale(
                source=SaleSource.Invoice,
                source_id=f"in_{number}",
                event_id="",
                occurred_at=day(draw(DAYS)),
                currency="USD",
                net_minor=net,
                gross_minor=net + net // 10,
                customer_id=customer,
                customer_email=email,
                subscription_id=draw(st.sampled_from([None, "sub_1", "sub_2"])) if customer else None,
                promotion_code_ids=draw(TOLD_CODES),
                payment_ids=(f"pi_{number}",),
                referral=draw(REFERRALS),
                is_counted=draw(st.sampled_from([True, True, True, False])),
            )
        )
    return found


@st.composite
def _started(draw: st.DrawFn) -> list[SubscriptionStarted]:
    found: list[SubscriptionStarted] = []
    for subscription in ("sub_1", "sub_2"):
        customer = draw(st.sampled_from(["cus_kim", "cus_lou"]))
        begun = draw(DAYS)
        if draw(st.booleans()):
            codes, referral = draw(TOLD_CODES), draw(REFERRALS)
            found.append(
                SubscriptionStarted(subscription, customer, "", day(begun), codes, referral, draw(st.booleans()))
            )
        if draw(st.booleans()):
            found.append(
                SubscriptionStarted(subscription, customer, "", day(begun + draw(st.integers(1, 3))), draw(TOLD_CODES))
            )
    return found


@st.composite
def _reversals(draw: st.DrawFn, sales: Sequence[Sale]) -> list[list[Reversal]]:
    found: list[list[Reversal]] = []
    for number in range(draw(st.integers(0, 3))):
        sale = draw(st.sampled_from(sales))
        kind = draw(st.sampled_from(list(ReversalKind)))
        amount = draw(st.integers(1, max(1, sale.gross_minor)))
        ends = {
            ReversalKind.Refund: [["pending", "succeeded"], ["succeeded", "failed"], ["succeeded"]],
            ReversalKind.CreditNote: [["succeeded"], ["succeeded", "failed"]],
            ReversalKind.Dispute: [
                ["pending", "failed"],
                ["open"],
                ["open", "succeeded"],
                ["open", "failed"],
                ["open", "succeeded", "failed", "succeeded"],
            ],
        }[kind]
        of_note = kind is ReversalKind.CreditNote
        begun = draw(st.integers(0, 9))
        found.append(
            [
                Reversal(
                    id=f"{kind.value}_{number}",
                    kind=kind,
                    event_id="",
                    occurred_at=day(begun + step),
                    currency="USD",
                    amount_minor=amount,
                    status=ReversalStatus(status),
                    payment_intent_id=None if of_note else sale.payment_ids[0],
                    told_at=day(begun + step),
                    sale=(SaleSource.Invoice, sale.source_id) if of_note else None,
                )
                for step, status in enumerate(draw(st.sampled_from(ends)))
            ]
        )
    return found


_PAUSES = st.sampled_from([None, None, (2, 5), (0, 7), (4, 9)])
_CHANGES = st.builds(Changes, tom_paused=_PAUSES, raised=st.sampled_from([None, None, 1, 4]))


@st.composite
def histories(draw: st.DrawFn) -> History:
    sales = draw(_sales())
    again = draw(st.lists(st.sampled_from(sales), max_size=2))
    return History(
        renewals=Renewals(draw(st.sampled_from([None, 0, 1])), draw(st.sampled_from([0, 0, 1]))),
        changes=draw(_CHANGES),
        sales=sales,
        started=draw(_started()),
        reversals=draw(_reversals(sales)),
        partly_told=[replace(sale, promotion_code_ids=(), referral=None) for sale in again],
    )


@st.composite
def deliveries(draw: st.DrawFn, told: Sequence[Event]) -> list[list[Event]]:
    """Batches that bring every event in any order."""
    sent = list(draw(st.permutations(told)))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent) - 1)))) if len(sent) > 1 else []
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


Winner = tuple[str, str | None]
"""An affiliate, and the code by which they won."""


@dataclass
class Model:
    """The rules of `DESIGN`'s part on attribution, applied to everything in the order in which it happened."""

    history: History
    bound: dict[str, Winner] = field(default_factory=dict[str, Winner])
    leads: dict[str, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    """By address: of sales that cost nothing."""
    conversions: list[tuple[str, str, int, int, str]] = field(default_factory=list[Any])

    def books(self) -> Books:
        for step in sorted((*self.history.sales, *self.history.started), key=_moment):
            if isinstance(step, Sale):
                self._sell(step)
            else:
                won = next(self._claims(step), None)
                self._bind(won, step)
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for _, name, _, remaining, _ in self.conversions:
            sums[name, "USD"] += remaining
        return {
            "conversions": sorted(self.conversions),
            "balances": {key: value for key, value in sums.items() if value},
            "held": {each[0]: each[3] for each in self.conversions if each[3] and self._is_disputed(each[0])},
            "bound": sorted((("subscription" if r[0] == "s" else "customer"), r, w[0]) for r, w in self.bound.items()),
        }

    def _sell(self, sale: Sale) -> None:
        won = self._winner(sale)
        self._bind(won, sale)
        if won is None:
            return
        if sale.net_minor <= 0:
            if sale.customer_email is not None and not self._paid_before(sale):
                self.leads[sale.customer_email.lower()].append((sale.occurred_at, won[0]))
            return
        if sale.subscription_id is not None and not self._earns(sale):
            return
        rate = RATES.get(won[1] or "") or self.history.changes.rate(sale.occurred_at)
        commission = _half_up(rate * sale.net_minor)
        gone = min(sale.gross_minor, sum(_gone(steps, sale) for steps in self.history.reversals))
        left = _half_up(Fraction(commission * (sale.gross_minor - gone), sale.gross_minor))
        state = "Refunded" if gone == sale.gross_minor else "Open"
        self.conversions.append((sale.source_id, won[0], commission, left, state))

    def _winner(self, sale: Sale) -> Winner | None:
        of_subscription = self.bound.get(sale.subscription_id or "")
        if of_subscription is None:
            return next(self._claims(sale), None) or self._earlier(sale)
        if not self._may_earn(of_subscription[0], sale):
            return None
        own = next((c for c in sale.promotion_code_ids if CODES.get(c) == of_subscription[0]), None)
        return (of_subscription[0], own) if own is not None else of_subscription

    def _may_earn(self, name: str, fact: Sale | SubscriptionStarted) -> bool:
        return self.history.changes.may_earn(name, fact.occurred_at)

    def _claims(self, fact: Sale | SubscriptionStarted) -> Iterator[Winner]:
        yield from (claim for claim in self._all_claims(fact) if self._may_earn(claim[0], fact))

    def _all_claims(self, fact: Sale | SubscriptionStarted) -> Iterator[Winner]:
        codes = [code for code in fact.promotion_code_ids if code in CODES]
        yield from ((CODES[code], code) for code in codes if code == "promo_sarah")
        if fact.referral is not None and fact.referral.click_id is not None:
            visitor, _, _ = CLICKS[fact.referral.click_id]
            clicks = [(number, name) for who, name, number in CLICKS.values() if who == visitor]
            in_window = [c for c in clicks if timedelta() <= fact.occurred_at - day(c[0]) <= timedelta(WINDOW_DAYS)]
            yield from ((name, None) for _, name in sorted(in_window, reverse=True))
        yield from ((CODES[code], code) for code in codes if code == "promo_tom")

    def _earlier(self, sale: Sale) -> Winner | None:
        won = self.bound.get(sale.customer_id or "")
        if won is not None and self._may_earn(won[0], sale):
            return won
        email = (sale.customer_email or "").lower()
        leads = [(day(number), name) for name, number in LEADS.get(email, ()) if day(number) <= sale.occurred_at]
        leads += [(since, name) for since, name in self.leads[email] if since < sale.occurred_at]
        may_earn = [lead for lead in leads if self._may_earn(lead[1], sale)]
        return (min(may_earn)[1], None) if may_earn else None

    def _earns(self, sale: Sale) -> bool:
        index = self._paid_before(sale)
        months, delay = self.history.renewals.months, self.history.renewals.delay
        return index >= delay and (months is None or index - delay <= months)

    def _paid_before(self, sale: Sale) -> int:
        return sum(
            other.subscription_id == sale.subscription_id
            and other.is_counted
            and other.net_minor > 0
            and other.occurred_at < sale.occurred_at
            for other in self.history.sales
            if sale.subscription_id is not None
        )

    def _is_disputed(self, source_id: str) -> bool:
        payments = {sale.payment_ids[0] for sale in self.history.sales if sale.source_id == source_id}
        return any(
            steps[-1].status is ReversalStatus.Open and steps[-1].payment_intent_id in payments
            for steps in self.history.reversals
        )

    def _bind(self, won: Winner | None, fact: Sale | SubscriptionStarted) -> None:
        for ref in (fact.subscription_id, fact.customer_id):
            if won is not None and ref is not None:
                self.bound.setdefault(ref, won)


def _moment(step: Sale | SubscriptionStarted) -> tuple[datetime, int, str]:
    if isinstance(step, Sale):
        return step.occurred_at, 2, step.source_id
    return step.occurred_at, 0 if step.at_checkout else 1, step.subscription_id


def _gone(steps: Sequence[Reversal], sale: Sale) -> int:
    """What a reversal has taken away at the end."""
    last = steps[-1]
    mine = sale.payment_ids[0] == last.payment_intent_id or last.sale == (sale.source, sale.source_id)
    return last.amount_minor if mine and last.status is ReversalStatus.Succeeded else 0


def _half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def begin(session: Session, renewals: Renewals, changes: Changes) -> None:
    """Sarah and Tom with codes, clicks and leads, and what the owner changed."""
    codes = {row.code: row for row in session.exec(select(AffiliateCodeRow))}
    sarah, tom = codes["SARAH20"], codes["TOM20"]
    coupon = session.exec(select(CampaignCouponRow)).one()
    weak = CampaignCouponRow(**coupon.model_dump(exclude={"id", "name", "overrides_click_attribution"}), **_WEAK)
    session.add(weak)
    session.flush()
    sarah.stripe_promotion_code_id, tom.stripe_promotion_code_id = "promo_sarah", "promo_tom"
    tom.campaign_coupon_id, tom.commission_type, tom.commission_value = weak.id, "Percentage", 3000
    program = session.exec(select(ProgramRow)).one()
    program.cookie_window_days, program.attribution_model = WINDOW_DAYS, "LastTouch"
    program.recurring_months, program.recurring_delay_invoices = renewals.months, renewals.delay
    affiliates = {row.full_name: row for row in session.exec(select(AffiliateRow))}
    for row in (program, *affiliates.values()):
        row.created_at = day(-1)
    links = {row.affiliate_id: row.id for row in session.exec(select(AffiliateLinkRow))}
    for click_id, (visitor, owner, number) in CLICKS.items():
        row = affiliates[owner]
        session.add(_click(row, links[row.id], click_id, visitor, number))
    for email, leads in LEADS.items():
        session.add_all(_lead(affiliates[owner], email, number) for owner, number in leads)
    if changes.raised is not None:
        with past_terms.kept(session, program, day(changes.raised)):
            program.commission_value = 2500
    if changes.tom_paused is not None:
        for number, status in zip(changes.tom_paused, ("Paused", "Approved"), strict=True):
            with past_terms.kept(session, affiliates["Tom Ray"], day(number)):
                affiliates["Tom Ray"].status = status


_WEAK: dict[str, Any] = {"name": "weak", "overrides_click_attribution": False}


def _click(owner: AffiliateRow, link_id: str, click_id: str, visitor: str, number: int) -> ClickRow:
    return ClickRow(
        id=click_id,
        organization_id=owner.organization_id,
        program_id=owner.program_id,
        affiliate_id=owner.id,
        link_id=link_id,
        visitor_id=visitor,
        device="Desktop",
        occurred_at=day(number),
    )


def _lead(owner: AffiliateRow, email: str, number: int) -> LeadRow:
    return LeadRow(
        organization_id=owner.organization_id,
        program_id=owner.program_id,
        affiliate_id=owner.id,
        email=email,
        email_key=email,
        source="Api",
        created_at=day(number),
    )


def books_after(stage: Stage, history: History, batches: Sequence[Sequence[Event]]) -> Books:
    """What the books say after these batches, each read and written afresh; nothing of it stays."""
    with stage.writing() as session:
        begin(session, history.renewals, history.changes)
        context: Any = SimpleNamespace(
            session=session, organization_id=stage.cast.organization, now=NOW, changed=Mock()
        )
        for batch in batches:
            apply_facts(context, [fact for event in batch for fact in event])
            session.flush()
            session.expunge_all()
        books = _books(session)
        session.rollback()
    return books


def _books(session: Session) -> Books:
    names = {row.id: row.full_name for row in session.exec(select(AffiliateRow))}
    sales = {row.id: row.source_id for row in session.exec(select(SaleRow))}
    conversions = session.exec(select(ConversionRow)).all()
    balances: dict[tuple[str, str], int] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    for entry in session.exec(select(LedgerEntryRow)):
        balances[names[entry.affiliate_id], entry.currency] += entry.amount_minor
        left[entry.conversion_id] += entry.amount_minor
        held[entry.conversion_id] += entry.amount_minor if entry.available_at == NOT_PAYABLE else 0
    assert {row.id: (row.remaining_minor, row.on_hold_minor) for row in conversions if row.id in left} == {
        key: (value, held[key]) for key, value in left.items()
    }
    return {
        "conversions": sorted(
            (sales[row.sale_id], names[row.affiliate_id], row.commission_minor, row.remaining_minor, row.state)
            for row in conversions
            if row.state != "Denied"
        ),
        "balances": {key: value for key, value in balances.items() if value},
        "bound": sorted((row.kind, row.ref, names[row.affiliate_id]) for row in session.exec(select(BindingRow))),
        "held": {sales[row.sale_id]: row.on_hold_minor for row in conversions if row.on_hold_minor},
    }


@pytest.fixture
def duo(stages: Callable[[str, str], Stage]) -> Stage:
    return stages("sqlite", "two codes")


@settings(
    max_examples=int(os.environ.get("HISTORIES", "60")),
    deadline=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_random_history_in_any_order_ends_in_the_books_of_the_model(duo: Stage, data: st.DataObject) -> None:
    history = data.draw(histories())
    sent = data.draw(deliveries(history.events()))
    values_in_one_condition = data.draw(st.sampled_from([1, 3, rows.IN_ONE]))
    with patch.object(rows, "IN_ONE", values_in_one_condition):
        assert books_after(duo, history, sent) == Model(history).books()
