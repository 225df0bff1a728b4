"""Refunds: money given back, all or in parts, and refunds that fail later."""

from rekomi_mcp.domain.money import display
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Choice, Fields, Integer, Metadata, Text, merged_metadata
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, changed_attributes
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work


def create_refund(work: Work, params: JsonObject) -> JsonObject:
    charge = _charge(work, params)
    if charge["disputed"] and not _dispute_allows_refund(work, charge):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise Refused(message, code="charge_disputed")
    remaining = charge["amount_captured"] - charge["amount_refunded"]
    if remaining == 0:
        raise Refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = params.get("amount", remaining)
    if amount > remaining:
        asked, left = (display(each, charge["currency"]) for each in (amount, remaining))
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})"
        raise Refused(message, param="amount")
    refund: JsonObject = {
        "id": new_id("re_"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn_"),
        "charge": charge["id"],
        "created": work.now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    work.add(refund)
    emit(work, "refund.created", refund)
    previous = _move(work, charge, amount)
    emit(work, "charge.refunded", charge, previous)
    return refund


def update_refund(work: Work, id: str, params: JsonObject) -> JsonObject:
    refund = work.get("refund", id, "refund", in_path=True)
    before = view(work, refund)
    refund["metadata"] = merged_metadata(refund["metadata"], params.get("metadata", {}))
    save_and_tell(work, "refund.updated", before, refund)
    return refund


def fail_refund(work: Work, id: str) -> JsonObject:
    """The customer's bank sends the money back: the charge counts as paid again."""
    refund = work.get("refund", id, "refund", in_path=True)
    if refund["status"] != "succeeded":
        raise Refused(f"Refund {id} has failed already.")
    before = view(work, refund)
    refund |= {
        "failure_balance_transaction": new_id("txn_"),
        "failure_reason": "expired_or_canceled_card",
        "status": "failed",
    }
    _move(work, work.get("charge", refund["charge"], "charge"), -refund["amount"])
    save_and_tell(work, "refund.updated", before, refund)
    emit(work, "refund.failed", refund)
    return refund


def _move(work: Work, charge: JsonObject, amount: int) -> JsonObject:
    """Change how much of a charge is refunded. Returns the attributes as they were."""
    before = view(work, charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    work.save(charge)
    return changed_attributes(before, view(work, charge))


def _charge(work: Work, params: JsonObject) -> JsonObject:
    if "charge" in params:
        charge = work.get("charge", params["charge"], "charge")
    elif "payment_intent" in params:
        intent = work.get("payment_intent", params["payment_intent"], "payment_intent")
        charge = work.find("charge", intent["latest_charge"] or "")
    else:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise InvalidRequest(message)
    if charge is None or not charge["captured"]:
        named = params.get("payment_intent") or params.get("charge")
        raise Refused(f"This PaymentIntent ({named}) does not have a successful charge to refund.")
    return charge


def _dispute_allows_refund(work: Work, charge: JsonObject) -> bool:
    return all(dispute["is_charge_refundable"] for dispute in work.where("dispute", {"charge": charge["id"]}))


ROUTES = (
    Route(
        "POST",
        "/v1/refunds",
        create_refund,
        Fields(
            {
                "amount": Integer(minimum=1),
                "charge": Text(),
                "metadata": Metadata(),
                "payment_intent": Text(),
                "reason": Choice("duplicate", "fraudulent", "requested_by_customer"),
            }
        ),
    ),
    listing("/v1/refunds", "refund", {"charge": (Text(), "charge"), "payment_intent": (Text(), "payment_intent")}),
    retrieving("/v1/refunds/{refund}", "refund"),
    Route("POST", "/v1/refunds/{refund}", update_refund, Fields({"metadata": Metadata()})),
)
