"""Money that goes back: refunds in parts, refunds that fail, disputes."""

from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.errors import ApiError
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


def param_of(error: Any) -> str | None:
    """The parameter at fault: the stripe package has it without a type."""
    return error.param


async def test_refunds_in_parts_add_up_on_the_charge(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=4400, interval="month")
    for amount in (1100, 1467):
        refund = await client.v1.refunds.create_async(
            {"payment_intent": sale["payment_intent"], "amount": amount, "reason": "requested_by_customer"}
        )
        assert (refund.status, refund.amount, refund.charge) == ("succeeded", amount, sale["charge"])
    events = (await client.v1.events.list_async({"type": "charge.refunded"})).data[::-1]
    assert [event.data.object["amount_refunded"] for event in events] == [1100, 2567]
    assert [event.data.to_dict()["previous_attributes"] for event in events] == [
        {"amount_refunded": 0},
        {"amount_refunded": 1100},
    ]
    assert "refunds" not in events[0].data.object

    rest = people.refund(invoice=sale["invoice"])
    assert rest["amount"] == 4400 - 2567
    charge = await client.v1.charges.retrieve_async(sale["charge"], {"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded) == (True, 4400)
    assert charge.refunds is not None
    assert [refund.amount for refund in charge.refunds.data] == [1833, 1467, 1100]
    for filter in ("charge", "payment_intent"):
        listed = await client.v1.refunds.list_async({filter: sale[filter]})  # pyright: ignore[reportArgumentType]
        assert len(listed.data) == 3


async def test_no_more_is_refunded_than_was_paid(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    people.refund(session=sale["session"], amount=400)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount on charge") as refusal:
        await client.v1.refunds.create_async({"charge": sale["charge"], "amount": 601})
    assert param_of(refusal.value) == "amount"
    await client.v1.refunds.create_async({"charge": sale["charge"], "amount": 600})
    with pytest.raises(stripe.InvalidRequestError, match="has already been refunded") as refusal:
        await client.v1.refunds.create_async({"charge": sale["charge"]})
    assert refusal.value.code == "charge_already_refunded"


async def test_a_refund_must_name_a_payment(client: StripeClient, people: Simulation) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="payment_intent or charge"):
        await client.v1.refunds.create_async({"amount": 5})
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent: 'pi_none'"):
        await client.v1.refunds.create_async({"payment_intent": "pi_none"})
    pending = people.checkout(amount=1000, delayed=True)
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge to refund"):
        await client.v1.refunds.create_async({"payment_intent": pending["payment_intent"]})
    with pytest.raises(ApiError, match="Pass one of"):
        people.refund()
    with pytest.raises(ApiError, match="Nothing has been paid"):
        people.refund(invoice=people.checkout(amount=100, interval="month", trial_days=1)["invoice"])


async def test_a_refund_that_fails_counts_as_paid_again(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    refund = people.refund(charge=sale["charge"])
    failed = people.fail_refund(refund["id"])
    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    charge = await client.v1.charges.retrieve_async(sale["charge"])
    assert (charge.refunded, charge.amount_refunded) == (False, 0)
    types = [event.type for event in (await client.v1.events.list_async({"type": "refund.*"})).data]
    assert types == ["refund.failed", "refund.updated", "refund.created"]
    with pytest.raises(ApiError, match="failed already"):
        people.fail_refund(refund["id"])
    assert people.refund(charge=sale["charge"])["amount"] == 1000


async def test_a_refunds_metadata_can_change(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    refund = await client.v1.refunds.create_async({"charge": sale["charge"], "metadata": {"a": "1"}})
    changed = await client.v1.refunds.update_async(refund.id, {"metadata": {"b": "2"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}


async def test_the_balance_is_what_was_paid_and_not_given_back(client: StripeClient, people: Simulation) -> None:
    people.checkout(amount=1000)
    people.refund(session=people.checkout(amount=500)["session"], amount=200)
    people.checkout(amount=9800, currency="jpy")
    balance = await client.v1.balance.retrieve_async()
    assert {each.currency: each.amount for each in balance.available} == {"usd": 1300, "jpy": 9800}


async def test_a_lost_dispute_keeps_the_money_away(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    dispute = people.dispute(payment_intent=sale["payment_intent"])
    assert (dispute["status"], dispute["amount"], dispute["charge"]) == ("needs_response", 1000, sale["charge"])
    assert (await client.v1.charges.retrieve_async(sale["charge"])).disputed is True
    with pytest.raises(stripe.InvalidRequestError, match="charged back") as refusal:
        await client.v1.refunds.create_async({"charge": sale["charge"]})
    assert refusal.value.code == "charge_disputed"
    assert people.close_dispute(dispute["id"], won=False)["status"] == "lost"
    types = [event.type for event in (await client.v1.events.list_async({"type": "charge.dispute.*"})).data]
    assert types[::-1] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
    ]
    with pytest.raises(ApiError, match="already closed"):
        people.close_dispute(dispute["id"], won=True)


async def test_a_won_dispute_brings_the_money_back(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    dispute = people.dispute(session=sale["session"], amount=400)
    assert people.close_dispute(dispute["id"], won=True)["status"] == "won"
    read = await client.v1.disputes.retrieve_async(dispute["id"])
    assert [each.amount for each in read.balance_transactions] == [-400, 400]
    reinstated = await client.v1.events.list_async({"type": "charge.dispute.funds_reinstated"})
    assert len(reinstated.data) == 1
    assert people.refund(charge=sale["charge"])["amount"] == 1000


async def test_an_inquiry_moves_no_money(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000)
    inquiry = people.dispute(charge=sale["charge"], inquiry=True)
    assert (inquiry["status"], inquiry["is_charge_refundable"]) == ("warning_needs_response", True)
    assert people.close_dispute(inquiry["id"], won=False)["status"] == "warning_closed"
    types = {event.type for event in (await client.v1.events.list_async({"type": "charge.dispute.*"})).data}
    assert types == {"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"}


async def test_a_merchant_may_give_in(client: StripeClient, people: Simulation) -> None:
    dispute = people.dispute(charge=people.checkout(amount=1000)["charge"])
    await client.v1.disputes.update_async(dispute["id"], {"metadata": {"case": "7"}})
    closed = await client.v1.disputes.close_async(dispute["id"])
    assert (closed.status, closed.metadata.to_dict()) == ("lost", {"case": "7"})
    listed = await client.v1.disputes.list_async({"charge": dispute["charge"]})
    assert [each.id for each in listed.data] == [dispute["id"]]
