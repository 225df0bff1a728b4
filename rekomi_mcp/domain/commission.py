"""What an affiliate earns on one sale: which rate applies, on what base, and on which renewals."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from rekomi_mcp.domain.money import half_up, share


class CommissionType(StrEnum):
    Percentage = "Percentage"
    Fixed = "Fixed"


class RateSource(StrEnum):
    """Who set the rate; the first that has one wins."""

    Code = "code"
    Affiliate = "affiliate"
    Program = "program"


@dataclass(frozen=True, slots=True)
class Rate:
    """A commission rate.

    `value` is basis points of the base for Percentage, and minor units of `currency` for Fixed.
    """

    type: CommissionType
    value: int
    currency: str | None = None

    def commission_minor(self, net_minor: int) -> int:
        """Commission on one sale whose base (net of discount and tax) is `net_minor`; nothing on nothing."""
        if net_minor <= 0:
            return 0
        return self.value if self.type is CommissionType.Fixed else share(net_minor, self.value)


@dataclass(frozen=True, slots=True)
class Renewals:
    """On which paid invoices of a subscription commission is due.

    `months` is the number of renewals that earn after the first payment: None for every one, 0 for none.
    `delay_invoices` paid invoices are skipped before the first commission.
    """

    months: int | None = None
    delay_invoices: int = 0

    def refusal(self, invoice_index: int) -> str | None:
        """Why the invoice with this index (0 for the first paid one) earns nothing, or None when it earns."""
        if invoice_index < self.delay_invoices:
            return "recurring_delay"
        if self.months is not None and invoice_index - self.delay_invoices > self.months:
            return "recurring_months_over"
        return None


def choose_rate(code: Rate | None, affiliate: Rate | None, program: Rate) -> tuple[Rate, RateSource]:
    """The rate in force: the code's own, else the affiliate's, else the program's."""
    if code is not None:
        return code, RateSource.Code
    if affiliate is not None:
        return affiliate, RateSource.Affiliate
    return program, RateSource.Program


def remaining_minor(commission_minor: int, gross_minor: int, reversed_minor: Fraction | int) -> int:
    """Commission left after `reversed_minor` of the `gross_minor` the customer paid has gone back.

    What went back may be a part of a refund, which need not be a whole minor unit: it is rounded here and only here.
    """
    if gross_minor <= 0:
        return commission_minor
    kept = gross_minor - min(gross_minor, max(0, reversed_minor))
    return half_up(commission_minor * kept.numerator, gross_minor * kept.denominator)
