"""Events of every account are read to the end, however many there are, and nothing is read past."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal, StripeMisconfigured, StripeUnavailable
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.inbox import Span
from rekomi_mcp.storage.tables import PollCursorRow
from rekomi_mcp.workers.poller import EventPoller
from tests.support.books import sales_and_entries
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of, inbox, states
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


def cursor(shop: Shop) -> datetime | None:
    """How far the shop's own account has been read."""
    with shop.app.open_store().reading() as session:
        row = session.get(PollCursorRow, "self")
        return row.read_until if row else None


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


def lost(shop: Shop) -> Span | None:
    with shop.app.open_store().reading() as session:
        return storage.inbox.lost(session, "self")


async def test_a_poller_that_was_away_for_longer_than_stripe_keeps_events_says_so_and_keeps_what_was_lost(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.sign()
    await shop.app.poller.poll()
    shop.restart()
    shop.customers.advance(days=29)
    await shop.app.poller.poll()
    assert ("find_missed_sales" in caplog.text, lost(shop)) == (False, None)
    last = cursor(shop)
    shop.restart()
    shop.customers.advance(days=31)
    await shop.app.poller.poll()
    assert "find_missed_sales" in caplog.text
    first = lost(shop)
    assert first is not None
    assert first.since == last
    assert timedelta(hours=23) < first.until - first.since <= timedelta(days=1, minutes=1)
    shop.restart()
    shop.customers.advance(days=40)
    await shop.app.poller.poll()
    both = lost(shop)
    assert both is not None
    assert (both.since, both.until > first.until) == (first.since, True), "what was lost before is not forgotten"


async def test_a_reading_that_breaks_off_loses_nothing_yet(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.catch_up()
    shop.restart()
    shop.customers.advance(days=45)

    def down(*_: Any) -> AsyncIterator[JsonObject]:
        raise StripeUnavailable("Stripe could not be reached.")

    with monkeypatch.context() as broken, pytest.raises(Refusal):
        broken.setattr(StripeAccount, "events", down)
        await shop.app.poller.poll()
    assert lost(shop) is None, "the cursor has not moved over it"
    await shop.app.poller.poll()
    assert lost(shop) is not None


async def test_advancing_the_sandbox_under_a_running_server_loses_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.sign()
    await shop.sell(code="SARAH20", interval="week")
    shop.customers.advance(days=45)
    await shop.catch_up()
    assert len(await shop.conversions()) == 1 + 6, "also the renewals that Stripe itself would not list any more"
    assert (lost(shop), "find_missed_sales" in caplog.text) == (None, False)
    assert (await shop.do("tracking_health"))["nextSteps"] == []


async def test_a_running_server_that_could_not_read_for_that_long_loses_it_too(shop: Shop) -> None:
    app, later = shop.app, timedelta()
    poller = EventPoller(app.open_store, app.stripe, app.clock, live=False, wall=lambda: datetime.now(UTC) + later)
    await poller.poll()
    shop.customers.advance(days=31)
    later = timedelta(days=31)
    await poller.poll()
    assert lost(shop) is not None


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


async def test_an_account_that_cannot_be_read_is_logged_once_until_that_changes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def said_in_three_turns() -> list[str]:
        caplog.clear()
        for _ in range(3):
            with suppress(Refusal):
                await shop.app.poller.poll()
        return [record.message for record in caplog.records if "the events of account" in record.message]

    def failing(refusal: Refusal) -> Callable[..., AsyncIterator[JsonObject]]:
        def fail(*_: object) -> AsyncIterator[JsonObject]:
            raise refusal

        return fail

    assert await said_in_three_turns() == []
    with monkeypatch.context() as broken:
        broken.setattr(StripeAccount, "events", failing(StripeMisconfigured("no")))
        assert await said_in_three_turns() == ["the events of account self cannot be read: stripe_misconfigured"]
        broken.setattr(StripeAccount, "events", failing(StripeUnavailable("no")))
        assert await said_in_three_turns() == ["the events of account self cannot be read: stripe_unavailable"]
    assert await said_in_three_turns() == ["the events of account self can be read again"]
