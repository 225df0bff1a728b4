"""Money: integers in minor units, Stripe's table of decimals, and the one rounding rule."""

from decimal import Decimal
from typing import Final

SUPPORTED_CURRENCIES: Final = (
    "AED AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NOK NZD PHP PLN RON SAR SEK SGD THB "
    "TRY USD ZAR"
).split()
"""Currencies an owner may name in a discount, a fixed commission or as home currency.

Sales may be in any of SALE_CURRENCIES.
"""

SALE_CURRENCIES: Final = frozenset(
    (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
        "CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
        "ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR "
        "MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD "
        "SHP SLE SOS SRD STD SVC SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER "
        "ZAR ZMW"
    ).split()
)
"""Currencies in which a seller's server may tell a sale: those that Stripe has. What Stripe itself tells is not checked."""

_NO_DECIMALS: Final = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
_THREE_DECIMALS: Final = frozenset("BHD JOD KWD OMR TND".split())

_LARGEST_POWER: Final = 60
"""Far beyond all money; what is larger is not worth the memory."""
_LONGEST: Final = 1000
"""Digits that a written number may have, noughts and all. Python itself refuses to read some thousands."""

BASIS_POINTS: Final = 10_000
"""One whole, in hundredths of a percent."""


def decimals(currency: str) -> int:
    """How many decimals an amount in this currency has on Stripe's wire (not in ISO 4217: ISK and UGX have two)."""
    code = currency.upper()
    if code in _NO_DECIMALS:
        return 0
    return 3 if code in _THREE_DECIMALS else 2


def half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves away from zero. The only rounding in the product."""
    assert denominator > 0
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def share(amount_minor: int, basis_points: int) -> int:
    """`basis_points` of an amount, in the same minor unit."""
    return half_up(amount_minor * basis_points, BASIS_POINTS)


def to_major(amount_minor: int, currency: str) -> Decimal:
    """9900 USD cents as Decimal('99.00')."""
    return Decimal(amount_minor).scaleb(-decimals(currency))


def to_minor(amount: Decimal, currency: str) -> int | None:
    """Decimal('99.00') USD as 9900; None when the amount has more decimals than the currency, or is beyond all money."""
    return scaled(amount, decimals(currency))


def scaled(number: Decimal, places: int) -> int | None:
    """A decimal number with so many places, as an integer of the last place; None when it has more, or is too large."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or number.adjusted() > _LARGEST_POWER:
        return None
    if len(digits) > _LONGEST:
        return None
    whole, shift = int("".join(map(str, digits))), exponent + places
    if shift >= 0:
        whole *= 10**shift
    elif -shift > len(digits):  # less than one of the last place, and perhaps far too small to compute with
        return None if whole else 0
    else:
        whole, rest = divmod(whole, 10**-shift)
        if rest:
            return None
    return -whole if sign else whole


def display(amount_minor: int, currency: str) -> str:
    """An amount as people write it: `USD 1,234.50`, `JPY 980`, `USD -3.00`."""
    places = decimals(currency)
    whole, rest = divmod(abs(amount_minor), 10**places)
    decimal_part = f".{rest:0{places}d}" if places else ""
    return f"{currency.upper()} {'-' if amount_minor < 0 else ''}{whole:,}{decimal_part}"
