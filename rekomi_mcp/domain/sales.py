"""What the outside world tells us: a sale, money going back, a subscription beginning. Already verified and fetched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SaleSource(StrEnum):
    """What the id that is the sale's identity belongs to."""

    Invoice = "invoice"
    CheckoutSession = "checkout_session"
    Server = "server"
    """The seller's own server told of it; the id is the seller's."""


@dataclass(frozen=True, slots=True)
class Referral:
    """What a sale itself says of who brought it."""

    click_id: str | None = None
    """A recorded click: its visitor's other clicks count too, by the program's attribution model."""
    slug: str | None = None
    """The slug of an affiliate's link, when no click is known."""
    affiliate_id: str | None = None
    """Named outright by the seller's server."""
    code_id: str | None = None
    """The affiliate's code that the seller's server named."""
    rank: int = 0
    """How surely it was meant: the lower goes before. A seller may use a reference for something else."""

    def merged(self, other: Referral | None) -> Referral:
        """What two tellings of one sale say together, whichever came first."""
        if other is None or self.rank < other.rank:
            return self
        if other.rank < self.rank:
            return other
        return Referral(
            click_id=_lower(self.click_id, other.click_id),
            slug=_lower(self.slug, other.slug),
            affiliate_id=_lower(self.affiliate_id, other.affiliate_id),
            code_id=_lower(self.code_id, other.code_id),
            rank=self.rank,
        )


def _lower(one: str | None, other: str | None) -> str | None:
    return min(filter(None, (one, other)), default=None)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment intent or charge that paid a sale, perhaps among others."""

    id: str
    amount_minor: int | None = None
    """What of it went into this sale, where that is told."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One paid (or free) sale. Checkout session, invoice, payment intent and charge of one sale are one Sale."""

    source: SaleSource
    source_id: str
    event_id: str
    occurred_at: datetime
    currency: str
    net_minor: int
    """What was charged, net of discount and tax: the commission base. Zero for a trial or a 100 % discount."""
    gross_minor: int
    """What was charged in all: the measure of refunds."""
    customer_id: str | None = None
    customer_email: str | None = None
    customer_name: str | None = None
    subscription_id: str | None = None
    promotion_code_ids: tuple[str, ...] = ()
    """In Stripe's order of the discounts."""
    payments: tuple[Payment, ...] = ()
    """What paid it: how a refund finds its sale."""
    referral: Referral | None = None
    is_counted: bool = True
    """Whether its subscription's payments are counted with it: an invoice between two of them (an upgrade's) is not."""
    checkout_id: str | None = None
    """The checkout session that an invoice was written for, where that is told."""
    begun_at: datetime | None = None
    """When a checkout was paid whose payment was put on this invoice: then the sale was made."""

    @property
    def earned_at(self) -> datetime:
        """The time whose claims and terms count."""
        return self.occurred_at if self.begun_at is None else min(self.begun_at, self.occurred_at)

    @property
    def payment_ids(self) -> tuple[str, ...]:
        return tuple(payment.id for payment in self.payments)

    @property
    def amounts(self) -> tuple[str, int, int]:
        """Its currency, what it earns on, and what refunds are measured by."""
        return self.currency, self.net_minor, self.gross_minor


class ReversalKind(StrEnum):
    Refund = "refund"
    Dispute = "dispute"
    CreditNote = "credit_note"


class ReversalStatus(StrEnum):
    """Whether the money has gone back.

    A refund may succeed and fail afterwards; a dispute may be decided, and decided otherwise on appeal.
    """

    Pending = "pending"
    """Nothing has moved: a refund on its way, an inquiry."""
    Open = "open"
    """A dispute: nobody knows yet whose the money is, so the commission is not paid meanwhile."""
    Succeeded = "succeeded"
    """The customer has the money: refunded, or the dispute lost."""
    Failed = "failed"
    """The seller has the money: the refund failed, the dispute was won or dropped, the credit note was voided."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money of a sale on its way back to the customer."""

    id: str
    kind: ReversalKind
    event_id: str
    occurred_at: datetime
    currency: str
    amount_minor: int
    status: ReversalStatus
    payment_intent_id: str | None = None
    charge_id: str | None = None
    told_at: datetime | None = None
    """When this status was told, where that matters: between two final ones the later counts."""
    sale: tuple[SaleSource, str] | None = None
    """The sale's source and id, when the news names it and not a payment of it."""

    @property
    def effective_minor(self) -> int:
        """What it takes away now."""
        return self.amount_minor if self.status is ReversalStatus.Succeeded else 0

    def supersedes(self, before: Reversal) -> bool:
        """Whether it is newer than what is known, whenever the two arrived."""
        mine, theirs = _stage(self), _stage(before)
        if mine != theirs:
            return mine > theirs
        # Also when it says the same again: what was told in between may arrive after it.
        return _telling(self) > _telling(before)

    def changes(self, before: Reversal) -> bool:
        """Whether it is newer and says something else."""
        return self.supersedes(before) and (self.status, self.amount_minor) != (before.status, before.amount_minor)

    @property
    def payment_ids(self) -> tuple[str, ...]:
        """What it may be found by."""
        return tuple(p for p in (self.payment_intent_id, self.charge_id) if p)


_STAGE = {ReversalStatus.Pending: 0, ReversalStatus.Open: 1, ReversalStatus.Succeeded: 2, ReversalStatus.Failed: 3}
"""A refund or credit note only moves up: what has failed or was voided has failed for good."""


def _telling(reversal: Reversal) -> tuple[datetime, str, int]:
    return reversal.told_at or reversal.occurred_at, reversal.status.value, reversal.amount_minor


def _stage(reversal: Reversal) -> int:
    """How far it has come. Both ends of a dispute are one stage: an appeal may turn one into the other."""
    stage = _STAGE[reversal.status]
    return min(stage, 2) if reversal.kind is ReversalKind.Dispute else stage


@dataclass(frozen=True, slots=True)
class SubscriptionStarted:
    """A subscription began, perhaps with codes; money may come much later."""

    subscription_id: str
    customer_id: str | None
    event_id: str
    occurred_at: datetime
    """When the code was put on it: at the beginning, or later."""
    promotion_code_ids: tuple[str, ...] = ()
    referral: Referral | None = None
    at_checkout: bool = False
    """Whether the checkout tells it, which knows of clicks as well as of codes."""
    told_at: datetime | None = None
    """When it was told: the earliest telling knows of codes that are used up, and gone from the subscription, later."""


@dataclass(frozen=True, slots=True)
class EarlierPayment:
    """A subscription was paid before a sale of it that is told: payments are counted with it, and it earns nothing."""

    subscription_id: str
    invoice_id: str
    event_id: str
    """Of the later sale's news: nothing has told of this one."""
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    subscription_id: str
    event_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class SaleReference:
    """A payment, or the checkout, that is known to belong to a sale, whether or not the sale has been seen yet."""

    payment_id: str
    source: SaleSource
    source_id: str
    event_id: str
    amount_minor: int | None = None
    """What of the payment went into the sale, where that is told."""

    @property
    def payment(self) -> Payment:
        return Payment(self.payment_id, self.amount_minor)


@dataclass(frozen=True, slots=True)
class CodeChanged:
    """A promotion code was switched on or off in Stripe."""

    promotion_code_id: str
    active: bool
    event_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class CouponDeleted:
    """A coupon was deleted in Stripe, and with it every promotion code of it died."""

    coupon_id: str
    event_id: str
    occurred_at: datetime


Fact = (
    Sale
    | Reversal
    | SubscriptionStarted
    | EarlierPayment
    | SubscriptionEnded
    | SaleReference
    | CodeChanged
    | CouponDeleted
)


def second_of(moment: datetime) -> datetime:
    """When something of ours counts beside a sale: Stripe tells times in whole seconds, so from its second's beginning."""
    return moment.replace(microsecond=0)
