"""Checkout sessions through the API: what is on sale to one customer, before anybody pays."""

from collections.abc import Sequence

from rekomi_mcp.sandbox.billing import Item
from rekomi_mcp.sandbox.blanks import blank
from rekomi_mcp.sandbox.discounts import DISCOUNT, Offer, check_offer, offer_from
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused, exclusive_parameters, missing_parameter
from rekomi_mcp.sandbox.events import emit
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import PART_PAGING, listing, page_of_parts
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
from rekomi_mcp.sandbox.pricing import PricedLine, price_lines
from rekomi_mcp.sandbox.products import PRICE_DATA, chosen_price
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, notes
from rekomi_mcp.sandbox.subscriptions import TRIAL, tax_rates, trial_end
from rekomi_mcp.sandbox.work import Work

_SHORTEST_LIFE_SECONDS = 30 * 60


def create_session(work: Work, params: JsonObject) -> JsonObject:
    _check_combination(params)
    mode = params["mode"]
    if "customer" in params:
        work.get("customer", params["customer"], "customer")
    items = [_item(work, item, f"line_items[{index}]") for index, item in enumerate(params["line_items"])]
    _check_prices(mode, items)
    subscription_data = params.get("subscription_data", {})
    default_rates = tax_rates(work, subscription_data, "default_tax_rates", "subscription_data[default_tax_rates]")
    trial_end(work, subscription_data)
    expires_at = params.get("expires_at", work.now + DAY_SECONDS)
    if not _SHORTEST_LIFE_SECONDS <= expires_at - work.now <= DAY_SECONDS:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise InvalidRequest(message, param="expires_at")
    id = new_id("cs_test_")
    session: JsonObject = blank("checkout.session") | {
        "id": id,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": work.now,
        "currency": items[0].price["currency"],
        "customer": params.get("customer"),
        "customer_creation": _customer_creation(params),
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": expires_at,
        "invoice_creation": _invoice_creation(params) if mode == "payment" else None,
        "locale": params.get("locale"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else "if_required",
        "payment_status": "unpaid",
        "status": "open",
        "success_url": params["success_url"],
        # Not Stripe's address: nobody should take a made-up payment page for a real one.
        "url": f"https://checkout.sandbox.invalid/pay/{id}",
        "_": {
            "due": expires_at,
            "items": [
                {"id": new_id("li_"), "price": item.price, "quantity": item.quantity, "rates": item.rates}
                for item in items
            ],
            "default_rates": default_rates,
            "subscription_data": subscription_data,
            "payment_intent_data": params.get("payment_intent_data", {}),
            "discount": None,
        },
    }
    offer = None
    for entry in params.get("discounts", []):
        offer = offer_from(work, entry, "discounts[0]")
        check_offer(work, offer, full_price_lines(session), session["customer"], "discounts[0]")
        notes(session)["discount"] = entry
    put_amounts(work, session, offer)
    work.add(session)
    return session


def items_of(session: JsonObject) -> list[Item]:
    return [Item(entry["price"], entry["quantity"], entry["rates"]) for entry in notes(session)["items"]]


def full_price_lines(session: JsonObject) -> list[PricedLine]:
    """What is on sale, before discounts and without regard to a trial."""
    return [item.priced([]) for item in items_of(session)]


def put_amounts(work: Work, session: JsonObject, offer: Offer | None) -> list[PricedLine]:
    """Write the amounts that follow from the items and the offer into the session. Returns the priced lines."""
    default_rates = notes(session)["default_rates"]
    # A subscription that begins with a trial costs nothing yet.
    trial = bool(TRIAL.keys() & notes(session)["subscription_data"].keys())
    lines = [
        item.priced(default_rates, free=trial and item.price["recurring"] is not None) for item in items_of(session)
    ]
    price_lines(lines, [offer.coupon] if offer else [])
    session |= {
        "amount_subtotal": sum(line.subtotal for line in lines),
        "amount_total": sum(line.total for line in lines),
        "discounts": [offer.shown()] if offer else [],
        "total_details": {
            "amount_discount": sum(sum(line.discounts) for line in lines),
            "amount_shipping": 0,
            "amount_tax": sum(line.tax for line in lines),
        },
    }
    notes(session)["line_items"] = [
        _line_item(work, entry["id"], line) for entry, line in zip(notes(session)["items"], lines, strict=True)
    ]
    notes(session)["breakdown"] = {"discounts": [], "taxes": _tax_breakdown(lines)}
    return lines


def expire_session(work: Work, id: str, params: JsonObject) -> JsonObject:
    session = work.get("checkout.session", id, "session", in_path=True)
    if session["status"] != "open":
        raise Refused(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"`{session['status']}`."
        )
    expire(work, session)
    return session


def expire(work: Work, session: JsonObject) -> None:
    session |= {"status": "expired", "url": None}
    notes(session)["due"] = None
    work.save(session)
    emit(work, "checkout.session.expired", session)


def list_line_items(work: Work, id: str, params: JsonObject) -> JsonObject:
    session = work.get("checkout.session", id, "session", in_path=True)
    return page_of_parts(notes(session)["line_items"], f"/v1/checkout/sessions/{id}/line_items", params)


def _check_combination(params: JsonObject) -> None:
    """Parameters that do not go together."""
    if params.get("discounts") and "allow_promotion_codes" in params:
        raise exclusive_parameters("allow_promotion_codes", "discounts")
    if len(params.get("discounts", [])) > 1:
        raise InvalidRequest("You can only pass one discount to a Checkout Session.", param="discounts")
    if "customer" in params and "customer_email" in params:
        raise exclusive_parameters("customer", "customer_email")
    if "customer" in params and "customer_creation" in params:
        raise exclusive_parameters("customer", "customer_creation")
    if not params["line_items"]:
        raise missing_parameter("line_items")
    mode = params["mode"]
    only_in = {
        "payment": ("customer_creation", "invoice_creation", "payment_intent_data"),
        "subscription": ("subscription_data",),
    }
    for other, names in only_in.items():
        for name in names:
            if mode != other and name in params:
                raise InvalidRequest(f"You can not pass `{name}` in `{mode}` mode.", param=name)


def _check_prices(mode: str, items: Sequence[Item]) -> None:
    recurring = [item for item in items if item.price["recurring"]]
    if mode == "payment" and recurring:
        raise InvalidRequest(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices.",
            param="line_items",
        )
    if mode == "subscription" and not recurring:
        message = "You must provide at least one recurring price in `subscription` mode when using prices."
        raise InvalidRequest(message, param="line_items")
    if len({item.price["currency"] for item in items}) > 1:
        raise InvalidRequest("All prices of a Checkout Session must have the same currency.", param="line_items")


def _customer_creation(params: JsonObject) -> str | None:
    if "customer" in params:
        return None
    return "always" if params["mode"] == "subscription" else params.get("customer_creation", "if_required")


def _invoice_creation(params: JsonObject) -> JsonObject:
    data = params.get("invoice_creation", {}).get("invoice_data", {})
    return {
        "enabled": params.get("invoice_creation", {}).get("enabled", False),
        "invoice_data": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": data.get("description"),
            "footer": None,
            "issuer": None,
            "metadata": merged_metadata({}, data.get("metadata", {})),
            "rendering_options": None,
        },
    }


def _item(work: Work, item: JsonObject, param: str) -> Item:
    price = chosen_price(work, item, param)
    return Item(price, item.get("quantity", 1), tax_rates(work, item, "tax_rates", f"{param}[tax_rates]"))


def _line_item(work: Work, id: str, line: PricedLine) -> JsonObject:
    return {
        "id": id,
        "object": "item",
        "amount_discount": sum(line.discounts),
        "amount_subtotal": line.subtotal,
        "amount_tax": line.tax,
        "amount_total": line.total,
        "currency": line.price["currency"],
        "description": work.get("product", line.price["product"], "product")["name"],
        "metadata": {},
        "price": line.price,
        "quantity": line.quantity,
    }


def _tax_breakdown(lines: Sequence[PricedLine]) -> list[JsonObject]:
    return [
        {"amount": tax.amount, "rate": tax.rate, "taxability_reason": None, "taxable_amount": tax.taxable}
        for line in lines
        for tax in line.taxes
    ]


_LINE_ITEM = Fields(
    {"price": Text(), "price_data": PRICE_DATA, "quantity": Integer(minimum=1), "tax_rates": ListOf(Text())}
)

ROUTES = (
    Route(
        "POST",
        "/v1/checkout/sessions",
        create_session,
        Fields(
            {
                "allow_promotion_codes": Boolean(),
                "cancel_url": Text(),
                "client_reference_id": Text(max_length=200),
                "customer": Text(),
                "customer_creation": Choice("always", "if_required"),
                "customer_email": Text(),
                "discounts": ListOf(DISCOUNT),
                "expires_at": Integer(),
                "invoice_creation": Fields(
                    {
                        "enabled": Boolean(),
                        "invoice_data": Fields({"description": Text(), "metadata": Metadata(clearable=False)}),
                    },
                    required=("enabled",),
                ),
                "line_items": ListOf(_LINE_ITEM),
                "locale": Text(),
                "metadata": Metadata(clearable=False),
                "mode": Choice("payment", "subscription"),
                "payment_intent_data": Fields({"description": Text(), "metadata": Metadata(clearable=False)}),
                "subscription_data": Fields(
                    TRIAL
                    | {
                        "default_tax_rates": ListOf(Text()),
                        "description": Text(),
                        "metadata": Metadata(clearable=False),
                    }
                ),
                "success_url": Text(),
            },
            required=("line_items", "mode", "success_url"),
        ),
    ),
    listing(
        "/v1/checkout/sessions",
        "checkout.session",
        {
            "customer": (Text(), "customer"),
            "payment_intent": (Text(), "payment_intent"),
            "status": (Choice("complete", "expired", "open"), "status"),
            "subscription": (Text(), "subscription"),
        },
    ),
    retrieving("/v1/checkout/sessions/{session}", "checkout.session"),
    Route("GET", "/v1/checkout/sessions/{session}/line_items", list_line_items, Fields(PART_PAGING)),
    Route("POST", "/v1/checkout/sessions/{session}/expire", expire_session),
)
