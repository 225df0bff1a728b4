"""Money: the one rounding rule, Stripe's table of decimals, and amounts as people write them."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.money import (
    SALE_CURRENCIES,
    SUPPORTED_CURRENCIES,
    decimals,
    display,
    half_up,
    share,
    to_major,
    to_minor,
)

EVERY_DECIMAL = ("JPY", "USD", "KWD")
currencies = st.sampled_from([*SUPPORTED_CURRENCIES, "KWD", "BHD", "XAF", "ISK", "UGX"])
amounts = st.integers(-(2**63), 2**63 - 1)
"""Whatever a column for money can hold."""


def rounded(numerator: int, denominator: int) -> int:
    """The same quotient, rounded by the decimal module."""
    with localcontext() as context:
        context.prec = 120
        return int((Decimal(numerator) / Decimal(denominator)).quantize(Decimal(1), ROUND_HALF_UP))


@given(st.integers(-(10**24), 10**24), st.integers(1, 10**12))
def test_half_up_rounds_as_the_decimal_module_does(numerator: int, denominator: int) -> None:
    assert half_up(numerator, denominator) == rounded(numerator, denominator)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_an_exact_half_goes_away_from_zero(whole: int, denominator: int) -> None:
    half = half_up((2 * whole + 1) * denominator, 2 * denominator)
    assert half == (whole + 1 if whole >= 0 else whole)


@pytest.mark.parametrize(
    ("amount", "basis_points", "expected"),
    [
        (4000, 2000, 800),
        (1, 5000, 1),
        (1, 4999, 0),
        (333, 1500, 50),
        (-1, 5000, -1),
        (10**15, 10_000, 10**15),
        (7, 0, 0),
    ],
)
def test_a_share_is_rounded_once_and_half_up(amount: int, basis_points: int, expected: int) -> None:
    assert share(amount, basis_points) == expected


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("ISK", 2), ("UGX", 2), ("HUF", 2)],
)
def test_decimals_are_those_of_stripes_wire(currency: str, expected: int) -> None:
    assert decimals(currency) == decimals(currency.lower()) == expected


def test_every_supported_currency_is_named_once_in_capitals() -> None:
    assert len(set(SUPPORTED_CURRENCIES)) == len(SUPPORTED_CURRENCIES)
    assert all(len(c) == 3 and c.isascii() and c.isupper() for c in SUPPORTED_CURRENCIES)


def test_sales_may_be_in_every_currency_an_owner_may_name_and_in_those_of_other_decimals() -> None:
    assert set(SUPPORTED_CURRENCIES) <= SALE_CURRENCIES
    assert all(len(c) == 3 and c.isascii() and c.isupper() for c in SALE_CURRENCIES)
    assert {c for c in SALE_CURRENCIES if decimals(c) == 3} == set("BHD JOD KWD OMR TND".split())
    assert {c for c in SALE_CURRENCIES if decimals(c) == 0} == set(
        "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()
    )


@given(amounts, currencies)
def test_minor_units_survive_the_way_through_major_units(amount: int, currency: str) -> None:
    assert to_minor(to_major(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("99.00", "USD", 9900),
        ("99.5", "USD", 9950),
        ("99.999", "USD", None),
        ("980", "JPY", 980),
        ("980.0", "JPY", 980),
        ("980.5", "JPY", None),
        ("1.005", "KWD", 1005),
        ("-3", "USD", -300),
    ],
)
def test_an_amount_with_more_decimals_than_its_currency_is_none(
    amount: str, currency: str, expected: int | None
) -> None:
    assert to_minor(Decimal(amount), currency) == expected


@given(st.integers(-(10**30), 10**30), st.integers(0, 40), st.sampled_from(EVERY_DECIMAL))
def test_no_decimal_is_lost_on_the_way_to_minor_units(digits: int, places: int, currency: str) -> None:
    scale = 10 ** decimals(currency)
    minor, rest = divmod(abs(digits) * scale, 10**places)
    expected = None if rest else (minor if digits >= 0 else -minor)
    assert to_minor(Decimal(f"{digits}E-{places}"), currency) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (123450, "USD", "USD 1,234.50"),
        (980, "JPY", "JPY 980"),
        (1_000_000, "JPY", "JPY 1,000,000"),
        (-300, "USD", "USD -3.00"),
        (0, "EUR", "EUR 0.00"),
        (5, "kwd", "KWD 0.005"),
    ],
)
def test_amounts_are_displayed_as_people_write_them(amount: int, currency: str, expected: str) -> None:
    assert display(amount, currency) == expected


@given(amounts, currencies)
def test_a_displayed_amount_reads_back_as_the_same_amount(amount: int, currency: str) -> None:
    code, _, number = display(amount, currency).partition(" ")
    assert code == currency
    assert to_minor(Decimal(number.replace(",", "")), currency) == amount
