"""Products and their prices."""

from rekomi_mcp.sandbox.errors import InvalidRequest, Refused, exclusive_parameters, missing_parameter
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import (
    Boolean,
    Choice,
    Currency,
    Fields,
    Integer,
    Metadata,
    Parameter,
    Text,
    merged_metadata,
)
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work


def create_product(work: Work, params: JsonObject) -> JsonObject:
    id = params.get("id") or new_id("prod_")
    if work.find("product", id) is not None:
        raise Refused(f"Product already exists: {id}", code="resource_already_exists", param="id")
    product: JsonObject = {
        "id": id,
        "object": "product",
        "active": params.get("active", True),
        "created": work.now,
        "default_price": None,
        "description": params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": work.now,
        "url": None,
    }
    work.add(product)
    emit(work, "product.created", product)
    return product


def update_product(work: Work, id: str, params: JsonObject) -> JsonObject:
    product = work.get("product", id, "id", in_path=True)
    return _update(work, "product.updated", product, params, ("active", "description", "name"))


def create_price(work: Work, params: JsonObject) -> JsonObject:
    """A price, for a product named or described by the parameters: also `price_data` of checkout and subscriptions."""
    if "product" in params and "product_data" in params:
        raise exclusive_parameters("product", "product_data")
    if "product" in params:
        product = work.get("product", params["product"], "product")
    elif "product_data" in params:
        product = create_product(work, params["product_data"])
    else:
        raise missing_parameter("product")
    recurring: JsonObject | None = params.get("recurring")
    if recurring is not None:
        recurring = {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
    price: JsonObject = {
        "id": new_id("price_"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": work.now,
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "nickname": params.get("nickname"),
        "product": product["id"],
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": params["unit_amount"],
        "unit_amount_decimal": str(params["unit_amount"]),
    }
    work.add(price)
    emit(work, "price.created", price)
    return price


def update_price(work: Work, id: str, params: JsonObject) -> JsonObject:
    price = work.get("price", id, "price", in_path=True)
    return _update(work, "price.updated", price, params, ("active", "lookup_key", "nickname"))


def chosen_price(work: Work, item: JsonObject, param: str) -> JsonObject:
    """The price a line item names as `price` or describes as `price_data`."""
    if "price" in item and "price_data" in item:
        raise exclusive_parameters(f"{param}[price]", f"{param}[price_data]")
    if "price_data" in item:
        return create_price(work, item["price_data"])
    if "price" not in item:
        raise missing_parameter(f"{param}[price]")
    price = work.get("price", item["price"], f"{param}[price]")
    if not price["active"]:
        raise InvalidRequest("The price specified is inactive. This field only accepts active prices.", param=param)
    return price


def _update(work: Work, event: str, item: JsonObject, params: JsonObject, settable: tuple[str, ...]) -> JsonObject:
    before = view(work, item)
    item |= {name: params[name] for name in settable if name in params}
    if "metadata" in params:
        item["metadata"] = merged_metadata(item["metadata"], params["metadata"])
    if "updated" in item:
        item["updated"] = work.now
    save_and_tell(work, event, before, item)
    return item


_PRODUCT: dict[str, Parameter] = {
    "active": Boolean(),
    "description": Text(clearable=True),
    "metadata": Metadata(),
    "name": Text(),
}
_NEW_PRODUCT = _PRODUCT | {"id": Text(), "metadata": Metadata(clearable=False)}
_PRICE: dict[str, Parameter] = {
    "active": Boolean(),
    "lookup_key": Text(),
    "metadata": Metadata(),
    "nickname": Text(),
}
_RECURRING = Fields(
    {"interval": Choice("day", "month", "week", "year"), "interval_count": Integer(minimum=1)}, required=("interval",)
)
_NEW_PRICE_DATA: dict[str, Parameter] = {
    "currency": Currency(),
    "product": Text(),
    "recurring": _RECURRING,
    "tax_behavior": Choice("exclusive", "inclusive", "unspecified"),
    "unit_amount": Integer(minimum=0, maximum=99_999_999),
}

_NEW_PRICE = _PRICE | _NEW_PRICE_DATA | {"metadata": Metadata(clearable=False)}
_PRODUCT_OF_PRICE = Fields(
    {name: kind for name, kind in _NEW_PRODUCT.items() if name != "description"}, required=("name",)
)
_PRODUCT_OF_SESSION = Fields(
    {"description": Text(), "metadata": Metadata(clearable=False), "name": Text()}, required=("name",)
)

PRICE_DATA = Fields(
    _NEW_PRICE_DATA | {"product_data": _PRODUCT_OF_SESSION},
    required=("currency", "unit_amount"),
)
"""A price described in a checkout session."""

RECURRING_PRICE_DATA = Fields(_NEW_PRICE_DATA, required=("currency", "product", "recurring", "unit_amount"))
"""A price described in a subscription, for a product that exists."""

ROUTES = (
    Route("POST", "/v1/products", create_product, Fields(_NEW_PRODUCT, required=("name",))),
    listing("/v1/products", "product", {"active": (Boolean(), "active")}),
    retrieving("/v1/products/{id}", "product"),
    Route("POST", "/v1/products/{id}", update_product, Fields(_PRODUCT)),
    Route(
        "POST",
        "/v1/prices",
        create_price,
        Fields(_NEW_PRICE | {"product_data": _PRODUCT_OF_PRICE}, required=("currency", "unit_amount")),
    ),
    listing(
        "/v1/prices",
        "price",
        {
            "active": (Boolean(), "active"),
            "currency": (Currency(), "currency"),
            "product": (Text(), "product"),
            "type": (Choice("one_time", "recurring"), "type"),
        },
    ),
    retrieving("/v1/prices/{price}", "price"),
    Route("POST", "/v1/prices/{price}", update_price, Fields(_PRICE)),
)
