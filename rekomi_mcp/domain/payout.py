"""Who would be paid what, and why the others wait: the one plan that preview and run share."""

from dataclasses import dataclass
from enum import StrEnum


class PayoutMethod(StrEnum):
    Manual = "Manual"
    """The owner pays outside and records it."""
    StripeConnect = "StripeConnect"
    """A transfer to the affiliate's connected Stripe account."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What the ledger says of one affiliate in one currency, in minor units."""

    affiliate_id: str
    currency: str
    available_minor: int
    """Past its hold; negative after a refund of commission that was already paid."""
    held_minor: int
    sales: int
    """Sales behind the available part, or behind the held part when nothing is available."""


@dataclass(frozen=True, slots=True)
class PlannedPayout:
    balance: Balance
    amount_minor: int
    """What would be paid now when eligible, else what waits (or is owed back, when negative)."""
    ineligibility_reason: str | None

    @property
    def is_eligible(self) -> bool:
        return self.ineligibility_reason is None


def plan_one(balance: Balance, affiliate_status: str, method: PayoutMethod) -> PlannedPayout:
    """Decide one affiliate's payout in one currency."""
    waiting = balance.available_minor if balance.available_minor != 0 else balance.held_minor
    return PlannedPayout(balance, waiting, _obstacle(balance, affiliate_status, method))


def _obstacle(balance: Balance, affiliate_status: str, method: PayoutMethod) -> str | None:
    if balance.available_minor < 0:
        return "negative_balance"
    if balance.available_minor == 0:
        return "on_hold"
    if affiliate_status != "Approved":
        return f"affiliate_{affiliate_status.lower()}"
    # No affiliate can connect a Stripe account to this server yet, so nobody can be paid this way.
    return "no_stripe_connect" if method is PayoutMethod.StripeConnect else None
