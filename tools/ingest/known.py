"""What the store knows about the facts of one batch: read in bulk before, kept current while the batch runs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rekomi_mcp.domain.sales import Fact, Reversal, ReversalStatus, Sale, SaleSource, SubscriptionStarted, second_of

if TYPE_CHECKING:
    from rekomi_mcp.storage.clicks import Click
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import (
        AffiliateCodeRow,
        AffiliateLinkRow,
        AffiliateRow,
        CampaignCouponRow,
        ProgramRow,
    )

Subject = TypeVar("Subject", "ProgramRow", "AffiliateRow", "CampaignCouponRow")
SaleKey = tuple[str, str]
"""A sale's source and source id."""
Ref = tuple[str, str]
"""What sales have in common: a kind and an id."""
CUSTOMER, SUBSCRIPTION, EMAIL = "customer", "subscription", "email"
DENIED = "Denied"


@dataclass(frozen=True, slots=True)
class Origin:
    """What bound a customer or subscription: news of an earlier time binds anew, and of two at one time the lower."""

    at: datetime
    rank: int
    """0 a checkout, 1 a subscription, 2 a sale."""
    name: str

    def precedes(self, other: Origin) -> bool:
        return (self.at, self.rank, self.name) < (other.at, other.rank, other.name)


@dataclass(frozen=True, slots=True)
class Binding:
    """The affiliate a customer or subscription belongs to."""

    affiliate_id: str
    program_id: str
    code_id: str | None
    origin: Origin

    @property
    def bound_at(self) -> datetime:
        return self.origin.at


@dataclass(frozen=True, slots=True)
class Lead:
    """A signup with an affiliate's name on it."""

    id: str
    affiliate_id: str
    program_id: str
    since: datetime
    is_of_sale: bool = False
    """Whether a sale that cost nothing was the signup: it is timed by Stripe, and says nothing of itself."""

    def place(self) -> tuple[datetime, str, bool]:
        """Its place among the signups of one address."""
        return self.since, self.affiliate_id, self.is_of_sale


@dataclass(slots=True)
class Earning:
    """A conversion, as far as reversals and later decisions need to know it."""

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
    on_hold_minor: int = 0
    revision: int = 0
    """Of the decision it rests on."""
    reversed_minor: dict[str, int] = field(default_factory=dict[str, int])
    """What each reversal takes away, by its id."""


@dataclass(slots=True)
class Recorded:
    """A sale with its decision, stored or about to be."""

    id: str
    sale: Sale
    row: dict[str, Any] | None
    """The row about to be written, while it is not in the store."""
    outcome: str = ""
    """`credited`, or why not; empty until it is decided."""
    decision: dict[str, Any] = field(default_factory=dict[str, Any])
    revision: int = 0
    earning: Earning | None = None
    """Its conversion, also one that was denied."""

    @property
    def winner(self) -> dict[str, Any] | None:
        """The claim that won, as it was kept."""
        return next((c for c in self.decision.get("candidates", ()) if c["won"]), None)

    @property
    def double_of(self) -> str | None:
        """The invoice that a checkout is one sale with, by its id, as it was kept."""
        return self.decision.get("doubleOf")


@dataclass(slots=True)
class Known:
    """The working set of one batch."""

    organization: OrganizationView
    recorded: dict[SaleKey, Recorded]
    later: list[Recorded]
    """Stored sales that news of the batch may change, because the news is of an earlier time."""
    sale_of_payment: dict[str, SaleKey]
    payments_of_sale: dict[SaleKey, set[str]]
    bindings: dict[Ref, Binding]
    codes_by_promotion: dict[str, AffiliateCodeRow]
    codes: dict[str, AffiliateCodeRow]
    coupons: dict[str, CampaignCouponRow]
    leads: dict[str, list[Lead]]
    """By address in lower case, oldest first."""
    visitor_of_click: dict[str, str]
    clicks_of_visitor: dict[str, list[Click]]
    links: dict[str, AffiliateLinkRow]
    """By every slug they have or had."""
    affiliates: dict[str, AffiliateRow]
    programs: dict[str, ProgramRow]
    past_terms: dict[str, list[tuple[datetime, dict[str, Any]]]]
    """What was in force before, of those that changed: until when, and the values by column, oldest first."""
    paid_times: dict[str, list[datetime]]
    reversals: dict[str, Reversal] = field(default_factory=dict[str, Reversal])
    _reversals_of: dict[Ref, set[str]] = field(default_factory=dict[Ref, set[str]])
    """By payment and by sale."""
    stored_bindings: set[Ref] = field(default_factory=set[Ref])
    changed: dict[Ref, datetime] = field(default_factory=dict[Ref, datetime])
    """Since when the batch changed what is known of a subscription, customer or address."""
    facts: Sequence[Fact] = ()
    """Those of the batch; what a checkout told of an invoice's sale is in the invoice's too."""
    corrects: bool = False
    """Whether the amounts of its sales are what Stripe says now."""
    doubles: dict[SaleKey, SaleKey] = field(default_factory=dict[SaleKey, SaleKey])
    """Checkouts of this batch whose payment is an invoice's, with that invoice."""

    def invoice_index(self, subscription_id: str, at: datetime) -> int:
        """How many payments of the subscription were made before this time."""
        return bisect_left(self.paid_times.get(subscription_id, []), at)

    def program(self, program_id: str, at: datetime) -> ProgramRow:
        return self._as_of(self.programs[program_id], at)

    def affiliate(self, affiliate_id: str, at: datetime) -> AffiliateRow:
        return self._as_of(self.affiliates[affiliate_id], at)

    def coupon(self, coupon_id: str, at: datetime) -> CampaignCouponRow:
        return self._as_of(self.coupons[coupon_id], at)

    def _as_of(self, row: Subject, at: datetime) -> Subject:
        """The row with the terms that were in force then. For what was sold before it existed, its terms of now count."""
        past = self.past_terms.get(row.id) if self.past_terms else None
        terms = next((terms for until, terms in past if at < until), None) if past else None
        if terms is None or at < second_of(row.created_at):
            return row
        return type(row)(**{**row.model_dump(), **terms})

    def note_paid(self, subscription_id: str, at: datetime) -> None:
        insort(self.paid_times.setdefault(subscription_id, []), at)
        self.note_change((SUBSCRIPTION, subscription_id), at)

    def note_corrected(self, before: Sale, after: Sale) -> None:
        """A recorded sale has another amount now: one that costs nothing any more is no payment of its subscription."""
        if before.subscription_id is None or not before.is_counted or (before.net_minor > 0) == (after.net_minor > 0):
            return
        if after.net_minor > 0:
            self.note_paid(before.subscription_id, before.occurred_at)
        else:
            self.paid_times[before.subscription_id].remove(before.occurred_at)
            self.note_change((SUBSCRIPTION, before.subscription_id), before.occurred_at)

    def note_change(self, ref: Ref, at: datetime) -> None:
        self.changed[ref] = min(at, self.changed.get(ref, at))

    def is_touched(self, sale: Sale) -> bool:
        """Whether the batch brought news of an earlier time that this sale's decision may rest on."""
        return any(ref in self.changed and self.changed[ref] <= sale.occurred_at for ref in refs_of(sale))

    def note_lead(self, email_key: str, lead: Lead) -> None:
        """Add a signup by a sale, in place of a later one of the same affiliate."""
        others = [other for other in self.leads.get(email_key, ()) if not (other.is_of_sale and other.id == lead.id)]
        self.leads[email_key] = sorted((*others, lead), key=Lead.place)
        self.note_change((EMAIL, email_key), lead.since)

    def forget_lead(self, email_key: str, lead: Lead) -> None:
        self.leads[email_key].remove(lead)
        self.note_change((EMAIL, email_key), lead.since)

    def note_payment(self, payment_id: str, key: SaleKey) -> bool:
        """Remember what paid a sale; False when that is known already.

        Of an invoice and a checkout with one payment the invoice has it, as soon as it is recorded.
        """
        before = self.sale_of_payment.get(payment_id)
        if before is not None and not self._goes_over(before, key):
            return False
        if before is not None:
            self.payments_of_sale.get(before, set()).discard(payment_id)
        self.sale_of_payment[payment_id] = key
        self.payments_of_sale.setdefault(key, set()).add(payment_id)
        return True

    def _goes_over(self, before: SaleKey, key: SaleKey) -> bool:
        """Whether a payment is another sale's after all: its invoice's, or the one's that came when the other has not."""
        if {before[0], key[0]} != {SaleSource.Invoice, SaleSource.CheckoutSession}:
            return False
        return self.doubles.get(before) == key or (before not in self.recorded and key in self.recorded)

    def note_reversal(self, reversal: Reversal) -> None:
        self.reversals[reversal.id] = reversal
        for payment_id in reversal.payment_ids:
            self._reversals_of.setdefault(("payment", payment_id), set()).add(reversal.id)
        if reversal.sale is not None:
            self._reversals_of.setdefault(reversal.sale, set()).add(reversal.id)

    def sale_of(self, reversal: Reversal) -> SaleKey | None:
        """The sale that a reversal takes from, when that is known."""
        if reversal.sale is not None:
            return (reversal.sale[0].value, reversal.sale[1])
        return next((self.sale_of_payment[p] for p in reversal.payment_ids if p in self.sale_of_payment), None)

    def reversals_of(self, key: SaleKey) -> list[Reversal]:
        payments = (("payment", p) for p in self.payments_of_sale.get(key, ()))
        ids = {i for ref in (key, *payments) for i in self._reversals_of.get(ref, ())}
        return [self.reversals[i] for i in sorted(ids)]

    def is_disputed(self, key: SaleKey) -> bool:
        return any(reversal.status is ReversalStatus.Open for reversal in self.reversals_of(key))


def key_of(sale: Sale) -> SaleKey:
    return sale.source.value, sale.source_id


def refs_of(fact: Sale | SubscriptionStarted) -> list[Ref]:
    """What ties a sale or the beginning of a subscription to others."""
    refs = [(SUBSCRIPTION, fact.subscription_id), (CUSTOMER, fact.customer_id)]
    if isinstance(fact, Sale):
        refs.append((EMAIL, fact.customer_email and fact.customer_email.lower()))
    return [(kind, ref) for kind, ref in refs if ref]
