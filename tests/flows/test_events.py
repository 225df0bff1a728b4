"""Events arrive twice, late, out of order and in other versions: each counts once, and none is lost."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from rekomi_mcp.sandbox.state import State
from tests.support.books import remaining, sales_and_entries
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of, inbox, states

pytestmark = pytest.mark.anyio


def about(event: JsonObject, **changes: Any) -> JsonObject:
    """The same news with another id and other facts."""
    return event | {"id": f"{event['id']}_too", "data": {"object": event["data"]["object"] | changes}}


async def test_a_sale_that_arrives_by_webhook_and_by_polling_at_once_counts_once(shop: Shop, state: State) -> None:
    await shop.sign()
    for number in range(5):
        interval = "month" if number % 2 else None
        shop.customers.checkout(amount=10_000, code="SARAH20", email=f"{number}@example.com", interval=interval)
    events = events_of(state)
    async with anyio.create_task_group() as group:
        group.start_soon(shop.app.poller.poll)
        group.start_soon(deliver, shop.app, *events)
        group.start_soon(shop.app.poller.poll)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(shop.app.inbox.work_off)
    assert len(await shop.conversions()) == 5
    assert sales_and_entries(shop) == (5, 5)
    assert set(states(shop.app)) == {event["id"] for event in events}


async def test_invoice_paid_and_invoice_payment_succeeded_are_one_sale(shop: Shop, state: State) -> None:
    await shop.sign()
    await shop.sell(5000, interval="month", code="SARAH20")
    twins = events_of(state, "invoice.paid", "invoice.payment_succeeded")
    assert [states(shop.app)[event["id"]] for event in twins] == ["done", "done"]
    assert len(await shop.conversions()) == 1
    assert sales_and_entries(shop) == (1, 1)


async def test_an_event_delivered_again_is_stored_and_counted_once(shop: Shop, state: State) -> None:
    await shop.sign()
    shop.customers.checkout(amount=10_000, code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    assert await deliver(shop.app, event, event) == [True, False]
    assert await shop.app.inbox.work_off() == 1
    assert await deliver(shop.app, event) == [False]
    assert await shop.app.inbox.work_off() == 0
    assert len(await shop.conversions()) == 1


async def test_another_event_with_the_same_sale_changes_nothing(shop: Shop, state: State) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    before = await shop.conversion(sold)
    assert await deliver(shop.app, about(event, amount_total=1)) == [True]
    assert await shop.app.inbox.work_off() == 1
    assert await shop.conversion(sold) == before
    assert sales_and_entries(shop) == (1, 1)


@pytest.mark.parametrize("interval", [None, "month"], ids=["one-off", "subscription"])
@pytest.mark.parametrize("together", [False, True], ids=["batch-after-batch", "in-one-batch"])
async def test_a_refund_that_arrives_before_its_sale_is_taken_off_when_the_sale_comes(
    shop: Shop, state: State, interval: str | None, together: bool
) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval=interval)
    shop.customers.refund(charge=sold["charge"], amount=2000)
    refund = events_of(state, "charge.refunded", "refund.created", "refund.updated")
    sale = [event for event in events_of(state) if event not in refund]
    await deliver(shop.app, *refund)
    if not together:
        await shop.app.inbox.work_off()
        assert await shop.conversions() == []
    await deliver(shop.app, *sale)
    await shop.app.inbox.work_off()
    assert await remaining(shop, sold) == 1200


async def test_a_full_refund_that_arrives_first_leaves_the_sale_refunded(shop: Shop, state: State) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20")
    shop.customers.refund(charge=sold["charge"])
    for event in reversed(events_of(state)):
        await deliver(shop.app, event)
        await shop.app.inbox.work_off()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["status"], conversion["remainingCommissionCents"]) == ("Refunded", 0)


async def test_late_news_of_a_refunds_earlier_stage_changes_nothing(shop: Shop, state: State) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    refunded = await shop.refund(sold, 4000)
    shop.customers.fail_refund(refunded["id"])
    await shop.catch_up()
    assert await remaining(shop, sold) == 1600
    [created] = events_of(state, "refund.created")
    await deliver(shop.app, about(created))
    await shop.app.inbox.work_off()
    assert await remaining(shop, sold) == 1600


async def test_renewals_that_arrive_in_reverse_order_are_credited_alike(shop: Shop, state: State) -> None:
    await shop.sign()
    sold = await shop.sell(5000, interval="month", code="SARAH20")
    known = {event["id"] for event in events_of(state)}
    for _ in range(2):
        shop.customers.renew(sold["subscription"])
    for event in reversed([event for event in events_of(state) if event["id"] not in known]):
        await deliver(shop.app, event)
        await shop.app.inbox.work_off()
    assert [c["commissionCents"] for c in await shop.conversions()] == [800, 1000, 1000]


@pytest.mark.parametrize("interval", [None, "month"], ids=["one-off", "subscription"])
async def test_an_event_of_another_api_version_is_fetched_again(shop: Shop, state: State, interval: str | None) -> None:
    """Its payload has another shape: nothing in it but the object's id may be believed."""
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval=interval)
    shop.customers.refund(charge=sold["charge"], amount=4000)
    for event in events_of(state):
        stub = {"id": event["data"]["object"]["id"], "object": event["data"]["object"]["object"]}
        await deliver(shop.app, event | {"api_version": "2019-12-03", "data": {"object": stub}})
    await shop.app.inbox.work_off()
    assert "pending" not in states(shop.app).values()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["amountCents"], conversion["couponCode"]) == (8000, "SARAH20")
    assert conversion["remainingCommissionCents"] == 800


async def test_an_event_nobody_asked_for_is_kept_and_ignored(shop: Shop, state: State) -> None:
    shop.customers.checkout(amount=10_000)
    [event] = events_of(state, "payment_intent.created")
    assert await deliver(shop.app, event | {"type": "pigeon.landed"}) == [True]
    await shop.app.inbox.work_off()
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.note) == ("ignored", "not an event this server acts on")
    assert json.loads(row.payload)["type"] == "pigeon.landed"


async def test_an_event_of_live_money_is_kept_and_ignored_by_a_sandbox(shop: Shop, state: State) -> None:
    await shop.sign()
    shop.customers.checkout(amount=10_000, code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    await deliver(shop.app, event | {"livemode": True})
    await shop.app.inbox.work_off()
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.livemode) == ("ignored", True)
    assert row.note is not None
    assert "live-mode" in row.note
    assert await shop.conversions() == []


async def test_an_event_of_a_connected_account_nobody_has_is_kept_and_ignored(shop: Shop, state: State) -> None:
    await shop.sign()
    shop.customers.checkout(amount=10_000, code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    await deliver(shop.app, event | {"account": "acct_nobodys01"})
    await shop.app.inbox.work_off()
    row = inbox(shop.app)[event["id"]]
    assert (row.account, row.state) == ("acct_nobodys01", "ignored")
    assert row.note == "no organization is linked to this Stripe account"
    assert sales_and_entries(shop) == (0, 0)
