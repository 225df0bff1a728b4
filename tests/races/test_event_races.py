"""News of the same sales by many ways and in many workers at once: each counts once, and nobody stumbles over the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import Fact, Payment, Reversal, ReversalKind, ReversalStatus
from rekomi_mcp.gateways.stripe_inbox import HANDLED_EVENTS
from rekomi_mcp.storage.tables import InboxEventRow, PollCursorRow
from rekomi_mcp.workers.inbox import InboxWorker
from tests.support.acts import at_once, deliver, live_job, poll, work_off, work_off_by_threes
from tests.support.deaths import Act, Nursery
from tests.support.interruptions import interruptions
from tests.support.pictures import check_whole, picture
from tests.support.stage import PAST_EVERY_LEASE, Stage
from tests.support.world import sale, sell

WORKERS = 3


def reference(stage: Stage, *acts: Act) -> dict[str, Any]:
    """What it comes to when one worker does these things undisturbed."""
    for act in acts:
        stage.act(act)
    check_whole(stage)
    finished = picture(stage)
    stage.restore()
    return finished


def check_settled(stage: Stage, finished: dict[str, Any]) -> None:
    """Every event is done, none with a note of an error, and the books are as they should be.

    Only the steps may differ: a refund that is known to have failed before its success is heard of moves nothing.
    """
    unsettled = [row for row in stage.rows(InboxEventRow) if (row.state, row.note) != ("done", None)]
    assert [(row.type, row.state, row.note) for row in unsettled] == []
    now = picture(stage)
    assert {**now, "done": None} == {**finished, "done": None}
    assert now["done"].count("conversion.created") == len(now["conversions"])
    check_whole(stage)


async def many_workers(app: App) -> None:
    """Workers of one server, each so late that it takes what the one before has just taken."""

    async def work(late: int, app: App) -> int:
        worker = InboxWorker(
            app.open_store, app.pipeline, app.stripe, lambda: datetime.now(UTC) + late * PAST_EVERY_LEASE
        )
        return await worker.work_off()

    await at_once(app, [partial(work, late) for late in range(WORKERS)])


def test_events_taken_by_several_workers_of_one_server_count_once(shop: Stage) -> None:
    finished = reference(shop, work_off)
    shop.act(many_workers)
    check_settled(shop, finished)


def test_events_taken_by_several_servers_count_once(nursery: Nursery, shop: Stage) -> None:
    """Each is so late that it takes what another has just taken, as after a lease that was too short."""
    finished = reference(shop, work_off)
    lives = nursery.live_together([live_job(shop, work_off, late * PAST_EVERY_LEASE) for late in range(WORKERS)])
    assert [life.error for life in lives] == [None] * WORKERS
    check_settled(shop, finished)


def test_several_servers_share_the_events_in_small_batches(nursery: Nursery, shop: Stage) -> None:
    """So that news of one sale, under several event ids, is worked off by several at once."""
    finished = reference(shop, work_off)
    lives = nursery.live_together([live_job(shop, work_off_by_threes)] * WORKERS)
    assert [life.error for life in lives] == [None] * WORKERS
    assert sum(life.value for life in lives) == finished["inbox"]["done"]
    check_settled(shop, finished)


def test_webhooks_and_pollers_bring_the_same_events_at_once(nursery: Nursery, unread_shop: Stage) -> None:
    finished = reference(unread_shop, poll, work_off)
    events = [event for event in unread_shop.stripe.events() if event["type"] in HANDLED_EVENTS]
    acts: list[Act] = [poll, partial(deliver, events), poll, partial(deliver, events[::-1])]
    lives = nursery.live_together([live_job(unread_shop, act) for act in acts])
    assert [life.error for life in lives] == [None] * len(acts)
    assert Counter(row.event_id for row in unread_shop.rows(InboxEventRow)) == Counter(e["id"] for e in events)
    unread_shop.act(work_off)
    check_settled(unread_shop, finished)


def test_two_servers_that_read_stripes_events_for_the_first_time_do_not_disturb_each_other(
    unread_shop: Stage, subtests: pytest.Subtests
) -> None:
    expected = reference(unread_shop, poll)["inbox"]
    for run in interruptions(unread_shop, poll, poll):
        with subtests.test(run.boundary):
            run.check()
            assert picture(unread_shop)["inbox"] == expected
            assert len(unread_shop.rows(PollCursorRow)) == 1


def test_receiving_answers_how_many_events_were_new(unread_shop: Stage) -> None:
    """By it the inbox is woken, and the webhook's answer says whether it was the first delivery."""
    events = [event for event in unread_shop.stripe.events() if event["type"] in HANDLED_EVENTS]
    assert unread_shop.act(partial(deliver, events[:1])) == [True]
    assert unread_shop.act(partial(deliver, events[:2])) == [False, True]
    assert unread_shop.act(poll) == len(events) - 2
    assert unread_shop.act(poll) == 0


@pytest.mark.parametrize("names", [("invoice.paid", "invoice.payment_succeeded"), ("invoice.paid", "invoice.paid")])
def test_one_sale_in_two_batches_at_once_is_one_conversion(
    stage: Stage, names: tuple[str, str], subtests: pytest.Subtests
) -> None:
    """Under two event ids, or twice under the same."""
    [promotion_code] = [each["id"] for each in stage.stripe.promotion_codes()]
    first, second = (
        [
            sale(
                "in_1",
                event_id=f"evt_{name}",
                codes=(promotion_code,),
                customer_id="cus_1",
                payments=(Payment("pi_1"),),
            )
        ]
        for name in names
    )
    finished = reference(stage, ingest(stage, first), ingest(stage, second))
    assert (len(finished["conversions"]), finished["balances"]) == (1, {("Sarah Lee", "USD"): 800})
    for run in interruptions(stage, ingest(stage, first), ingest(stage, second)):
        with subtests.test(run.boundary):
            run.check()
            check_settled(stage, finished)


def test_a_refund_and_its_sale_at_once_leave_what_one_after_the_other_leaves(
    stage: Stage, subtests: pytest.Subtests
) -> None:
    [promotion_code] = [each["id"] for each in stage.stripe.promotion_codes()]
    sold = [sale("in_1", codes=(promotion_code,), customer_id="cus_1", payments=(Payment("pi_1"),))]
    given_back = [refund("re_1", "pi_1", 1100)]
    finished = reference(stage, ingest(stage, sold), ingest(stage, given_back))
    assert finished["balances"] == {("Sarah Lee", "USD"): 600}
    for first, second in ((sold, given_back), (given_back, sold)):
        for run in interruptions(stage, ingest(stage, first), ingest(stage, second)):
            with subtests.test(f"{run.boundary} of the {type(first[0]).__name__.lower()}"):
                run.check()
                check_settled(stage, finished)


def ingest(stage: Stage, facts: Sequence[Fact]) -> Act:
    """An act that receives the events of these facts and works them off, in one batch."""
    return partial(_ingest, stage.cast.organization, facts)


async def _ingest(organization: str, facts: Sequence[Fact], app: App) -> int:
    return await sell(app, organization, *facts)


def refund(refund_id: str, payment_intent: str, amount: int) -> Reversal:
    return Reversal(
        id=refund_id,
        kind=ReversalKind.Refund,
        event_id=f"evt_{refund_id}",
        occurred_at=datetime.now(UTC),
        currency="USD",
        amount_minor=amount,
        status=ReversalStatus.Succeeded,
        payment_intent_id=payment_intent,
        charge_id=None,
    )
