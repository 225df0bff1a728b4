"""What the outside world tells us: a sale, money going back, a subscription beginning. Already verified and fetched."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SaleSource(StrEnum):
    """The Stripe object whose id is the sale's identity."""

    Invoice = "invoice"
    CheckoutSession = "checkout_session"


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
    payment_ids: tuple[str, ...] = ()
    """Payment intents and charges that paid it: how a refund finds its sale."""


class ReversalKind(StrEnum):
    Refund = "refund"


class ReversalStatus(StrEnum):
    """Whether the money has gone back; Failed and Succeeded are final, and Failed gives back what Succeeded took."""

    Pending = "pending"
    Succeeded = "succeeded"
    Failed = "failed"


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
    payment_intent_id: str | None
    charge_id: str | None

    @property
    def effective_minor(self) -> int:
        """What it takes away now."""
        return self.amount_minor if self.status is ReversalStatus.Succeeded else 0

    @property
    def payment_ids(self) -> tuple[str, ...]:
        """What it may be found by."""
        return tuple(p for p in (self.payment_intent_id, self.charge_id) if p)


@dataclass(frozen=True, slots=True)
class SubscriptionStarted:
    """A subscription began, perhaps with codes; money may come much later."""

    subscription_id: str
    customer_id: str | None
    event_id: str
    occurred_at: datetime
    promotion_code_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    subscription_id: str
    event_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class SaleReference:
    """A payment that is known to belong to a sale, whether or not the sale has been seen yet."""

    payment_id: str
    source: SaleSource
    source_id: str
    event_id: str


Fact = Sale | Reversal | SubscriptionStarted | SubscriptionEnded | SaleReference
