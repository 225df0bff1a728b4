"""Credit notes on paid invoices: paid back by a refund, into the customer's balance, or outside Stripe."""

from __future__ import annotations

from tests.cases.building import payments
from tests.cases.building.blanks import JsonObject
from tests.cases.building.world import World


def credit(
    world: World, invoice: JsonObject, amount: int, *, refund: int = 0, to_balance: int = 0, out_of_band: int = 0
) -> JsonObject:
    """Credit an amount of an invoice without tax; the three ways of paying it back add up to it."""
    assert refund + to_balance + out_of_band == amount, "say how all of it is paid back"
    refunds = [payments.refund(world, invoice, refund)] if refund else []
    customer = world.get("customer", invoice["customer"])
    customer["balance"] -= to_balance
    note_id = world.new_id("cn_1")
    line: JsonObject = {
        "amount": amount,
        "description": "Goodwill",
        "discount_amount": 0,
        "discount_amounts": [],
        "id": world.new_id("cnli_1"),
        "livemode": False,
        "object": "credit_note_line_item",
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "custom_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    note = world.add(
        "credit_note",
        id=note_id,
        amount=amount,
        currency=invoice["currency"],
        customer=invoice["customer"],
        customer_balance_transaction=world.new_id("cbtxn_1") if to_balance else None,
        effective_at=world.now,
        invoice=invoice["id"],
        lines={"object": "list", "data": [line], "has_more": False, "url": f"/v1/credit_notes/{note_id}/lines"},
        number=f"{invoice['number']}-CN-01",
        out_of_band_amount=out_of_band or None,
        pdf=f"https://pay.stripe.com/credit_notes/{note_id}/pdf",
        post_payment_amount=amount,
        refunds=[
            {"amount_refunded": each["amount"], "payment_record_refund": None, "refund": each["id"], "type": "refund"}
            for each in refunds
        ],
        subtotal=amount,
        subtotal_excluding_tax=amount,
        total=amount,
        total_excluding_tax=amount,
    )
    invoice["post_payment_credit_notes_amount"] += amount
    world.tell("credit_note.created", note)
    return note


def void(world: World, note: JsonObject) -> JsonObject:
    """Take a credit note back."""
    invoice = world.get("invoice", note["invoice"])
    invoice["post_payment_credit_notes_amount"] -= note["amount"]
    return world.change("credit_note.voided", note, status="void", voided_at=world.now)
