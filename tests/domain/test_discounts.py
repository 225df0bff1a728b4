"""Discounts: how people say them, and the digits a code would carry."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.codes import base_code, is_valid
from rekomi_mcp.domain.discounts import Discount, DiscountType, Duration
from rekomi_mcp.domain.money import to_major


def percent(basis_points: int, duration: Duration = Duration.Once, months: int | None = None) -> Discount:
    return Discount(DiscountType.PercentOff, basis_points, None, duration, months)


def off(amount_minor: int, currency: str) -> Discount:
    return Discount(DiscountType.AmountOff, amount_minor, currency, Duration.Once, None)


percents = st.integers(1, 10_000).map(percent)
amounts_off = st.builds(off, st.integers(1, 10**12), st.sampled_from(["USD", "JPY", "KWD", "EUR"]))


@pytest.mark.parametrize(
    ("discount", "expected"),
    [
        (percent(2000), "20 % off, once"),
        (percent(1250), "12.5 % off, once"),
        (percent(10_000), "100 % off, once"),
        (percent(1), "0.01 % off, once"),
        (percent(2000, Duration.Forever), "20 % off, forever"),
        (percent(2000, Duration.Repeating, 3), "20 % off, for 3 months"),
        (percent(2000, Duration.Repeating, 1), "20 % off, for 1 month"),
        (off(1000, "USD"), "USD 10.00 off, once"),
        (off(1000, "JPY"), "JPY 1,000 off, once"),
    ],
)
def test_a_discount_in_words(discount: Discount, expected: str) -> None:
    assert discount.in_words() == expected


@pytest.mark.parametrize(
    ("discount", "expected"),
    [
        (percent(2000), "20"),
        (percent(10_000), "100"),
        (percent(1250), ""),
        (off(1000, "USD"), "10"),
        (off(1050, "USD"), ""),
        (off(100_000, "USD"), "1000"),
        (off(1000, "JPY"), "1000"),
        (off(1234, "KWD"), ""),
    ],
)
def test_the_digits_of_a_discount(discount: Discount, expected: str) -> None:
    assert discount.digits() == expected


@given(percents)
def test_digits_of_a_percentage_are_the_percentage_or_nothing(discount: Discount) -> None:
    digits = discount.digits()
    assert digits == "" or int(digits) * 100 == discount.value
    assert (digits == "") == (discount.value % 100 != 0)


@given(amounts_off)
def test_digits_of_an_amount_are_the_amount_or_nothing(discount: Discount) -> None:
    digits = discount.digits()
    assert digits == "" or (digits.isdecimal() and Decimal(digits) == to_major(discount.value, str(discount.currency)))


@given(st.one_of(percents, amounts_off))
def test_every_discounts_digits_go_into_a_code(discount: Discount) -> None:
    assert is_valid(base_code("Sarah Lee", "sarah@example.com", discount.digits()))
