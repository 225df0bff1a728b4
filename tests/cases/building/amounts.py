"""The arithmetic of an invoice: discounts, tax and totals, in minor units, rounded half up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from tests.cases.building.blanks import JsonObject


@dataclass(frozen=True)
class Tax:
    """A tax rate in percent; an inclusive one is a part of the price, an exclusive one comes on top."""

    percent: str
    inclusive: bool = False

    def of(self, taxable: int) -> int:
        """The tax in, or on, this amount."""
        rate = Decimal(self.percent) / 100
        return rounded(taxable * rate / (1 + rate) if self.inclusive else taxable * rate)


@dataclass(frozen=True)
class Totals:
    """What a purchase comes to."""

    subtotal: int
    discount: int
    tax: int
    total: int
    total_excluding_tax: int


def rounded(amount: Decimal) -> int:
    """The nearest whole minor unit; a half goes up, away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def amounts_off(amount: int, coupons: Sequence[JsonObject]) -> list[int]:
    """What each coupon takes off, one after the other, never below zero."""
    parts: list[int] = []
    for coupon in coupons:
        left = amount - sum(parts)
        if coupon["percent_off"] is not None:
            part = rounded(left * Decimal(str(coupon["percent_off"])) / 100)
        else:
            part = coupon["amount_off"]
        parts.append(min(part, max(left, 0)))
    return parts


def totals(subtotal: int, discount: int, tax: Tax | None) -> Totals:
    """The sums of a purchase with one tax rate."""
    after = subtotal - discount
    taxed = tax.of(after) if tax else 0
    inclusive = tax is not None and tax.inclusive
    return Totals(
        subtotal=subtotal,
        discount=discount,
        tax=taxed,
        total=after if inclusive else after + taxed,
        total_excluding_tax=after - taxed if inclusive else after,
    )
