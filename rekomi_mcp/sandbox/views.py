"""Objects as the API shows them: without private notes, with the fields that follow from time and counters."""

from copy import deepcopy

from rekomi_mcp.sandbox.shapes import PRIVATE, JsonObject
from rekomi_mcp.sandbox.validity import code_is_active, coupon_is_valid
from rekomi_mcp.sandbox.work import Work

_PENDING = """
    SELECT count(*) FROM deliveries
    WHERE event = (SELECT seq FROM objects WHERE account = ? AND type = 'event' AND id = ?)
"""


def view(work: Work, item: JsonObject) -> JsonObject:
    """A copy of an object as a client sees it now."""
    shown = deepcopy({key: value for key, value in item.items() if key != PRIVATE})
    if "deleted" in item:
        return shown
    match item.get("object"):
        case "coupon":
            shown["valid"] = item["valid"] and coupon_is_valid(item, work.now)
        case "promotion_code":
            coupon = work.find("coupon", item["promotion"]["coupon"])
            shown["active"] = code_is_active(item, coupon, work.now)
        case "event":
            shown["pending_webhooks"] = work.db.execute(_PENDING, (work.account, item["id"])).fetchone()[0]
        case _:
            pass
    return shown
