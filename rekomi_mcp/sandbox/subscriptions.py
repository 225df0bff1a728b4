"""Subscriptions through the API."""

from rekomi_mcp.sandbox.billing import Item, Order, end_subscription, start_subscription
from rekomi_mcp.sandbox.discounts import DISCOUNT, offer_from
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused, exclusive_parameters, missing_object, missing_parameter
from rekomi_mcp.sandbox.events import save_and_tell
from rekomi_mcp.sandbox.pages import DATED_PAGING, page
from rekomi_mcp.sandbox.params import (
    Boolean,
    Choice,
    Fields,
    Integer,
    ListOf,
    Metadata,
    Text,
    merged_metadata,
)
from rekomi_mcp.sandbox.periods import DAY_SECONDS
from rekomi_mcp.sandbox.products import RECURRING_PRICE_DATA, chosen_price
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Filter, Work

_LONGEST_TRIAL_DAYS = 730
_ALIVE = ("active", "past_due", "trialing")
_OTHER_STATUSES = ("canceled", "incomplete", "incomplete_expired", "paused", "unpaid")


def create_subscription(work: Work, params: JsonObject) -> JsonObject:
    work.get("customer", params["customer"], "customer")
    order = Order(
        customer=params["customer"],
        items=[_item(work, item, f"items[{index}]") for index, item in enumerate(params["items"])],
        offers=[
            offer_from(work, entry, f"discounts[{index}]") for index, entry in enumerate(params.get("discounts", []))
        ],
        trial_end=trial_end(work, params),
        metadata=merged_metadata({}, params.get("metadata", {})),
        default_rates=tax_rates(work, params, "default_tax_rates"),
        description=params.get("description"),
    )
    if not order.items:
        raise missing_parameter("items")
    subscription = start_subscription(work, order, "discounts")
    if params.get("cancel_at_period_end"):
        _set_cancellation(work, subscription, True)
        work.save(subscription)
    return subscription


def update_subscription(work: Work, id: str, params: JsonObject) -> JsonObject:
    subscription = work.get("subscription", id, "id", in_path=True)
    before = view(work, subscription)
    if "metadata" in params:
        subscription["metadata"] = merged_metadata(subscription["metadata"], params["metadata"])
    if "description" in params:
        subscription["description"] = params["description"]
    if "cancel_at_period_end" in params:
        if subscription["status"] not in _ALIVE:
            raise Refused("A canceled subscription can only update its cancellation_details and metadata.")
        _set_cancellation(work, subscription, params["cancel_at_period_end"])
    save_and_tell(work, "customer.subscription.updated", before, subscription)
    return subscription


def cancel_subscription(work: Work, id: str, params: JsonObject) -> JsonObject:
    subscription = work.get("subscription", id, "id", in_path=True)
    if subscription["status"] not in _ALIVE:
        raise missing_object("subscription", id, param="id", in_path=True)
    end_subscription(work, subscription)
    return subscription


def list_subscriptions(work: Work, params: JsonObject) -> JsonObject:
    """Without a status, the canceled ones stay out, as at Stripe."""
    fields: dict[str, Filter] = {"customer": params["customer"]} if "customer" in params else {}
    status = params.get("status", "")
    if status != "all":
        fields["status"] = {"": _ALIVE, "ended": "canceled"}.get(status, status)

    def keep(subscription: JsonObject) -> bool:
        prices = [item["price"]["id"] for item in subscription["items"]["data"]]
        return params.get("price") in (None, *prices)

    return page(work, "subscription", "/v1/subscriptions", params, fields, keep)


def trial_end(work: Work, params: JsonObject) -> int | None:
    """When the trial asked for ends; None without a trial."""
    if "trial_end" in params and "trial_period_days" in params:
        raise exclusive_parameters("trial_end", "trial_period_days")
    if "trial_period_days" in params:
        return work.now + params["trial_period_days"] * DAY_SECONDS
    moment = params.get("trial_end")
    if moment is not None and moment <= work.now:
        raise InvalidRequest("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    return moment


def tax_rates(work: Work, params: JsonObject, name: str, param: str | None = None) -> list[JsonObject]:
    """The tax rates a parameter names by id."""
    spelled = param or name
    return [work.get("tax_rate", id, f"{spelled}[{index}]") for index, id in enumerate(params.get(name, []))]


def _item(work: Work, item: JsonObject, param: str) -> Item:
    price = chosen_price(work, item, param)
    if price["recurring"] is None:
        message = (
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`."
        )
        raise InvalidRequest(message, param=f"{param}[price]")
    return Item(price, item.get("quantity", 1), tax_rates(work, item, "tax_rates", f"{param}[tax_rates]"))


def _set_cancellation(work: Work, subscription: JsonObject, wanted: bool) -> None:
    end = subscription["items"]["data"][0]["current_period_end"]
    subscription |= {
        "cancel_at": end if wanted else None,
        "cancel_at_period_end": wanted,
        "canceled_at": work.now if wanted else None,
    }
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if wanted else None


_ITEM = Fields(
    {
        "price": Text(),
        "price_data": RECURRING_PRICE_DATA,
        "quantity": Integer(minimum=1),
        "tax_rates": ListOf(Text()),
    }
)
TRIAL = {"trial_end": Integer(), "trial_period_days": Integer(minimum=1, maximum=_LONGEST_TRIAL_DAYS)}

ROUTES = (
    Route(
        "POST",
        "/v1/subscriptions",
        create_subscription,
        Fields(
            TRIAL
            | {
                "cancel_at_period_end": Boolean(),
                "collection_method": Choice("charge_automatically"),
                "customer": Text(),
                "default_tax_rates": ListOf(Text()),
                "description": Text(),
                "discounts": ListOf(DISCOUNT),
                "items": ListOf(_ITEM),
                "metadata": Metadata(),
                "payment_behavior": Choice("allow_incomplete", "error_if_incomplete"),
            },
            required=("customer", "items"),
        ),
    ),
    Route(
        "GET",
        "/v1/subscriptions",
        list_subscriptions,
        Fields(
            DATED_PAGING
            | {
                "customer": Text(),
                "price": Text(),
                "status": Choice(*_ALIVE, *_OTHER_STATUSES, "all", "ended"),
            }
        ),
    ),
    retrieving("/v1/subscriptions/{id}", "subscription"),
    Route(
        "POST",
        "/v1/subscriptions/{id}",
        update_subscription,
        Fields({"cancel_at_period_end": Boolean(), "description": Text(clearable=True), "metadata": Metadata()}),
    ),
    Route("DELETE", "/v1/subscriptions/{id}", cancel_subscription),
)
