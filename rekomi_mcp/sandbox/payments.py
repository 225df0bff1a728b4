"""Payment intents and charges: how money moves from a customer."""

from rekomi_mcp.sandbox.blanks import blank, no_address
from rekomi_mcp.sandbox.events import emit
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Text
from rekomi_mcp.sandbox.routes import retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work


def start_payment(
    work: Work,
    *,
    amount: int,
    currency: str,
    customer: str | None,
    email: str | None,
    description: str | None,
    metadata: dict[str, str] | None = None,
) -> JsonObject:
    """A payment intent that nobody has paid yet."""
    id = new_id("pi_")
    intent = blank("payment_intent") | {
        "id": id,
        "amount": amount,
        "client_secret": f"{id}_{new_id('secret_')}",
        "created": work.now,
        "currency": currency,
        "customer": customer,
        "description": description,
        "metadata": metadata or {},
        "status": "requires_payment_method",
        "_": {"email": email},
    }
    work.add(intent)
    emit(work, "payment_intent.created", intent)
    return intent


def delay_payment(work: Work, intent: JsonObject) -> None:
    """The customer paid by a method that takes days: a bank debit."""
    intent |= {"status": "processing", "payment_method": new_id("pm_")}
    work.save(intent)
    emit(work, "payment_intent.processing", intent)


def receive_payment(work: Work, intent: JsonObject) -> JsonObject:
    """The money arrives. Returns the charge."""
    intent["payment_method"] = intent["payment_method"] or new_id("pm_")
    charge = _charge(work, intent)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
    work.add(charge)
    work.save(intent)
    emit(work, "charge.succeeded", charge)
    emit(work, "payment_intent.succeeded", intent)
    return charge


def decline_payment(work: Work, intent: JsonObject) -> None:
    """The customer's bank says no."""
    charge = _charge(work, intent) | {
        "amount_captured": 0,
        "balance_transaction": None,
        "captured": False,
        "failure_code": "card_declined",
        "failure_message": "Your card was declined.",
        "paid": False,
        "status": "failed",
    }
    error = {
        "charge": charge["id"],
        "code": "card_declined",
        "decline_code": "generic_decline",
        "message": "Your card was declined.",
        "type": "card_error",
    }
    intent |= {"status": "requires_payment_method", "last_payment_error": error, "latest_charge": charge["id"]}
    work.add(charge)
    work.save(intent)
    emit(work, "charge.failed", charge)
    emit(work, "payment_intent.payment_failed", intent)


def _charge(work: Work, intent: JsonObject) -> JsonObject:
    return blank("charge") | {
        "id": new_id("ch_"),
        "amount": intent["amount"],
        "amount_captured": intent["amount"],
        "balance_transaction": new_id("txn_"),
        "billing_details": {
            "address": no_address(),
            "email": intent["_"]["email"],
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "captured": True,
        "created": work.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "metadata": intent["metadata"],
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "status": "succeeded",
    }


ROUTES = (
    listing("/v1/payment_intents", "payment_intent", {"customer": (Text(), "customer")}),
    retrieving("/v1/payment_intents/{intent}", "payment_intent"),
    listing("/v1/charges", "charge", {"customer": (Text(), "customer"), "payment_intent": (Text(), "payment_intent")}),
    retrieving("/v1/charges/{charge}", "charge"),
)
