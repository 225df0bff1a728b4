"""Whether a coupon or promotion code can still be used: derived from time and counters, never stored."""

from rekomi_mcp.sandbox.shapes import JsonObject


def coupon_is_valid(coupon: JsonObject, now: int) -> bool:
    return not is_expired(coupon["redeem_by"], now) and not is_used_up(coupon)


def code_is_active(code: JsonObject, coupon: JsonObject | None, now: int) -> bool:
    """Whether a promotion code can be redeemed. `coupon` is None once the coupon has been deleted."""
    return (
        code["active"]
        and not is_expired(code["expires_at"], now)
        and not is_used_up(code)
        and coupon is not None
        and coupon_is_valid(coupon, now)
    )


def is_expired(moment: int | None, now: int) -> bool:
    return moment is not None and moment <= now


def is_used_up(item: JsonObject) -> bool:
    """Whether a coupon or promotion code has been redeemed as often as it may be."""
    return item["max_redemptions"] is not None and item["times_redeemed"] >= item["max_redemptions"]
