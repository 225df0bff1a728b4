"""Commission: which rate applies, what it makes of a sale, what a refund leaves, and which renewals earn."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.commission import (
    CommissionType,
    Rate,
    RateSource,
    Renewals,
    choose_rate,
    remaining_minor,
)

PROGRAM = Rate(CommissionType.Percentage, 2000)
AFFILIATE = Rate(CommissionType.Percentage, 2500)
CODE = Rate(CommissionType.Fixed, 500, "USD")

money = st.integers(0, 10**12)
rates = st.one_of(
    st.builds(Rate, st.just(CommissionType.Percentage), st.integers(0, 10_000)),
    st.builds(Rate, st.just(CommissionType.Fixed), money, st.just("USD")),
)


@given(rates, st.integers(-(10**12), 10**12))
def test_commission_is_never_negative_and_nothing_on_nothing(rate: Rate, net: int) -> None:
    assert rate.commission_minor(net) >= 0
    if net <= 0:
        assert rate.commission_minor(net) == 0


@given(rates, st.integers(-1000, 10**12), money)
def test_a_larger_sale_never_earns_less(rate: Rate, net: int, more: int) -> None:
    assert rate.commission_minor(net + more) >= rate.commission_minor(net)


@given(st.integers(0, 10_000), money)
def test_a_percentage_never_earns_more_than_the_sale(basis_points: int, net: int) -> None:
    assert Rate(CommissionType.Percentage, basis_points).commission_minor(net) <= net


@pytest.mark.parametrize(
    ("rate", "net", "expected"),
    [
        (PROGRAM, 4000, 800),
        (Rate(CommissionType.Percentage, 1250), 999, 125),
        (Rate(CommissionType.Percentage, 0), 4000, 0),
        (CODE, 4000, 500),
        (CODE, 1, 500),
        (CODE, 0, 0),
        (CODE, -4000, 0),
        (PROGRAM, -4000, 0),
    ],
)
def test_commission_by_example(rate: Rate, net: int, expected: int) -> None:
    assert rate.commission_minor(net) == expected


def test_the_codes_rate_goes_before_the_affiliates_and_the_programs() -> None:
    assert choose_rate(CODE, AFFILIATE, PROGRAM) == (CODE, RateSource.Code)
    assert choose_rate(CODE, None, PROGRAM) == (CODE, RateSource.Code)
    assert choose_rate(None, AFFILIATE, PROGRAM) == (AFFILIATE, RateSource.Affiliate)
    assert choose_rate(None, None, PROGRAM) == (PROGRAM, RateSource.Program)


def test_a_rate_of_zero_is_a_rate() -> None:
    nothing = Rate(CommissionType.Percentage, 0)
    assert choose_rate(None, nothing, PROGRAM) == (nothing, RateSource.Affiliate)


@given(money, st.integers(1, 10**12), st.integers(-(10**12), 2 * 10**12))
def test_what_remains_lies_between_nothing_and_the_whole_commission(commission: int, gross: int, gone: int) -> None:
    assert 0 <= remaining_minor(commission, gross, gone) <= commission


@given(money, st.integers(1, 10**12), money)
def test_a_full_refund_leaves_nothing_and_no_refund_leaves_all(commission: int, gross: int, beyond: int) -> None:
    assert remaining_minor(commission, gross, gross + beyond) == 0
    assert remaining_minor(commission, gross, 0) == commission


@given(money, st.integers(1, 10**9), st.lists(st.integers(0, 10**8), max_size=6))
def test_each_further_refund_leaves_no_more_than_the_one_before(
    commission: int, gross: int, refunds: list[int]
) -> None:
    left = [remaining_minor(commission, gross, gone) for gone in accumulate(refunds, initial=0)]
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize(
    ("gone", "expected"), [(0, 800), (1, 800), (2200, 400), (2201, 400), (2203, 399), (4399, 0), (4400, 0)]
)
def test_a_refund_takes_its_share_of_gross_rounded_once(gone: int, expected: int) -> None:
    assert remaining_minor(800, 4400, gone) == expected


def test_refunds_of_thirds_take_back_the_whole_and_no_more() -> None:
    left = [remaining_minor(100, 999, gone) for gone in (333, 666, 999)]
    assert left == [67, 33, 0]


@pytest.mark.parametrize(
    ("renewals", "earning"),
    [
        (Renewals(), [0, 1, 2, 3, 4, 5, 6]),
        (Renewals(months=0), [0]),
        (Renewals(months=1), [0, 1]),
        (Renewals(months=3), [0, 1, 2, 3]),
        (Renewals(delay_invoices=2), [2, 3, 4, 5, 6]),
        (Renewals(months=0, delay_invoices=2), [2]),
        (Renewals(months=2, delay_invoices=1), [1, 2, 3]),
    ],
)
def test_only_these_paid_invoices_earn(renewals: Renewals, earning: list[int]) -> None:
    assert [index for index in range(7) if renewals.refusal(index) is None] == earning


def test_an_invoice_that_does_not_earn_says_why() -> None:
    renewals = Renewals(months=1, delay_invoices=1)
    reasons = [renewals.refusal(index) for index in range(4)]
    assert reasons == ["recurring_delay", None, None, "recurring_months_over"]


@given(st.integers(0, 60), st.integers(0, 12))
def test_a_limit_of_n_renewals_earns_n_times_and_once_for_the_first_payment(months: int, delay: int) -> None:
    renewals = Renewals(months, delay)
    earning = [index for index in range(months + delay + 5) if renewals.refusal(index) is None]
    assert earning == list(range(delay, delay + months + 1))
