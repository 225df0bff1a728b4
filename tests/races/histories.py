"""Random histories of sales, subscriptions and money that goes back, and the ways in which they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from rekomi_mcp.domain.sales import (
    EarlierPayment,
    Fact,
    Payment,
    Referral,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleSource,
    SubscriptionStarted,
)

Event = tuple[Fact, ...]
Books = dict[str, Any]
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)
CODES = {"promo_sarah": "Sarah Lee", "promo_tom": "Tom Ray"}
"""Sarah's goes before clicks; Tom's leaves the sale to them, and has a rate of its own."""
NOBODYS = "promo_nobody"
RATES = {"promo_tom": Fraction(30, 100)}
RATE, RAISED = Fraction(20, 100), Fraction(25, 100)
CLICKS = {"click_1": ("visitor_1", "Sarah Lee", 1), "click_2": ("visitor_1", "Tom Ray", 4)}
"""The visitor, whose link, and the day."""
WINDOW_DAYS = 5
LEADS = {"kim@example.com": [("Tom Ray", 3)]}


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
    checkouts: list[Sale]
    """Where a payment of some sales was made, before it was put on their invoices."""
    earlier: list[EarlierPayment] = field(default_factory=list[EarlierPayment])
    """What was paid of subscriptions before: of some of it a sale is told, too."""

    def events(self) -> list[Event]:
        facts: list[Fact] = [
            *self.sales,
            *self.checkouts,
            *self.started,
            *self.earlier,
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
OF_INVOICES = REFERRALS.map(lambda referral: referral and replace(referral, rank=1))
"""What an invoice says goes behind what its checkouts say."""


def _payments(number: int, net: int) -> list[tuple[Payment, ...]]:
    """A payment of its own mostly; or one that paid the sale before too, or a part of one and a part of the other."""
    own, before = f"pi_{number}", f"pi_{number - 1}"
    return [
        (Payment(own),),
        (Payment(own),),
        (Payment(before),),
        (Payment(own, net // 3), Payment(before, net - net // 3)),
    ]


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
                payments=draw(st.sampled_from(_payments(number, net))),
                referral=draw(OF_INVOICES),
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
def _earlier(draw: st.DrawFn, sales: Sequence[Sale]) -> list[EarlierPayment]:
    found = [
        EarlierPayment(sale.subscription_id, sale.source_id, "", sale.occurred_at)
        for sale in sales
        if sale.subscription_id is not None and sale.is_counted and sale.net_minor > 0 and draw(st.booleans())
    ]
    for number in range(draw(st.sampled_from([0, 0, 1, 2]))):
        subscription = draw(st.sampled_from(["sub_1", "sub_2"]))
        found.append(EarlierPayment(subscription, f"in_before_{number}", "", day(draw(DAYS) - 2)))
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
        payment_id = None if of_note else draw(st.sampled_from(sale.payment_ids))
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
                    payment_intent_id=payment_id,
                    told_at=day(begun + step),
                    sale=(SaleSource.Invoice, sale.source_id) if of_note else None,
                )
                for step, status in enumerate(draw(st.sampled_from(ends)))
            ]
        )
    return found


@st.composite
def _checkouts(draw: st.DrawFn, sales: Sequence[Sale]) -> list[Sale]:
    """Where payments were made: another invoice may share one, and an invoice may have been paid by two."""
    found: list[Sale] = []
    for number, sale in enumerate(sales):
        own = f"pi_{number}"
        if sale.net_minor > 0 and own in sale.payment_ids and draw(st.sampled_from([True, False])):
            checkout = replace(
                sale,
                source=SaleSource.CheckoutSession,
                source_id=f"cs_{number}",
                occurred_at=sale.occurred_at - timedelta(days=draw(st.integers(0, 4))),
                customer_email=draw(
                    st.sampled_from([sale.customer_email, sale.customer_email, None, "kim@example.com"])
                ),
                subscription_id=None,
                promotion_code_ids=draw(TOLD_CODES),
                payments=(Payment(own),),
                referral=draw(REFERRALS),
                is_counted=True,
            )
            found.append(checkout)
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
        checkouts=draw(_checkouts(sales)),
        earlier=draw(_earlier(sales)),
    )


@st.composite
def deliveries(draw: st.DrawFn, told: Sequence[Event]) -> list[list[Event]]:
    """Batches that bring every event in any order."""
    sent = list(draw(st.permutations(told)))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent) - 1)))) if len(sent) > 1 else []
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
