"""Money that moves: payments, refunds and disputes."""

from __future__ import annotations

from tests.cases.building.blanks import JsonObject
from tests.cases.building.world import DAY, World


def pay(
    world: World, amount: int, currency: str, *, customer: str | None, email: str | None, settled: bool = True
) -> JsonObject:
    """A payment intent with its charge. One that is not settled is still on its way from the bank."""
    method = world.new_id("pm_1")
    intent = world.add(
        "payment_intent",
        "pi_3",
        amount=amount,
        amount_received=amount if settled else 0,
        currency=currency,
        customer=customer,
        payment_method=method,
        status="succeeded" if settled else "processing",
    )
    charge = world.add(
        "charge",
        "ch_3",
        amount=amount,
        amount_captured=amount if settled else 0,
        balance_transaction=world.new_id("txn_3") if settled else None,
        currency=currency,
        customer=customer,
        paid=settled,
        payment_intent=intent["id"],
        payment_method=method,
        status="succeeded" if settled else "pending",
    )
    charge["billing_details"]["email"] = email
    intent["latest_charge"] = charge["id"]
    return intent


def settle(world: World, intent: JsonObject) -> None:
    """The money arrives."""
    intent.update(status="succeeded", amount_received=intent["amount"])
    charge = world.get("charge", intent["latest_charge"])
    charge.update(status="succeeded", paid=True, amount_captured=charge["amount"])
    charge["balance_transaction"] = world.new_id("txn_3")


def fail(world: World, intent: JsonObject) -> None:
    """The bank refuses."""
    intent.update(status="requires_payment_method")
    world.get("charge", intent["latest_charge"]).update(status="failed", failure_code="insufficient_funds")


def charges_of(world: World, paid: JsonObject) -> list[JsonObject]:
    """The charges that paid an invoice or a checkout session."""
    if paid["object"] == "invoice":
        rows = [each for each in world.all("invoice_payment") if each["invoice"] == paid["id"]]
        intents = [each["payment"]["payment_intent"] for each in rows]
    else:
        intents = [paid["payment_intent"]]
    return [world.get("charge", world.get("payment_intent", each)["latest_charge"]) for each in intents]


def refund(
    world: World, paid: JsonObject, amount: int | None = None, *, status: str = "succeeded", charge: int = 0
) -> JsonObject:
    """Give an amount back, or all of it, out of the charge at this position. A pending refund has moved no money yet."""
    charged = charges_of(world, paid)[charge]
    made = world.add(
        "refund",
        "re_3",
        amount=charged["amount"] - charged["amount_refunded"] if amount is None else amount,
        balance_transaction=world.new_id("txn_3") if status == "succeeded" else None,
        charge=charged["id"],
        currency=charged["currency"],
        customer=charged["customer"],
        payment_intent=charged["payment_intent"],
        payment_method=charged["payment_method"],
        status=status,
    )
    world.tell("refund.created", made)
    if status == "succeeded":
        _tell_refunded(world, made)
    return made


def refund_succeeds(world: World, made: JsonObject) -> None:
    """A pending refund reaches the customer."""
    world.change("refund.updated", made, status="succeeded", balance_transaction=world.new_id("txn_3"))
    _tell_refunded(world, made)


def refund_fails(world: World, made: JsonObject) -> None:
    """The customer's bank sends the money back."""
    if made["status"] == "succeeded":
        charged = world.get("charge", made["charge"])
        charged.update(amount_refunded=charged["amount_refunded"] - made["amount"], refunded=False)
    world.change("refund.updated", made, status="failed")
    world.tell("refund.failed", made)


def _tell_refunded(world: World, made: JsonObject) -> None:
    charged = world.get("charge", made["charge"])
    total = charged["amount_refunded"] + made["amount"]
    world.change("charge.refunded", charged, amount_refunded=total, refunded=total == charged["amount"])


def dispute(world: World, paid: JsonObject, amount: int | None = None, *, inquiry: bool = False) -> JsonObject:
    """The customer's bank takes the money back for now; with an inquiry it only asks."""
    [charged] = charges_of(world, paid)
    case = {"brand": "visa", "case_type": "inquiry" if inquiry else "chargeback", "network": "visa"}
    made = world.add(
        "dispute",
        "du_1",
        amount=charged["amount"] if amount is None else amount,
        charge=charged["id"],
        currency=charged["currency"],
        is_charge_refundable=inquiry,
        payment_intent=charged["payment_intent"],
        payment_method_details={"card": {**case, "network_reason_code": "10.4"}, "type": "card"},
        status="warning_needs_response" if inquiry else "needs_response",
    )
    made["evidence_details"]["due_by"] = world.now + 9 * DAY
    charged["disputed"] = True
    world.tell("charge.dispute.created", made)
    if not inquiry:
        world.tell("charge.dispute.funds_withdrawn", made)
    return made


def dispute_escalates(world: World, made: JsonObject) -> None:
    """An inquiry becomes a chargeback, and now the money goes."""
    world.change("charge.dispute.updated", made, status="needs_response", is_charge_refundable=False)
    world.tell("charge.dispute.funds_withdrawn", made)


def dispute_closes(world: World, made: JsonObject, status: str) -> None:
    """The bank decides: `won`, `lost`, or `warning_closed` for an inquiry."""
    made["status"] = status
    if status == "won":
        world.tell("charge.dispute.funds_reinstated", made)
    world.tell("charge.dispute.closed", made)
