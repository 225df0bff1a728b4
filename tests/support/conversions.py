"""What a story looks at when a sale has earned."""

from __future__ import annotations

from tests.support.shop import JsonObject, Shop


def earned(conversion: JsonObject | None) -> tuple[int, int, str, str | None]:
    """The base, the commission, and by what it was credited."""
    assert conversion is not None, "nobody earned"
    return (
        conversion["amountCents"],
        conversion["commissionCents"],
        conversion["attributionMethod"],
        conversion["couponCode"],
    )


def timeline(conversion: JsonObject | None) -> list[tuple[str, int]]:
    assert conversion is not None, "nobody earned"
    return [(event["eventType"], event["commissionCents"]) for event in conversion["events"]]


def claims(explanation: JsonObject) -> list[tuple[str, str, bool, str]]:
    """Everyone with a claim: who, by what, whether it won, and the rule."""
    return [(c["affiliateName"], c["evidence"], c["won"], c["reason"]) for c in explanation["candidates"]]


async def promotion_code(shop: Shop, code_id: str) -> str:
    codes = (await shop.do("list_affiliate_codes"))["items"]
    return next(code["stripePromotionCodeId"] for code in codes if code["id"] == code_id)
