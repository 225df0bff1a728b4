"""The discount behind a code: its terms, and how people say them."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rekomi_mcp.domain.money import display


class DiscountType(StrEnum):
    PercentOff = "PercentOff"
    AmountOff = "AmountOff"


class Duration(StrEnum):
    Once = "Once"
    Repeating = "Repeating"
    Forever = "Forever"


@dataclass(frozen=True, slots=True)
class Discount:
    """`value` is basis points for PercentOff, and minor units of `currency` for AmountOff."""

    type: DiscountType
    value: int
    currency: str | None
    duration: Duration
    duration_in_months: int | None

    def in_words(self) -> str:
        """`20 % off, once` or `USD 10.00 off, for 3 months`."""
        if self.type is DiscountType.PercentOff:
            amount = f"{Decimal(self.value).scaleb(-2).normalize():f} %"
        else:
            amount = display(self.value, self.currency or "USD")
        match self.duration:
            case Duration.Once:
                return f"{amount} off, once"
            case Duration.Forever:
                return f"{amount} off, forever"
            case Duration.Repeating:
                months = self.duration_in_months
                return f"{amount} off, for {months} {'month' if months == 1 else 'months'}"

    def digits(self) -> str:
        """The digits a code would carry: `20` of 20 % off, `10` of USD 10.00 off; empty when they would mislead."""
        if self.type is DiscountType.PercentOff:
            return str(self.value // 100) if self.value % 100 == 0 else ""
        text = display(self.value, self.currency or "USD").partition(" ")[2]
        return text.removesuffix(".00").replace(",", "") if "." not in text.removesuffix(".00") else ""
