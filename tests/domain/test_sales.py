"""Sales and reversals as the outside world reports them."""

from datetime import UTC, datetime

import pytest

from rekomi_mcp.domain.sales import Reversal, ReversalKind, ReversalStatus


def refund(status: ReversalStatus, payment_intent: str | None = "pi_1", charge: str | None = "ch_1") -> Reversal:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Reversal("re_1", ReversalKind.Refund, "evt_1", at, "USD", 500, status, payment_intent, charge)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(ReversalStatus.Pending, 0), (ReversalStatus.Succeeded, 500), (ReversalStatus.Failed, 0)],
)
def test_only_a_reversal_that_succeeded_takes_money_away(status: ReversalStatus, expected: int) -> None:
    assert refund(status).effective_minor == expected


@pytest.mark.parametrize(
    ("payment_intent", "charge", "expected"),
    [("pi_1", "ch_1", ("pi_1", "ch_1")), (None, "ch_1", ("ch_1",)), ("pi_1", None, ("pi_1",)), (None, None, ())],
)
def test_a_reversal_is_found_by_the_ids_it_has(
    payment_intent: str | None, charge: str | None, expected: tuple[str, ...]
) -> None:
    assert refund(ReversalStatus.Succeeded, payment_intent, charge).payment_ids == expected
