"""Events arrive twice, late, out of order, in other versions and broken: each counts once, and none is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from sqlmodel import Session, select

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal, StripeRefused, StripeUnavailable
from rekomi_mcp.domain.sales import Fact
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.tables import LedgerEntryRow, PollCursorRow, SaleRow
from rekomi_mcp.tools.ingest import operation as ingest
from rekomi_mcp.workers import inbox as inbox_worker
from rekomi_mcp.workers.inbox import MAX_ATTEMPTS
from rekomi_mcp.workers.translate import Event, facts_of
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of, inbox, states
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


def about(event: JsonObject, **changes: Any) -> JsonObject:
    """The same news with another id and other facts."""
    return event | {"id": f"{event['id']}_too", "data": {"object": event["data"]["object"] | changes}}


def cursor(shop: Shop) -> datetime | None:
    """How far the shop's own account has been read."""
    with shop.app.open_store().reading() as session:
        row = session.get(PollCursorRow, "self")
        return row.read_until if row else None


def sales_and_entries(shop: Shop) -> tuple[int, int]:
    with shop.app.open_store().reading() as session:
        sales = session.exec(select(SaleRow).where(SaleRow.organization_id == shop.id)).all()
        entries = session.exec(select(LedgerEntryRow).where(LedgerEntryRow.organization_id == shop.id)).all()
        return len(sales), len(entries)


async def remaining(shop: Shop, sold: JsonObject) -> int:
    conversion = await shop.conversion(sold)
    assert conversion is not None, "nobody earned"
    return conversion["remainingCommissionCents"]


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


async def connect(shop: Shop, state: State, world: World) -> tuple[Shop, str]:
    """The neighbour's shop on a connected account of its own."""
    client = await shop.app.stripe.client()
    account = (await client.v1.accounts.create_async({"type": "standard"})).id
    await operate(shop.app, "update_organization", {"organization": "neighbour", "stripeAccount": account})
    return Shop(shop.app, world.neighbour.id, Simulation(state, account)), account


@pytest.mark.parametrize("road", ["poll", "webhook"])
async def test_events_of_a_connected_account_reach_the_organization_linked_to_it(
    shop: Shop, state: State, world: World, road: str
) -> None:
    await shop.sign("SARAH20")
    neighbour, account = await connect(shop, state, world)
    other = await neighbour.open_program(name="Second")
    await neighbour.sign("NEIGHBOUR20", name="Nadia Berg", program=other)
    before = len(await neighbour.conversions())
    sold = neighbour.customers.checkout(amount=10_000, code="NEIGHBOUR20", interval="month")
    if road == "webhook":
        await deliver(shop.app, *events_of(state, account=account))
        await shop.app.inbox.work_off()
    else:
        await neighbour.catch_up()
    assert {row.account for row in inbox(shop.app).values() if row.type == "invoice.paid"} == {account}
    conversions = await neighbour.conversions()
    assert len(conversions) == before + 1
    conversion = await neighbour.conversion(sold)
    assert conversion is not None
    assert (conversion["affiliateName"], conversion["couponCode"]) == ("Nadia Berg", "NEIGHBOUR20")
    assert await shop.conversions() == []


async def test_a_polled_event_belongs_to_the_account_that_was_asked_whatever_it_says(
    shop: Shop, state: State, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    neighbour, account = await connect(shop, state, world)
    neighbour.customers.checkout(amount=10_000)
    listed = StripeAccount.events

    async def nameless(*asked: Any) -> AsyncIterator[JsonObject]:
        async for event in listed(*asked):
            yield {name: value for name, value in event.items() if name != "account"}

    monkeypatch.setattr(StripeAccount, "events", nameless)
    await shop.app.poller.poll()
    [event] = events_of(state, "checkout.session.completed", account=account)
    assert inbox(shop.app)[event["id"]].account == account


async def test_a_poller_that_was_away_for_longer_than_stripe_keeps_events_says_so(
    shop: Shop, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.sign()
    shop.customers.advance(days=29)
    await shop.app.poller.poll()
    assert "find_missed_sales" not in caplog.text
    shop.customers.advance(days=31)
    await shop.app.poller.poll()
    assert "find_missed_sales" in caplog.text


async def test_an_account_that_cannot_be_read_does_not_keep_the_others_from_being_read(
    shop: Shop, state: State, world: World
) -> None:
    await shop.sign()
    await operate(shop.app, "update_organization", {"organization": "acme", "stripeAccount": "acct_withdrawn01"})
    neighbour, account = await connect(shop, state, world)
    # Rows are read in the order they were last written: the account that withdrew its access comes first.
    await operate(shop.app, "update_organization", {"organization": "story", "name": "Story"})
    shop.customers.checkout(amount=10_000, code="SARAH20")
    neighbour.customers.checkout(amount=5000)
    with suppress(Refusal):  # saying so is allowed, stopping is not
        await shop.app.poller.poll()
    assert {row.account for row in inbox(shop.app).values()} == {"self", account}


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], set[str]]:
    """Makes the translation of one event raise until its id is taken out of the set again."""
    poisoned: set[str] = set()

    async def translate(event: Event, stripe: StripeAccount, known: Sequence[str]) -> list[Fact]:
        if event.id in poisoned:
            raise ZeroDivisionError("poisoned")
        return await facts_of(event, stripe, known)

    monkeypatch.setattr(inbox_worker, "facts_of", translate)

    def poison(event_id: str) -> set[str]:
        poisoned.add(event_id)
        return poisoned

    return poison


async def test_a_poisoned_event_is_kept_with_its_error_and_blocks_nobody(
    shop: Shop, state: State, poison: Callable[[str], set[str]]
) -> None:
    await shop.sign()
    bad, good = (shop.customers.checkout(amount=10_000, code="SARAH20") for _ in range(2))
    event = next(e for e in events_of(state) if e["data"]["object"]["id"] == bad["session"])
    poisoned = poison(event["id"])
    await shop.catch_up()
    assert [c["externalEventId"] for c in await shop.conversions()] == [good["session"]]
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.note, row.attempts) == ("pending", "ZeroDivisionError: poisoned", 1)

    assert await shop.app.inbox.work_off() == 0, "not before its time"
    poisoned.clear()
    shop.customers.advance(seconds=60)
    assert await shop.app.inbox.work_off() == 1
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.note, row.attempts) == ("done", None, 2)
    assert len(await shop.conversions()) == 2


async def test_an_event_that_never_works_is_kept_as_failed_in_the_end(
    shop: Shop, state: State, poison: Callable[[str], set[str]]
) -> None:
    shop.customers.checkout(amount=10_000)
    [event] = events_of(state, "checkout.session.completed")
    poison(event["id"])
    await shop.app.poller.poll()
    waits: list[timedelta] = []
    for _ in range(MAX_ATTEMPTS):
        assert await shop.app.inbox.work_off() == 1
        row = inbox(shop.app)[event["id"]]
        waits.append(row.next_attempt_at - shop.app.clock())
        shop.customers.advance(days=1)
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.note, row.attempts) == ("failed", "ZeroDivisionError: poisoned", MAX_ATTEMPTS)
    assert await shop.app.inbox.work_off() == 0
    assert timedelta(seconds=20) < waits[0] < timedelta(minutes=2)
    assert max(waits) <= timedelta(hours=6)


async def test_an_event_that_breaks_the_books_does_not_take_its_batch_down(
    shop: Shop, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    bad, good = (shop.customers.checkout(amount=10_000, code="SARAH20") for _ in range(2))
    event = next(e for e in events_of(state) if e["data"]["object"]["id"] == bad["session"])
    apply = ingest._apply  # pyright: ignore[reportPrivateUsage]

    def breaking(context: Any, known: Any, writes: Any, fact: Fact) -> None:
        if fact.event_id == event["id"]:
            raise KeyError("broken")
        apply(context, known, writes, fact)

    monkeypatch.setattr(ingest, "_apply", breaking)
    await shop.catch_up()
    assert [c["externalEventId"] for c in await shop.conversions()] == [good["session"]]
    row = inbox(shop.app)[event["id"]]
    assert (row.state, row.note) == ("pending", "KeyError: 'broken'")
    assert sales_and_entries(shop) == (1, 1)


async def test_what_a_worker_took_and_died_over_is_worked_off_by_another(
    shop: Shop, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20")
    await shop.app.poller.poll()

    def die(*_: object) -> None:
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as dead:
        dead.setattr(ingest, "_apply", die)
        with pytest.raises(KeyboardInterrupt):
            await shop.app.inbox.work_off()
    assert sales_and_entries(shop) == (0, 0)
    assert await shop.app.inbox.work_off() == 0, "it may still be at work"
    shop.customers.advance(seconds=600)
    assert await shop.app.inbox.work_off() == len(states(shop.app))
    assert await remaining(shop, sold) == 1600
    assert set(states(shop.app).values()) == {"done"}


async def test_an_event_stripe_cannot_be_asked_about_is_worked_off_later(
    shop: Shop, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    with monkeypatch.context() as outage:

        async def down(*_: object) -> JsonObject:
            raise StripeUnavailable("Stripe is away.")

        outage.setattr(StripeAccount, "invoice", down)
        sold = await shop.sell(5000, interval="month", code="SARAH20")
        assert await shop.conversions() == []
        paid = [inbox(shop.app)[event["id"]] for event in events_of(state, "invoice.paid", "invoice.payment_succeeded")]
        assert [(row.state, row.note) for row in paid] == [("pending", "stripe_unavailable: Stripe is away.")] * 2
        assert all(row.next_attempt_at > shop.app.clock() for row in paid)
    shop.customers.advance(seconds=60)
    await shop.app.inbox.work_off()
    assert set(states(shop.app).values()) == {"done"}
    assert await remaining(shop, sold) == 800


async def test_an_event_stripe_knows_nothing_of_is_kept_as_failed(
    shop: Shop, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()

    async def unknown(*_: object) -> JsonObject:
        raise StripeRefused("Stripe refused: No such invoice.", stripeCode="resource_missing")

    monkeypatch.setattr(StripeAccount, "invoice", unknown)
    await shop.sell(5000, interval="month", code="SARAH20")
    [paid] = events_of(state, "invoice.paid")
    row = inbox(shop.app)[paid["id"]]
    assert (row.state, row.note, row.attempts) == (
        "failed",
        "stripe_refused: Stripe refused: No such invoice.",
        1,
    )


def make_sales(state: State, template: JsonObject, count: int) -> None:
    """Many sales like one that happened, without the work of making them."""
    session = template["data"]["object"]
    with state.write() as work:
        for number in range(count):
            sale = session | {"id": f"cs_test_{number:04}", "payment_intent": f"pi_{number:04}"}
            work.add(template | {"id": f"evt_{number:04}", "data": {"object": sale}})


async def test_more_events_than_a_page_or_a_batch_holds_all_arrive(shop: Shop, state: State) -> None:
    await shop.sign()
    await shop.sell(code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    make_sales(state, event, 249)
    assert await shop.app.poller.poll() == 249
    assert await shop.app.inbox.work_off() == 249
    assert set(states(shop.app).values()) == {"done"}
    assert sales_and_entries(shop) == (250, 250)
    assert await shop.app.poller.poll() == 0


async def test_the_poll_cursor_moves_only_when_everything_before_it_is_stored(
    shop: Shop, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    await shop.sell(code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    make_sales(state, event, 250)
    before, known = cursor(shop), len(states(shop.app))
    assert before is not None
    store, pages = storage.inbox.store, 0

    def dying(session: Session, rows: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise KeyboardInterrupt("killed")
        return store(session, rows)

    with monkeypatch.context() as dead:
        dead.setattr(storage.inbox, "store", dying)
        with pytest.raises(KeyboardInterrupt):
            await shop.app.poller.poll()
    assert cursor(shop) == before
    assert len(states(shop.app)) == known + 200

    shop.customers.advance(seconds=5)
    assert await shop.app.poller.poll() == 50
    after = cursor(shop)
    assert after is not None
    assert after > before


async def test_polling_reads_a_while_again_and_finds_an_event_that_was_listed_late(shop: Shop, state: State) -> None:
    await shop.sign()
    sold = await shop.sell(code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    shop.customers.advance(seconds=600)
    await shop.catch_up()
    late = {"id": "cs_test_late", "payment_intent": "pi_late"}
    with state.write() as work:
        work.add(event | {"id": "evt_late", "data": {"object": event["data"]["object"] | late}})
    assert await shop.app.poller.poll() == 1
    await shop.app.inbox.work_off()
    assert [c["externalEventId"] for c in await shop.conversions()] == [sold["session"], "cs_test_late"]
