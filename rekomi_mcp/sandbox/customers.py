"""Customers. Every one of them is taken to have a card that works."""

from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_code, new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Fields, Metadata, Text, merged_metadata
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work

_SETTABLE = ("description", "email", "name", "phone")


def create_customer(work: Work, params: JsonObject) -> JsonObject:
    customer: JsonObject = {
        "id": new_id("cus_"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": work.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_code(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    customer |= {name: params[name] for name in _SETTABLE if name in params}
    work.add(customer)
    emit(work, "customer.created", customer)
    return customer


def update_customer(work: Work, id: str, params: JsonObject) -> JsonObject:
    customer = work.get("customer", id, "id", in_path=True)
    before = view(work, customer)
    customer |= {name: params[name] for name in _SETTABLE if name in params}
    if "metadata" in params:
        customer["metadata"] = merged_metadata(customer["metadata"], params["metadata"])
    save_and_tell(work, "customer.updated", before, customer)
    return customer


def next_invoice_number(work: Work, customer_id: str, currency: str) -> str:
    """The number of this customer's next invoice, which is hereby taken."""
    customer = work.get("customer", customer_id, "customer")
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}"
    customer["next_invoice_sequence"] += 1
    customer["currency"] = customer["currency"] or currency
    work.save(customer)
    return number


_FIELDS = Fields(
    {name: Text(clearable=True) for name in _SETTABLE} | {"metadata": Metadata()},
)

ROUTES = (
    Route("POST", "/v1/customers", create_customer, _FIELDS),
    listing("/v1/customers", "customer", {"email": (Text(), "email")}),
    retrieving("/v1/customers/{id}", "customer"),
    Route("POST", "/v1/customers/{id}", update_customer, _FIELDS),
)
