"""Events that fail, and workers that die: each is tried again or kept with its error, and blocks nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rekomi_mcp.domain.errors import StripeRefused, StripeUnavailable
from rekomi_mcp.domain.sales import Fact
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.tools.ingest import operation as ingest
from rekomi_mcp.workers import inbox as inbox_worker
from rekomi_mcp.workers.inbox import MAX_ATTEMPTS
from rekomi_mcp.workers.translate import Event, Stored, facts_of
from tests.support.books import remaining, sales_and_entries
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import events_of, inbox, states

pytestmark = pytest.mark.anyio


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], set[str]]:
    """Makes the translation of one event raise until its id is taken out of the set again."""
    poisoned: set[str] = set()

    async def translate(event: Event, stripe: StripeAccount, stored: Stored) -> list[Fact]:
        if event.id in poisoned:
            raise ZeroDivisionError("poisoned")
        return await facts_of(event, stripe, stored)

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
