"""Coupons: what a discount is worth and how long it lasts."""

from rekomi_mcp.sandbox.errors import InvalidRequest, Refused, missing_object
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_code
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import (
    Choice,
    Currency,
    Fields,
    Integer,
    ListOf,
    Metadata,
    Percentage,
    Text,
    merged_metadata,
)
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work


def create_coupon(work: Work, params: JsonObject) -> JsonObject:
    _check_terms(work, params)
    id = params.get("id") or new_code()
    if work.find("coupon", id) is not None:
        raise Refused("Coupon already exists.", code="resource_already_exists")
    products = params.get("applies_to", {}).get("products")
    for index, product in enumerate(products or []):
        if work.find("product", product) is None:
            raise missing_object("product", product, param=f"applies_to[products][{index}]")
    coupon: JsonObject = {
        "id": id,
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": work.now,
        "currency": params.get("currency") if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        "_": {"products": products or []},
    }
    work.add(coupon)
    emit(work, "coupon.created", coupon)
    return coupon


def update_coupon(work: Work, id: str, params: JsonObject) -> JsonObject:
    coupon = work.get("coupon", id, "coupon", in_path=True)
    before = view(work, coupon)
    if "name" in params:
        coupon["name"] = params["name"]
    if "metadata" in params:
        coupon["metadata"] = merged_metadata(coupon["metadata"], params["metadata"])
    save_and_tell(work, "coupon.updated", before, coupon)
    return coupon


def delete_coupon(work: Work, id: str, params: JsonObject) -> JsonObject:
    """Its promotion codes die with it, without events of their own; discounts already given stay."""
    coupon = work.get("coupon", id, "coupon", in_path=True)
    coupon["valid"] = False
    # A later coupon may get the same id; it must not bring these codes back.
    for code in list(work.where("promotion_code", {"promotion.coupon": id, "active": True})):
        code["active"] = False
        work.save(code)
    work.remove(coupon)
    emit(work, "coupon.deleted", coupon)
    return {"id": id, "object": "coupon", "deleted": True}


def _check_terms(work: Work, params: JsonObject) -> None:
    if "amount_off" not in params and "percent_off" not in params:
        raise InvalidRequest("Must provide percent_off or amount_off.", code="parameter_missing")
    if "amount_off" in params and "percent_off" in params:
        raise InvalidRequest("Received both percent_off and amount_off parameters. Please pass in only one.")
    if "amount_off" in params and "currency" not in params:
        raise InvalidRequest("You must pass currency when passing amount_off", param="currency")
    repeating = params.get("duration") == "repeating"
    if repeating and "duration_in_months" not in params:
        message = "The duration_in_months param must be set when creating a coupon with a repeating duration"
        raise InvalidRequest(message, param="duration")
    if not repeating and "duration_in_months" in params:
        message = "The duration_in_months param can only be set when creating a coupon with a repeating duration"
        raise InvalidRequest(message, param="duration_in_months")
    check_future(work, params, "redeem_by")


def check_future(work: Work, params: JsonObject, name: str) -> None:
    """Refuse a moment that has passed on the sandbox's clock."""
    if name in params and params[name] <= work.now:
        raise InvalidRequest(
            f"The parameter `{name}` expects a unix timestamp representing a date and time in the future. You "
            f"specified the value `{params[name]}` which is in the past.",
            param=name,
        )


_NAME_AND_METADATA = {"name": Text(max_length=40, clearable=True), "metadata": Metadata()}

ROUTES = (
    Route(
        "POST",
        "/v1/coupons",
        create_coupon,
        Fields(
            _NAME_AND_METADATA
            | {
                "amount_off": Integer(minimum=1),
                "applies_to": Fields({"products": ListOf(Text())}),
                "currency": Currency(),
                "duration": Choice("forever", "once", "repeating"),
                "duration_in_months": Integer(minimum=1),
                "id": Text(max_length=200),
                "max_redemptions": Integer(minimum=1),
                "percent_off": Percentage(minimum=0.01),
                "redeem_by": Integer(),
            }
        ),
    ),
    listing("/v1/coupons", "coupon"),
    retrieving("/v1/coupons/{coupon}", "coupon"),
    Route("POST", "/v1/coupons/{coupon}", update_coupon, Fields(_NAME_AND_METADATA)),
    Route("DELETE", "/v1/coupons/{coupon}", delete_coupon),
)
