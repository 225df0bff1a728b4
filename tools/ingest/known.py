"""What the store knows about the facts of one batch: read in bulk before, kept current while the batch runs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rekomi_mcp.domain.ledger import Share, shares
from rekomi_mcp.domain.sales import Fact, Reversal, ReversalStatus, Sale, SaleSource, SubscriptionStarted, second_of
from rekomi_mcp.tools.ingest.payments import Parts, Payments, SaleKey

if TYPE_CHECKING:
    from rekomi_mcp.storage.affiliates import AffiliateTerms
    from rekomi_mcp.storage.clicks import Click
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import (
        AffiliateCodeRow,
        AffiliateLinkRow,
        CampaignCouponRow,
        ProgramRow,
    )

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

    @property
    def place(self) -> tuple[datetime, int, str]:
        return self.at, self.rank, self.name

    def precedes(self, other: Origin) -> bool:
        return self.place < other.place


@dataclass(frozen=True, slots=True)
class Binding:
    """The affiliate a customer or subscription belongs to."""

    affiliate_id: str
    program_id: str
    code_id: str | None
    origin: Origin
    event_id: str = field(compare=False)
    customer_id: str | None = field(default=None, compare=False)
    """Whose the subscription is, when it was bound by itself."""

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
    reversed_minor: dict[str, Share] = field(default_factory=dict[str, Share])
    """What each reversal takes away, by its id."""
    borne: dict[str, Share] = field(default_factory=dict[str, Share])
    """The part of each reversal that has been settled here, by its id."""


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
    def as_of(self) -> str | None:
        """The time of the checkout as of which it was decided; None when it was as of its own."""
        return self.decision.get("asOf")

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
    payments: Payments
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
    affiliates: dict[str, AffiliateTerms]
    programs: dict[str, ProgramRow]
    past_terms: dict[str, list[tuple[datetime, dict[str, Any]]]]
    """What was in force before, of those that changed: until when, and the values by column, oldest first."""
    paid_times: dict[str, list[datetime]]
    """When subscriptions were paid, by sales and before them."""
    paid_before: dict[str, datetime]
    """Invoices that are no sales and count for their subscription, with the time of their payment."""
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
    doubles: dict[SaleKey, list[SaleKey]] = field(default_factory=dict[SaleKey, list[SaleKey]])
    """Checkouts of this batch whose payment is an invoice's, with the invoices."""

    def invoice_index(self, subscription_id: str, at: datetime) -> int:
        """How many payments of the subscription were made before this time."""
        return bisect_left(self.paid_times.get(subscription_id, []), at)

    def affiliate(self, affiliate_id: str, at: datetime) -> AffiliateTerms:
        """The affiliate with the terms that were in force then; so the next two."""
        row = self.affiliates[affiliate_id]
        past = self._past_terms(row.id, row.created_at, at)
        return row if past is None else row._replace(**past)

    def program(self, program_id: str, at: datetime) -> ProgramRow:
        row = self.programs[program_id]
        past = self._past_terms(row.id, row.created_at, at)
        return row if past is None else type(row)(**{**row.model_dump(), **past})

    def overrides_clicks(self, coupon_id: str, at: datetime) -> bool:
        """Whether the coupon's codes went before clicks."""
        row = self.coupons[coupon_id]
        past = self._past_terms(row.id, row.created_at, at)
        return row.overrides_click_attribution if past is None else past["overrides_click_attribution"]

    def _past_terms(self, subject_id: str, created_at: datetime, at: datetime) -> dict[str, Any] | None:
        """What was in force then, if not what is now. For what was sold before the subject existed that counts."""
        past = self.past_terms.get(subject_id) if self.past_terms else None
        if past is None or at < second_of(created_at):
            return None
        return next((terms for until, terms in past if at < until), None)

    def note_paid(self, subscription_id: str, at: datetime) -> None:
        insort(self.paid_times.setdefault(subscription_id, []), at)
        self.note_change((SUBSCRIPTION, subscription_id), at)

    def note_paid_before(self, subscription_id: str, invoice_id: str, at: datetime) -> None:
        self.paid_before[invoice_id] = at
        self.note_paid(subscription_id, at)

    def count_as_sale(self, sale: Sale) -> bool:
        """Count an invoice by its sale from now on; answers whether it was counted without one before."""
        if sale.source is not SaleSource.Invoice or sale.subscription_id is None:
            return False
        at = self.paid_before.pop(sale.source_id, None)
        if at is None:
            return False
        self.paid_times[sale.subscription_id].remove(at)
        return True

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

    def note_reversal(self, reversal: Reversal) -> None:
        self.reversals[reversal.id] = reversal
        for payment_id in reversal.payment_ids:
            self._reversals_of.setdefault(("payment", payment_id), set()).add(reversal.id)
        if reversal.sale is not None:
            self._reversals_of.setdefault(reversal.sale, set()).add(reversal.id)

    def shares_of(self, reversal: Reversal) -> dict[SaleKey, Share]:
        """The sales that a reversal takes from, with the part that each bears."""
        if reversal.sale is not None:
            return {(reversal.sale[0].value, reversal.sale[1]): 1}
        paid = self.payments.paid(reversal.payment_ids)
        if len(paid) > 1:
            paid = _without_doubles(paid, self.recorded)
        return shares({key: self._paid_minor(key, told) for key, told in paid.items()})

    def _paid_minor(self, key: SaleKey, told: int | None) -> int:
        """What of a payment went into a sale: all that was charged for it, where nothing else is told."""
        if told is not None:
            return told
        recorded = self.recorded.get(key)
        return max(0, recorded.sale.gross_minor) if recorded is not None else 0

    def reversals_of(self, key: SaleKey) -> list[Reversal]:
        if not self.reversals:
            return []
        payments = (("payment", p) for p in self.payments.of(key))
        ids = {i for ref in (key, *payments) for i in self._reversals_of.get(ref, ())}
        return [self.reversals[i] for i in sorted(ids)]

    def sharing(self, key: SaleKey) -> list[SaleKey]:
        """The sale and those paid with the payments of its reversals, by whichever name each of them goes."""
        payment_ids = {payment_id for each in self.reversals_of(key) for payment_id in each.payment_ids}
        return sorted({key, *self.payments.paid(payment_ids)})

    def is_disputed(self, key: SaleKey) -> bool:
        opened = (each for each in self.reversals_of(key) if each.status is ReversalStatus.Open)
        return any(self.shares_of(each).get(key) for each in opened)


def _without_doubles(paid: Parts, recorded: Mapping[SaleKey, Recorded]) -> Parts:
    """What a payment paid, each part once: a checkout is one sale with the invoices of its payment, when they are here."""
    invoices = {key: told for key, told in paid.items() if key[0] == SaleSource.Invoice}
    checkouts = {key: told for key, told in paid.items() if key not in invoices and key in recorded}
    return checkouts if checkouts and not invoices.keys() & recorded.keys() else invoices


def as_of(sale: Sale) -> str | None:
    """The time of its checkout, as a decision keeps it."""
    return sale.begun_at.isoformat() if sale.begun_at is not None else None


def key_of(sale: Sale) -> SaleKey:
    return sale.source.value, sale.source_id


def refs_of(fact: Sale | SubscriptionStarted) -> list[Ref]:
    """What ties a sale or the beginning of a subscription to others."""
    refs = [(SUBSCRIPTION, fact.subscription_id), (CUSTOMER, fact.customer_id)]
    if isinstance(fact, Sale):
        refs.append((EMAIL, fact.customer_email and fact.customer_email.lower()))
    return [(kind, ref) for kind, ref in refs if ref]
