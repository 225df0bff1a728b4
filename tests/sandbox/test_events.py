"""Events: one for everything that happens, with the object as it was, newest first."""

from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


async def types_of(client: StripeClient, **params: Any) -> list[str]:
    events = await client.v1.events.list_async({"limit": 100, **params})  # pyright: ignore[reportArgumentType]
    return [event.type for event in events.data]


async def test_a_subscription_sale_tells_everything(client: StripeClient, people: Simulation) -> None:
    people.checkout(amount=5000, interval="month")
    assert set(await types_of(client)) == {
        "product.created",
        "price.created",
        "customer.created",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "checkout.session.completed",
    }


async def test_a_snapshot_keeps_what_the_object_was(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=5000, interval="month")
    statuses: dict[str, str] = {}
    for event in (await client.v1.events.list_async({"type": "invoice.*"})).data:
        assert event.data.object["id"] == sale["invoice"]
        statuses[event.type] = event.data.object["status"]
    assert statuses == {
        "invoice.created": "draft",
        "invoice.finalized": "open",
        "invoice.paid": "paid",
        "invoice.payment_succeeded": "paid",
    }


async def test_an_event_can_be_read_by_its_id(client: StripeClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 20})
    [event] = (await client.v1.events.list_async()).data
    read = await client.v1.events.retrieve_async(event.id)
    assert read.to_dict() == event.to_dict()
    assert (read.livemode, read.pending_webhooks, read.api_version) == (False, 0, stripe.api_version)
    with pytest.raises(stripe.InvalidRequestError, match="No such event: 'evt_none'") as refusal:
        await client.v1.events.retrieve_async("evt_none")
    assert refusal.value.http_status == 404


async def test_events_are_filtered_by_type_types_and_age(client: StripeClient, people: Simulation) -> None:
    people.checkout(amount=1000)
    people.advance(days=1)
    people.checkout(amount=1000)
    assert await types_of(client, type="charge.succeeded") == ["charge.succeeded"] * 2
    assert (
        await types_of(client, type="payment_intent.*")
        == [
            "payment_intent.succeeded",
            "payment_intent.created",
        ]
        * 2
    )
    wanted = ["charge.succeeded", "checkout.session.completed"]
    assert sorted(await types_of(client, types=wanted)) == sorted(wanted * 2)
    since = people.clock()["now"] - 3600
    assert await types_of(client, type="charge.succeeded", created={"gte": since}) == ["charge.succeeded"]
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        await types_of(client, type="charge.succeeded", types=wanted)


async def test_paging_through_events_reads_each_once(client: StripeClient, people: Simulation) -> None:
    for _ in range(3):
        people.checkout(amount=1000, interval="month")
    newest_first = [event.id async for event in (await client.v1.events.list_async({"limit": 7})).auto_paging_iter()]
    everything = [event.id for event in (await client.v1.events.list_async({"limit": 100})).data]
    assert newest_first == everything
    after_first = await client.v1.events.list_async({"limit": 7, "ending_before": everything[-1]})
    oldest_first = [event.id async for event in after_first.auto_paging_iter()]
    assert oldest_first == everything[:-1][::-1]


async def test_what_falls_due_while_nothing_runs_is_told_when_it_is_billed(
    client: StripeClient, people: Simulation
) -> None:
    """A poller that has already looked at last month would never see an event created there."""
    sale = people.checkout(amount=1000, interval="month")
    people.advance(days=20)
    before = people.clock()["now"]
    people.advance(days=20)
    [event] = (await client.v1.events.list_async({"type": "invoice.paid", "created": {"gte": before}})).data
    assert event.data.object["id"] != sale["invoice"]
    assert event.created == event.data.object["created"]
