"""Promotion codes: the texts customers type to get a coupon."""

import re

from rekomi_mcp.sandbox.coupons import check_future
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_code, new_id
from rekomi_mcp.sandbox.pages import DATED_PAGING, page
from rekomi_mcp.sandbox.params import (
    Boolean,
    Choice,
    Currency,
    Fields,
    Integer,
    Metadata,
    Text,
    merged_metadata,
)
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.validity import coupon_is_valid
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Filter, Work

_FIVE_YEARS_SECONDS = 5 * 365 * 24 * 3600


def create_promotion_code(work: Work, params: JsonObject) -> JsonObject:
    coupon = _coupon_of(work, params["promotion"])
    if "customer" in params:
        work.get("customer", params["customer"], "customer")
    text = params.get("code") or new_code()
    if not re.fullmatch(r"[a-zA-Z0-9\-_]+", text):
        message = (
            rf"This value must match the regex pattern. (/\A[a-zA-Z0-9\-_]+\z/ does not match for the value {text})."
        )
        raise InvalidRequest(message, param="code")
    _check_limits(work, params, coupon)
    restrictions = params.get("restrictions", {})
    if ("minimum_amount" in restrictions) != ("minimum_amount_currency" in restrictions):
        raise InvalidRequest("You must pass both minimum_amount and minimum_amount_currency", param="restrictions")
    code: JsonObject = {
        "id": new_id("promo_"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": text,
        "created": work.now,
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
        },
        "times_redeemed": 0,
        "_": {"text": text.lower()},
    }
    if code["active"]:
        _check_unique(work, code)
    work.add(code)
    emit(work, "promotion_code.created", code)
    return code


def update_promotion_code(work: Work, id: str, params: JsonObject) -> JsonObject:
    code = work.get("promotion_code", id, "promotion_code", in_path=True)
    before = view(work, code)
    if "metadata" in params:
        code["metadata"] = merged_metadata(code["metadata"], params["metadata"])
    if params.get("active") and not before["active"]:
        code["active"] = True
        _check_unique(work, code)
        if not view(work, code)["active"]:
            raise Refused("This promotion code cannot be reactivated: it, or its coupon, is no longer valid.")
    code["active"] = params.get("active", code["active"])
    save_and_tell(work, "promotion_code.updated", before, code)
    return code


def list_promotion_codes(work: Work, params: JsonObject) -> JsonObject:
    fields: dict[str, Filter] = {}
    for name, field in (("coupon", "promotion.coupon"), ("customer", "customer")):
        if name in params:
            fields[field] = params[name]
    if "code" in params:
        fields["_.text"] = params["code"].lower()
    if params.get("active"):
        fields["active"] = True  # necessary, not sufficient: expiry and exhaustion are derived
    wanted = params.get("active")

    def keep(code: JsonObject) -> bool:
        return wanted in (None, code["active"])

    return page(work, "promotion_code", "/v1/promotion_codes", params, fields, keep)


def active_codes(work: Work, text: str) -> list[JsonObject]:
    """The codes a customer may mean by a text, in any case; several only when they are for different customers."""
    codes = work.where("promotion_code", {"_.text": text.lower(), "active": True})
    return [code for code in codes if view(work, code)["active"]]


def _coupon_of(work: Work, promotion: JsonObject) -> JsonObject:
    if "coupon" not in promotion:
        raise InvalidRequest("You must pass promotion.coupon when passing promotion", param="promotion.coupon")
    return work.get("coupon", promotion["coupon"], "promotion[coupon]")


def _check_limits(work: Work, params: JsonObject, coupon: JsonObject) -> None:
    """The code's own limits: sensible, and not wider than the coupon's."""
    if not coupon_is_valid(coupon, work.now):
        raise Refused(f"Coupon {coupon['id']} is expired and cannot be applied.", code="coupon_expired")
    check_future(work, params, "expires_at")
    expires_at = params.get("expires_at", 0)
    if expires_at > work.now + _FIVE_YEARS_SECONDS:
        message = "Invalid timestamp: can be no more than five years in the future."
        raise InvalidRequest(message, param="expires_at")
    if coupon["redeem_by"] is not None and expires_at > coupon["redeem_by"]:
        message = "Invalid timestamp: `expires_at` cannot be later than the coupon's `redeem_by`."
        raise InvalidRequest(message, param="expires_at")
    if coupon["max_redemptions"] is not None and params.get("max_redemptions", 0) > coupon["max_redemptions"]:
        message = "`max_redemptions` cannot be greater than the coupon's `max_redemptions`."
        raise InvalidRequest(message, param="max_redemptions")


def _check_unique(work: Work, code: JsonObject) -> None:
    others = active_codes(work, code["code"])
    if any(other["customer"] == code["customer"] and other["id"] != code["id"] for other in others):
        raise Refused(f"An active promotion code with `code: {code['code']}` already exists.")


ROUTES = (
    Route(
        "POST",
        "/v1/promotion_codes",
        create_promotion_code,
        Fields(
            {
                "active": Boolean(),
                "code": Text(max_length=500),
                "customer": Text(),
                "expires_at": Integer(),
                "max_redemptions": Integer(minimum=1),
                "metadata": Metadata(clearable=False),
                "promotion": Fields({"coupon": Text(), "type": Choice("coupon")}, required=("type",)),
                "restrictions": Fields(
                    {
                        "first_time_transaction": Boolean(),
                        "minimum_amount": Integer(minimum=1),
                        "minimum_amount_currency": Currency(),
                    }
                ),
            },
            required=("promotion",),
        ),
    ),
    Route(
        "GET",
        "/v1/promotion_codes",
        list_promotion_codes,
        Fields(DATED_PAGING | {"active": Boolean(), "code": Text(), "coupon": Text(), "customer": Text()}),
    ),
    retrieving("/v1/promotion_codes/{promotion_code}", "promotion_code"),
    Route(
        "POST",
        "/v1/promotion_codes/{promotion_code}",
        update_promotion_code,
        Fields({"active": Boolean(), "metadata": Metadata()}),
    ),
)
