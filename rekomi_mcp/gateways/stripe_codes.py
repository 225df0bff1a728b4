"""Promotion codes that somebody made in Stripe, in our terms: how Stripe spells codes, coupons and discounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rekomi_mcp.domain.discounts import Discount, DiscountType, Duration
from rekomi_mcp.domain.money import scaled

JsonObject = dict[str, Any]

_DURATIONS = {duration.value.lower(): duration for duration in Duration}
_MOST_REDEMPTIONS = 1_000_000_000
"""A limit beyond this is none, and not every database holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCoupon:
    """A coupon as it is in Stripe."""

    id: str
    name: str | None
    discount: Discount | None
    """None when it cannot be said in whole basis points or minor units."""
    in_words: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCode:
    """A promotion code as it is in Stripe."""

    id: str
    text: str
    active: bool
    coupon: FoundCoupon | None
    """None when it was deleted, and nothing is known of it any more."""
    one_customer_only: bool
    times_redeemed: int
    max_redemptions: int | None
    expires_at: datetime | None
    first_order_only: bool
    minimum_amount: int | None
    minimum_amount_currency: str | None
    row_id: str | None
    """Our row that it says it was made for. Anybody who may edit the code in Stripe may have written it."""


def found_code(promotion_code: JsonObject) -> FoundCode:
    """A promotion code with `promotion.coupon` expanded."""
    restrictions: JsonObject = promotion_code.get("restrictions") or {}
    minimum_currency: str | None = restrictions.get("minimum_amount_currency")
    metadata: JsonObject = promotion_code.get("metadata") or {}
    promotion: JsonObject = promotion_code.get("promotion") or {}
    limit: int | None = promotion_code.get("max_redemptions")
    return FoundCode(
        id=promotion_code["id"],
        text=promotion_code["code"],
        active=promotion_code["active"],
        coupon=_coupon(promotion.get("coupon")),
        one_customer_only=bool(promotion_code.get("customer") or promotion_code.get("customer_account")),
        times_redeemed=promotion_code.get("times_redeemed") or 0,
        max_redemptions=limit if limit is not None and limit <= _MOST_REDEMPTIONS else None,
        expires_at=_moment(promotion_code.get("expires_at")),
        first_order_only=bool(restrictions.get("first_time_transaction")),
        minimum_amount=restrictions.get("minimum_amount"),
        minimum_amount_currency=minimum_currency.upper() if minimum_currency else None,
        row_id=metadata.get("rekomi_affiliate_coupon_id"),
    )


def _coupon(coupon: Any) -> FoundCoupon | None:
    if not isinstance(coupon, dict) or "duration" not in coupon:
        return None
    found: JsonObject = coupon  # pyright: ignore[reportUnknownVariableType]
    discount = _discount(found)
    return FoundCoupon(
        id=found["id"],
        name=found.get("name"),
        discount=discount,
        in_words=discount.in_words() if discount else _in_words(found),
        expires_at=_moment(found.get("redeem_by")),
    )


def _discount(coupon: JsonObject) -> Discount | None:
    if coupon["duration"] not in _DURATIONS:
        return None
    duration, months = _DURATIONS[coupon["duration"]], coupon.get("duration_in_months")
    if coupon.get("percent_off") is not None:
        points = scaled(_percent(coupon), 2)
        return Discount(DiscountType.PercentOff, points, None, duration, months) if points else None
    if coupon.get("amount_off") and coupon.get("currency"):
        return Discount(DiscountType.AmountOff, coupon["amount_off"], coupon["currency"].upper(), duration, months)
    return None


def _in_words(coupon: JsonObject) -> str:
    return f"{_percent(coupon):f} % off" if coupon.get("percent_off") is not None else "a discount of another kind"


def _percent(coupon: JsonObject) -> Decimal:
    """Exactly as Stripe wrote it: the shortest number that is the float."""
    return Decimal(str(coupon["percent_off"])).normalize()


def _moment(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
