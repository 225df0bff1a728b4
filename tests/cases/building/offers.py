"""What a shop offers: coupons and their promotion codes, prices, and the customers who take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cases.building.blanks import JsonObject
from tests.cases.building.world import DAY, MONTH, START, World

_OFFERED = START - MONTH


@dataclass(frozen=True)
class Code:
    """A promotion code with its coupon."""

    promotion: JsonObject
    coupon: JsonObject

    @property
    def id(self) -> str:
        return self.promotion["id"]


def coupon(
    world: World, coupon_id: str, *, duration: str = "once", months: int | None = None, **off: Any
) -> JsonObject:
    """A coupon that takes `percent_off`, or `amount_off` in `currency`."""
    percent = off.get("percent_off")
    name = f"{percent}% off" if percent else f"{off['amount_off']} {off['currency']} off"
    return world.add(
        "coupon",
        id=coupon_id,
        created=_OFFERED,
        duration=duration,
        duration_in_months=months,
        name=name,
        **off,
    )


def promotion_code(world: World, coupon: JsonObject, text: str, *, created: int = _OFFERED + DAY) -> Code:
    """A text that redeems a coupon."""
    promotion = world.add(
        "promotion_code", "promo_1", created=created, code=text, promotion={"coupon": coupon["id"], "type": "coupon"}
    )
    return Code(promotion, coupon)


def price(world: World, amount: int, currency: str, *, monthly: bool) -> JsonObject:
    """The price of the shop's product; the same one for the same amount."""
    kind = "recurring" if monthly else "one_time"
    wanted = (amount, currency, kind)
    for known in world.all("price"):
        if (known["unit_amount"], known["currency"], known["type"]) == wanted:
            return known
    products = world.all("product") or [world.add("product", "prod_", created=_OFFERED, updated=_OFFERED)]
    month = {"interval": "month", "interval_count": 1, "meter": None, "trial_period_days": None}
    return world.add(
        "price",
        "price_1",
        created=_OFFERED,
        currency=currency,
        product=products[0]["id"],
        recurring={**month, "usage_type": "licensed"} if monthly else None,
        type=kind,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
    )


def customer(world: World, email: str = "kim@example.com") -> JsonObject:
    made = world.add("customer", "cus_", email=email)
    made["invoice_prefix"] = made["id"][-8:].upper()
    return made


def redeem(world: World, code: Code, **owner: str) -> JsonObject:
    """The discount that a redeemed code gives its owner: a customer with a subscription, a session, or an invoice."""
    discount = apply(world, code.coupon, **owner)
    discount["promotion_code"] = code.id
    code.promotion["times_redeemed"] += 1
    return discount


def apply(world: World, coupon: JsonObject, **owner: str) -> JsonObject:
    """The discount that a coupon without any code gives its owner."""
    months = coupon["duration_in_months"]
    coupon["times_redeemed"] += 1
    return world.add(
        "discount",
        "di_1",
        source={"coupon": coupon["id"], "type": "coupon"},
        start=world.now,
        end=world.now + months * MONTH if months else None,
        **owner,
    )
