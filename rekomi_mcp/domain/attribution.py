"""Which affiliate a sale belongs to, and why the others lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Evidence(StrEnum):
    """What ties a sale to an affiliate."""

    Named = "named"
    """The seller's server named them."""
    Subscription = "subscription"
    """The subscription is theirs since it began, or since an earlier sale."""
    Code = "code"
    """Their code was redeemed on this sale."""
    Click = "click"
    """The customer had come by their link."""
    Customer = "customer"
    """The customer is theirs, by an earlier sale or the beginning of a subscription."""
    Lead = "lead"
    """They brought a signup with the same e-mail address."""


_STRENGTH = {
    Evidence.Named: 0,
    Evidence.Subscription: 1,
    Evidence.Code: 2,
    Evidence.Click: 3,
    Evidence.Customer: 5,
    Evidence.Lead: 6,
}
"""Lowest first. An invoice of a bound subscription is never decided anew, so the subscription stands above the code."""
_CODE_BEHIND_CLICKS = 4
"""Where a code stands whose coupon leaves the sale to whoever brought the click."""


NO_CLAIM = "no_claim"
"""The reason when nobody had a claim at all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An affiliate with a claim on the sale."""

    evidence: Evidence
    affiliate_id: str
    program_id: str
    reference: str
    """The promotion code, subscription, customer or lead id the claim rests on."""
    since: datetime | None = None
    code_id: str | None = None
    """Our code that was redeemed on this sale, or that won the customer in the first place."""
    click_id: str | None = None
    """The click that led to this sale."""
    overrides_clicks: bool = True
    """Whether a code goes before clicks."""
    position: int = 0
    """Among equals, the lowest wins: Stripe's order of discounts for codes, age for leads, the program's attribution
    model for clicks."""
    obstacle: str | None = None
    """Why this affiliate cannot earn on it (`affiliate_paused`, `window_expired` …), None when nothing stands in the
    way."""

    @property
    def strength(self) -> int:
        """The lower, the stronger."""
        if self.evidence is Evidence.Code and not self.overrides_clicks:
            return _CODE_BEHIND_CLICKS
        return _STRENGTH[self.evidence]


@dataclass(frozen=True, slots=True)
class Verdict:
    candidate: Candidate
    won: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Who won, by which evidence, and what became of everyone else."""

    winner: Candidate | None
    reason: str
    """The rule that decided, or, when nobody won, why."""
    verdicts: tuple[Verdict, ...]


def decide(candidates: Sequence[Candidate]) -> Decision:
    """Rank the claims on one sale; the order in which they are given does not matter."""
    ranked = sorted(candidates, key=lambda c: (c.strength, c.position, c.reference))
    # A bound subscription is never decided anew: when its affiliate cannot earn, nobody behind them does.
    end = next((place for place, c in enumerate(ranked, 1) if c.evidence is Evidence.Subscription), None)
    winner = next((c for c in ranked[:end] if c.obstacle is None), None)
    bound = end is not None and (winner is None or winner.evidence is Evidence.Subscription)
    if bound and winner is not None:
        winner = _own_code(winner, ranked) or winner
    verdicts = tuple(Verdict(c, c is winner, _reason(c, winner, bound)) for c in ranked)
    if winner is None:
        return Decision(None, verdicts[0].reason if verdicts else NO_CLAIM, verdicts)
    return Decision(winner, winner.evidence.value, verdicts)


def _own_code(bound: Candidate, ranked: Sequence[Candidate]) -> Candidate | None:
    """The bound affiliate's own code on this very sale: the same winner, by evidence an owner recognises."""
    codes = (c for c in ranked if c.evidence is Evidence.Code and c.obstacle is None)
    return next((c for c in codes if c.affiliate_id == bound.affiliate_id), None)


def _reason(candidate: Candidate, winner: Candidate | None, bound: bool) -> str:
    if candidate is winner:
        return candidate.evidence.value
    if candidate.obstacle is not None:
        return candidate.obstacle
    if winner is not None and candidate.affiliate_id == winner.affiliate_id:
        return "same_affiliate"
    if bound or winner is None:
        return "subscription_already_bound"
    if candidate.evidence is winner.evidence:
        return f"later_{candidate.evidence.value}"
    return f"weaker_than_{winner.evidence.value}"


def is_same_person(email: str | None, other: str | None) -> bool:
    """Whether two addresses are one mailbox; what stands behind a plus sign is a label within it."""
    return email is not None and other is not None and _mailbox(email) == _mailbox(other)


def _mailbox(email: str) -> tuple[str, str]:
    name, _, host = email.strip().lower().partition("@")
    return name.partition("+")[0], host
