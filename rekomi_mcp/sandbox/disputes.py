"""Disputes: a customer's bank takes the money back, or asks first."""

from rekomi_mcp.sandbox.errors import Refused
from rekomi_mcp.sandbox.events import emit, save_and_tell
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Fields, Metadata, Text, merged_metadata
from rekomi_mcp.sandbox.periods import DAY_SECONDS
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work

_OVER = ("lost", "warning_closed", "won")


def open_dispute(work: Work, charge: JsonObject, *, amount: int | None, inquiry: bool) -> JsonObject:
    """A chargeback, which takes the money at once, or an inquiry, which takes nothing."""
    if next(work.where("dispute", {"charge": charge["id"]}), None) is not None:
        raise Refused(f"Charge {charge['id']} has a dispute already.")
    dispute: JsonObject = {
        "id": new_id("du_"),
        "object": "dispute",
        "amount": amount or charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": work.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": work.now + 9 * DAY_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": "fraudulent",
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    charge["disputed"] = True
    work.save(charge)
    if not inquiry:
        _book(work, dispute, -dispute["amount"])
    work.add(dispute)
    emit(work, "charge.dispute.created", dispute)
    if not inquiry:
        emit(work, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(work: Work, dispute: JsonObject, *, won: bool) -> JsonObject:
    """The bank decides. An inquiry closes without a winner: no money ever moved."""
    if dispute["status"] in _OVER:
        raise Refused("This dispute is already closed")
    before = view(work, dispute)
    inquiry = dispute["status"].startswith("warning")
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    if won and not inquiry:
        dispute["is_charge_refundable"] = True
        _book(work, dispute, dispute["amount"])
    save_and_tell(work, "charge.dispute.updated", before, dispute)
    if won and not inquiry:
        emit(work, "charge.dispute.funds_reinstated", dispute)
    emit(work, "charge.dispute.closed", dispute)
    return dispute


def accept_dispute(work: Work, id: str, params: JsonObject) -> JsonObject:
    """The merchant gives in: the API's `close`."""
    return close_dispute(work, work.get("dispute", id, "dispute", in_path=True), won=False)


def update_dispute(work: Work, id: str, params: JsonObject) -> JsonObject:
    dispute = work.get("dispute", id, "dispute", in_path=True)
    before = view(work, dispute)
    dispute["metadata"] = merged_metadata(dispute["metadata"], params.get("metadata", {}))
    save_and_tell(work, "charge.dispute.updated", before, dispute)
    return dispute


def _book(work: Work, dispute: JsonObject, amount: int) -> None:
    """Note that the disputed money left the balance, or came back."""
    dispute["balance_transactions"].append(
        {
            "id": new_id("txn_"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": work.now,
            "balance_type": "payments",
            "created": work.now,
            "currency": dispute["currency"],
            "description": f"Chargeback for {dispute['charge']}",
            "exchange_rate": None,
            "fee": 0,
            "fee_details": [],
            "net": amount,
            "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
            "source": dispute["id"],
            "status": "available",
            "type": "adjustment",
        }
    )


ROUTES = (
    listing("/v1/disputes", "dispute", {"charge": (Text(), "charge"), "payment_intent": (Text(), "payment_intent")}),
    retrieving("/v1/disputes/{dispute}", "dispute"),
    Route("POST", "/v1/disputes/{dispute}", update_dispute, Fields({"metadata": Metadata()})),
    Route("POST", "/v1/disputes/{dispute}/close", accept_dispute),
)
