"""The payout plan: who would be paid what, and why the others wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.payout import Balance, PayoutMethod, plan_one

UNTIL = datetime(2026, 4, 1, tzinfo=UTC)
STATUSES = ("Pending", "Approved", "Rejected", "Paused", "Banned")


def balance(available: int, held: int = 0) -> Balance:
    return Balance("sarah", "USD", available, held, sales=1)


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.sampled_from(STATUSES), st.sampled_from(PayoutMethod))
def test_only_a_positive_available_balance_of_an_approved_affiliate_is_paid(
    available: int, held: int, status: str, method: PayoutMethod
) -> None:
    planned = plan_one(balance(available, held), status, method)
    payable = available > 0 and status == "Approved" and method is PayoutMethod.Manual
    assert planned.is_eligible == payable
    assert (planned.ineligibility_reason is None) == payable
    if payable:
        assert planned.amount_minor == available


@pytest.mark.parametrize(
    ("available", "held", "status", "method", "amount", "reason"),
    [
        (4200, 0, "Approved", PayoutMethod.Manual, 4200, None),
        (4200, 900, "Approved", PayoutMethod.Manual, 4200, None),
        (0, 900, "Approved", PayoutMethod.Manual, 900, "on_hold"),
        (-50, 900, "Approved", PayoutMethod.Manual, -50, "negative_balance"),
        (-50, 0, "Banned", PayoutMethod.Manual, -50, "negative_balance"),
        (4200, 0, "Paused", PayoutMethod.Manual, 4200, "affiliate_paused"),
        (4200, 0, "Banned", PayoutMethod.Manual, 4200, "affiliate_banned"),
        (4200, 0, "Pending", PayoutMethod.Manual, 4200, "affiliate_pending"),
        (4200, 0, "Rejected", PayoutMethod.Manual, 4200, "affiliate_rejected"),
        (0, 900, "Paused", PayoutMethod.Manual, 900, "on_hold"),
        (4200, 0, "Approved", PayoutMethod.StripeConnect, 4200, "no_stripe_connect"),
        (4200, 0, "Banned", PayoutMethod.StripeConnect, 4200, "affiliate_banned"),
    ],
)
def test_the_amount_and_the_reason_by_example(
    available: int, held: int, status: str, method: PayoutMethod, amount: int, reason: str | None
) -> None:
    planned = plan_one(balance(available, held), status, method)
    assert (planned.amount_minor, planned.ineligibility_reason) == (amount, reason)
    assert planned.balance == balance(available, held)
