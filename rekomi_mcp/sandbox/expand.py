"""`expand`: ids replaced by the objects they name, and parts that are shown only when asked for."""

from collections.abc import Callable
from typing import Any, cast

from rekomi_mcp.sandbox.errors import InvalidRequest
from rekomi_mcp.sandbox.shapes import JsonObject, list_of, notes
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work

_DEEPEST = 4

# Object type -> the dotted fields that hold ids -> the type these name.
_REFERENCES: dict[str, dict[str, str]] = {
    "charge": {"customer": "customer", "payment_intent": "payment_intent"},
    "checkout.session": {
        "customer": "customer",
        "discounts.coupon": "coupon",
        "discounts.promotion_code": "promotion_code",
        "invoice": "invoice",
        "payment_intent": "payment_intent",
        "subscription": "subscription",
    },
    "discount": {"customer": "customer", "promotion_code": "promotion_code", "source.coupon": "coupon"},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "invoice": {
        "customer": "customer",
        "discounts": "discount",
        "parent.subscription_details.subscription": "subscription",
        "total_discount_amounts.discount": "discount",
    },
    "invoice_payment": {"invoice": "invoice", "payment.payment_intent": "payment_intent"},
    "line_item": {
        "discount_amounts.discount": "discount",
        "discounts": "discount",
        "pricing.price_details.price": "price",
    },
    "payment_intent": {"customer": "customer", "latest_charge": "charge"},
    "plan": {"product": "product"},
    "price": {"product": "product"},
    "promotion_code": {"customer": "customer", "promotion.coupon": "coupon"},
    "refund": {"charge": "charge", "customer": "customer", "payment_intent": "payment_intent"},
    "subscription": {"customer": "customer", "discounts": "discount", "latest_invoice": "invoice"},
    "subscription_item": {"discounts": "discount"},
}


def expand(work: Work, answer: JsonObject, paths: list[str]) -> None:
    """Expand the answer in place.

    Raises:
        InvalidRequest: a path does not lead to anything that can be expanded.
    """
    for path in paths:
        segments = path.split(".")
        if len(segments) > _DEEPEST:
            raise InvalidRequest(f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}")
        _expand(work, answer, segments)


def _expand(work: Work, item: JsonObject, segments: list[str]) -> None:
    """Expand what the first segments lead to, then what the rest leads to inside of it."""
    if not segments:
        return
    type: str = item.get("object", "")
    if type == "list":
        _expand_list(work, item, segments)
        return
    for depth in range(1, len(segments) + 1):
        field = ".".join(segments[:depth])
        if target := _REFERENCES.get(type, {}).get(field):
            for found in _replace(work, item, segments[:depth], target):
                _expand(work, found, segments[depth:])
            return
        if make := _PARTS.get((type, field)):
            _expand(work, _put_part(work, item, segments[:depth], make), segments[depth:])
            return
    _enter(work, item, segments)


def _expand_list(work: Work, answer: JsonObject, segments: list[str]) -> None:
    if segments[0] != "data":
        hint = f"You may want to try expanding 'data.{segments[0]}' instead."
        raise InvalidRequest(f"This property cannot be expanded ({segments[0]}). {hint}")
    for item in answer["data"]:
        _expand(work, item, segments[1:])


def _enter(work: Work, item: JsonObject, segments: list[str]) -> None:
    """Go on inside what is embedded and not referred to: `lines`, `items`, `price`."""
    inner = item.get(segments[0])
    if isinstance(inner, dict) and "object" in inner:
        _expand(work, cast(JsonObject, inner), segments[1:])
    elif segments[1:] or not isinstance(inner, (dict, list)):
        raise InvalidRequest(f"This property cannot be expanded ({segments[0]}).")


def _put_part(work: Work, item: JsonObject, segments: list[str], make: Callable[[Work, JsonObject], Any]) -> JsonObject:
    """Add a part that is absent unless it is asked for, and return it."""
    *outer, name = segments
    holder = item
    for each in outer:
        holder = holder[each]
    if name not in holder:
        holder[name] = make(work, item)
    return holder[name]


def _replace(work: Work, holder: Any, segments: list[str], type: str) -> list[JsonObject]:
    """Put the objects in the place of their ids and return them. An id whose object is gone stays an id."""
    if holder is None:
        return []
    if isinstance(holder, list):
        return [found for each in cast(list[Any], holder) for found in _replace(work, each, segments, type)]
    name, *rest = segments
    value = holder[name]
    if rest:
        return _replace(work, value, rest, type)
    if isinstance(value, list):
        resolved = [_resolved(work, each, type) for each in cast(list[Any], value)]
        holder[name] = resolved
    else:
        resolved = [_resolved(work, value, type)]
        holder[name] = resolved[0]
    return [each for each in resolved if isinstance(each, dict)]


def _resolved(work: Work, value: Any, type: str) -> Any:
    if not isinstance(value, str):  # nothing there, or expanded already by an earlier path
        return value
    found = work.find(type, value)
    return view(work, found) if found else value


def _products_of_coupon(work: Work, coupon: JsonObject) -> JsonObject:
    return {"products": _stored(work, coupon)["products"]}


def _payments_of_invoice(work: Work, invoice: JsonObject) -> JsonObject:
    return list_of(list(work.where("invoice_payment", {"invoice": invoice["id"]})), "/v1/invoice_payments")


def _refunds_of_charge(work: Work, charge: JsonObject) -> JsonObject:
    return list_of(list(work.where("refund", {"charge": charge["id"]})), f"/v1/charges/{charge['id']}/refunds")


def _line_items_of_session(work: Work, session: JsonObject) -> JsonObject:
    return list_of(_stored(work, session)["line_items"], f"/v1/checkout/sessions/{session['id']}/line_items")


def _breakdown_of_session(work: Work, session: JsonObject) -> JsonObject:
    return _stored(work, session)["breakdown"]


def _stored(work: Work, shown: JsonObject) -> JsonObject:
    """The private notes of an object that is being shown."""
    return notes(work.get(shown["object"], shown["id"], "id"))


# (object type, dotted field) -> how to make the part that is absent unless it is asked for.
_PARTS: dict[tuple[str, str], Callable[[Work, JsonObject], Any]] = {
    ("charge", "refunds"): _refunds_of_charge,
    ("checkout.session", "line_items"): _line_items_of_session,
    ("checkout.session", "total_details.breakdown"): _breakdown_of_session,
    ("coupon", "applies_to"): _products_of_coupon,
    ("invoice", "payments"): _payments_of_invoice,
}
