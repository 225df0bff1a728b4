"""Commission rates between the wire (percent, major units), the store (basis points, minor units) and words."""

from decimal import Decimal
from typing import Protocol

from rekomi_mcp.domain.commission import CommissionType, Rate
from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.money import decimals, display, scaled, to_major, to_minor


class RateColumns(Protocol):
    """A row that carries a rate."""

    @property
    def commission_type(self) -> str | None: ...
    @property
    def commission_value(self) -> int | None: ...
    @property
    def commission_currency(self) -> str | None: ...


def rate_of(row: RateColumns) -> Rate | None:
    """The rate in a row, or None when the row leaves it to others."""
    if row.commission_type is None or row.commission_value is None:
        return None
    return Rate(CommissionType(row.commission_type), row.commission_value, row.commission_currency)


def parse_rate(type_: CommissionType, value: Decimal, currency: str, *, field: str) -> Rate:
    """A rate from what a caller wrote: 20 for 20 %, or 15.50 for a fixed amount in `currency`.

    Raises:
        InvalidInput: out of range, or more decimals than basis points or the currency can hold.
    """
    if type_ is CommissionType.Percentage:
        points = basis_points(value)
        if points is None:
            raise InvalidInput("A percentage is 0 to 100 with at most two decimals, for example 20.", field=field)
        return Rate(type_, points)
    minor = to_minor(value, currency)
    if minor is None or not 0 <= minor <= 100_000_000:
        raise InvalidInput(
            f"A fixed commission is an amount in {currency} with at most {decimals(currency)} decimals, "
            f"up to {display(100_000_000, currency)}.",
            field=field,
        )
    return Rate(type_, minor, currency)


def basis_points(percent: Decimal) -> int | None:
    """20 % as 2000; None outside 0 to 100, or with more than two decimals."""
    return scaled(percent, 2) if 0 <= percent <= 100 else None


def wire_value(rate: Rate) -> float:
    """The value as callers wrote it. A float holds two decimals exactly enough to print them back."""
    if rate.type is CommissionType.Percentage:
        return rate.value / 100
    return float(to_major(rate.value, rate.currency or "USD"))


def in_words(rate: Rate) -> str:
    """`20 %` or `USD 15.50`."""
    if rate.type is CommissionType.Percentage:
        return f"{Decimal(rate.value).scaleb(-2).normalize():f} %"
    return display(rate.value, rate.currency or "USD")
