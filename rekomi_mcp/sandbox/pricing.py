"""What lines come to after discounts and tax: pure arithmetic in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rekomi_mcp.domain.money import half_up
from rekomi_mcp.sandbox.shapes import JsonObject

_MILLIONTHS = 1_000_000


@dataclass(frozen=True)
class Tax:
    """One tax rate applied to one line."""

    rate: JsonObject
    taxable: int
    amount: int


@dataclass
class PricedLine:
    """One line.

    Attributes:
        price: the price object it sells.
        subtotal: before discounts; contains inclusive tax.
        discounts: what each discount takes off, in the order the discounts were given.
    """

    price: JsonObject
    quantity: int
    subtotal: int
    rates: list[JsonObject]
    discounts: list[int] = field(default_factory=list[int])
    taxes: list[Tax] = field(default_factory=list[Tax])

    @property
    def discounted(self) -> int:
        return self.subtotal - sum(self.discounts)

    @property
    def tax(self) -> int:
        return sum(tax.amount for tax in self.taxes)

    @property
    def total(self) -> int:
        """What the customer pays for this line."""
        return self.discounted + sum(tax.amount for tax in self.taxes if not tax.rate["inclusive"])

    @property
    def total_excluding_tax(self) -> int:
        return self.total - self.tax

    @property
    def subtotal_excluding_tax(self) -> int:
        return self.subtotal - sum(tax.amount for tax in _taxes(self.subtotal, self.rates) if tax.rate["inclusive"])


def price_lines(lines: Sequence[PricedLine], coupons: Sequence[JsonObject]) -> None:
    """Work out discounts and taxes of the lines, in place. Several coupons apply one after the other."""
    for coupon in coupons:
        left = [line.discounted if covers(coupon, line) else 0 for line in lines]
        for line, amount in zip(lines, _reductions(coupon, left), strict=True):
            line.discounts.append(amount)
    for line in lines:
        line.taxes = _taxes(line.discounted, line.rates)


def covers(coupon: JsonObject, line: PricedLine) -> bool:
    """Whether a coupon applies to what this line sells."""
    products = coupon["_"]["products"]
    return not products or line.price["product"] in products


def _reductions(coupon: JsonObject, left: list[int]) -> list[int]:
    """What a coupon takes off each amount: a percentage of each, or an amount spread over all of them."""
    if coupon["percent_off"] is not None:
        millionths = _millionths(coupon["percent_off"])
        return [half_up(amount * millionths, _MILLIONTHS) for amount in left]
    whole = sum(left)
    if whole == 0:
        return [0] * len(left)
    off = min(coupon["amount_off"], whole)
    # Rounding the running total, not each share, makes the shares add up to the amount exactly.
    shares: list[int] = []
    reached = 0
    for amount in left:
        reached += amount
        shares.append(half_up(off * reached, whole) - sum(shares))
    return shares


def _taxes(amount: int, rates: Sequence[JsonObject]) -> list[Tax]:
    inclusive = sum(_millionths(rate["percentage"]) for rate in rates if rate["inclusive"])
    contained = {
        rate["id"]: half_up(amount * _millionths(rate["percentage"]), _MILLIONTHS + inclusive)
        for rate in rates
        if rate["inclusive"]
    }
    net = amount - sum(contained.values())
    return [Tax(rate, net, contained[rate["id"]] if rate["inclusive"] else _added(net, rate)) for rate in rates]


def _added(net: int, rate: JsonObject) -> int:
    return half_up(net * _millionths(rate["percentage"]), _MILLIONTHS)


def _millionths(percentage: float) -> int:
    return round(percentage * 10_000)
