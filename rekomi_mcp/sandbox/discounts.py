"""Discounts: who may have one, and what giving it changes."""

from collections.abc import Sequence
from dataclasses import dataclass

from rekomi_mcp.sandbox.errors import Refused, exclusive_parameters, missing_object
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.params import Fields, Text
from rekomi_mcp.sandbox.periods import add_periods
from rekomi_mcp.sandbox.pricing import PricedLine, covers
from rekomi_mcp.sandbox.promotion_codes import active_codes
from rekomi_mcp.sandbox.shapes import JsonObject, notes
from rekomi_mcp.sandbox.validity import coupon_is_valid, is_expired, is_used_up
from rekomi_mcp.sandbox.work import Work

DISCOUNT = Fields({"coupon": Text(), "promotion_code": Text()})
"""One entry of a `discounts` parameter."""


@dataclass(frozen=True)
class Offer:
    """A coupon somebody wants to use, with the promotion code that led to it, if one did."""

    coupon: JsonObject
    code: JsonObject | None

    def shown(self) -> JsonObject:
        """As a checkout session lists it."""
        return {
            "coupon": None if self.code else self.coupon["id"],
            "promotion_code": self.code["id"] if self.code else None,
        }


def offer_from(work: Work, entry: JsonObject, param: str) -> Offer:
    """The offer an entry of a `discounts` parameter names."""
    if "coupon" in entry and "promotion_code" in entry:
        raise exclusive_parameters(f"{param}[coupon]", f"{param}[promotion_code]")
    if "promotion_code" in entry:
        code = work.get("promotion_code", entry["promotion_code"], f"{param}[promotion_code]")
        coupon = work.find("coupon", code["promotion"]["coupon"])
        if coupon is None:
            raise _not_redeemable("its coupon has been deleted", f"{param}[promotion_code]")
        return Offer(coupon, code)
    return Offer(work.get("coupon", entry["coupon"], f"{param}[coupon]"), None)


def offer_for_text(work: Work, text: str, customer: str | None) -> Offer:
    """The offer a customer gets for typing a text at checkout; a code made for this customer comes first."""
    codes = active_codes(work, text)
    code = next((code for code in codes if code["customer"] == customer), codes[0] if codes else None)
    if code is None:
        inactive = next(work.where("promotion_code", {"_.text": text.lower()}), None)
        if inactive is None:
            raise missing_object("promotion_code", text, param="code")
        code = inactive
    return offer_from(work, {"promotion_code": code["id"]}, "code")


def check_offer(work: Work, offer: Offer, lines: Sequence[PricedLine], customer: str | None, param: str) -> None:
    """Refuse an offer this customer may not use for these lines, now."""
    coupon, code = offer.coupon, offer.code
    if code is not None:
        _check_code(work, code, lines, customer, param)
    if not coupon_is_valid(coupon, work.now):
        state = "is used up" if is_used_up(coupon) else "is expired"
        raise Refused(f"Coupon {coupon['id']} {state} and cannot be applied.", code="coupon_expired", param=param)
    if coupon["currency"] not in (None, lines[0].price["currency"]):
        raise Refused(f"Coupon {coupon['id']} is for another currency and cannot be applied.", param=param)
    if not any(covers(coupon, line) for line in lines):
        raise Refused(f"Coupon {coupon['id']} does not apply to anything in this order.", param=param)


def _check_code(work: Work, code: JsonObject, lines: Sequence[PricedLine], customer: str | None, param: str) -> None:
    rules = code["restrictions"]
    too_little = rules["minimum_amount"] is not None and (
        rules["minimum_amount_currency"] != lines[0].price["currency"]
        or sum(line.subtotal for line in lines) < rules["minimum_amount"]
    )
    obstacles = {
        "it has expired": is_expired(code["expires_at"], work.now),
        "it has been redeemed as often as it may be": is_used_up(code),
        "it is not active": not code["active"],
        "it is meant for another customer": code["customer"] not in (None, customer),
        "the order does not meet its minimum amount": too_little,
        "the associated customer has prior transactions": rules["first_time_transaction"]
        and customer is not None
        and _has_paid(work, customer),
    }
    for reason, applies in obstacles.items():
        if applies:
            raise _not_redeemable(reason, param)


def redeem(
    work: Work, offer: Offer, *, customer: str | None, session: str | None = None, subscription: str | None = None
) -> JsonObject:
    """Give the discount: count the redemption and make the discount object."""
    for item in (offer.coupon, offer.code):
        if item is not None:
            # Read again: another discount of the same order may have counted already.
            counted = work.get(item["object"], item["id"], "id")
            counted["times_redeemed"] += 1
            work.save(counted)
    months = offer.coupon["duration_in_months"]
    discount: JsonObject = {
        "id": new_id("di_"),
        "object": "discount",
        "checkout_session": session,
        "customer": customer,
        "customer_account": None,
        "end": add_periods(work.now, "month", months) if months and subscription else None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": offer.code["id"] if offer.code else None,
        "source": {"coupon": offer.coupon["id"], "type": "coupon"},
        "start": work.now,
        "subscription": subscription,
        "subscription_item": None,
        # The terms at this moment: they outlive the coupon.
        "_": {"coupon": offer.coupon},
    }
    work.add(discount)
    return discount


def coupon_of(discount: JsonObject) -> JsonObject:
    """The terms a discount was given on."""
    return notes(discount)["coupon"]


def _has_paid(work: Work, customer: str) -> bool:
    """Whether a customer had any invoice or paid anything: what Stripe calls prior transactions."""
    invoices = work.where("invoice", {"customer": customer})
    charges = work.where("charge", {"customer": customer, "paid": True})
    return next(invoices, None) is not None or next(charges, None) is not None


def _not_redeemable(reason: str, param: str) -> Refused:
    return Refused(f"This promotion code cannot be redeemed because {reason}.", param=param)
