"""Event payloads of an older API version, as an endpoint that was set up years ago still gets them."""

from __future__ import annotations

import copy
from typing import Any

from tests.cases.building.blanks import JsonObject
from tests.cases.building.world import World

OLD_VERSION = "2024-06-20"


def make_old(world: World, event: JsonObject) -> None:
    """Rewrite what an event tells to what it would have told in the older version."""
    about = event["data"]["object"]
    shaped = {"invoice": _invoice, "checkout.session": _session, "subscription": _subscription}
    event["data"]["object"] = shaped[about["object"]](world, copy.deepcopy(about))
    event["api_version"] = OLD_VERSION


def _invoice(world: World, invoice: JsonObject) -> JsonObject:
    parent: JsonObject | None = invoice.pop("parent")
    taxes = _old_taxes(invoice.pop("total_taxes"))
    _drop(invoice, "amount_overpaid", "customer_account", "total_pretax_credit_amounts")
    [payment] = [each for each in world.all("invoice_payment") if each["invoice"] == invoice["id"]]
    intent = world.get("payment_intent", payment["payment"]["payment_intent"])
    discounts = [_discount(world, each) for each in invoice["discounts"]]
    for line in invoice["lines"]["data"]:
        _drop(line, "parent", "pricing", "pretax_credit_amounts", "quantity_decimal", "subtotal")
        line.update(tax_amounts=_old_taxes(line.pop("taxes")), tax_rates=[], type="subscription")
    return {
        **invoice,
        "charge": intent["latest_charge"],
        "discount": discounts[0] if discounts else None,
        "paid": True,
        "payment_intent": intent["id"],
        "subscription": parent["subscription_details"]["subscription"] if parent else None,
        "subscription_details": {"metadata": parent["subscription_details"]["metadata"]} if parent else None,
        "tax": sum(each["amount"] for each in taxes),
        "total_tax_amounts": taxes,
    }


def _session(world: World, session: JsonObject) -> JsonObject:
    """Sessions did not name their discounts then."""
    _drop(session, "adaptive_pricing", "customer_account", "discounts", "integration_identifier", "managed_payments")
    return session


def _subscription(world: World, subscription: JsonObject) -> JsonObject:
    [item] = subscription["items"]["data"]
    period = {name: item.pop(name) for name in ("current_period_start", "current_period_end")}
    _drop(subscription, "billing_mode", "billing_schedules", "customer_account")
    discounts = [_discount(world, each) for each in subscription["discounts"]]
    return {**subscription, **period, "discount": discounts[0] if discounts else None}


def _discount(world: World, discount_id: str) -> JsonObject:
    """The coupon stood in the discount itself."""
    discount = copy.deepcopy(world.get("discount", discount_id))
    coupon = world.get("coupon", discount.pop("source")["coupon"])
    _drop(discount, "customer_account")
    return {**discount, "coupon": copy.deepcopy(coupon)}


def _old_taxes(taxes: list[JsonObject]) -> list[JsonObject]:
    return [
        {
            "amount": each["amount"],
            "inclusive": each["tax_behavior"] == "inclusive",
            "tax_rate": each["tax_rate_details"]["tax_rate"],
            "taxability_reason": each["taxability_reason"],
            "taxable_amount": each["taxable_amount"],
        }
        for each in taxes
    ]


def _drop(owner: dict[str, Any], *names: str) -> None:
    for name in names:
        del owner[name]
