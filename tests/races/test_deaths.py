"""A process may die at any commit and at any request to Stripe; what it had begun is finished once, and nothing is lost.

Each test lets a process die at its first boundary, puts everything back, lets it die at the second, and so on, until one
lives to the end. What a run without a death leaves on both sides is what every death, restart and repetition must leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import StripeUnavailable
from rekomi_mcp.gateways import stripe as gateway
from rekomi_mcp.gateways.stripe_inbox import HANDLED_EVENTS
from rekomi_mcp.storage.tables import InboxEventRow, OutboundCallRow
from tests.support.acts import Wanted, deaths, deliver, live_job, poll, requests, sweep, work_off_by_threes
from tests.support.callers import Reply
from tests.support.deaths import Nursery
from tests.support.interruptions import unreachable
from tests.support.pictures import check_whole, picture
from tests.support.stage import PAST_EVERY_LEASE, Cast, Stage

KEY = "friday"
CAST_MADE_BY = ("create_campaign_coupon", "mint_affiliate_code")
OUTAGE = timedelta(hours=1)
"""How long the server is away; longer than what polling reads again each time."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that reaches Stripe, and what becomes of repeating it without a key once it is done."""

    operation: str
    arguments: Callable[[Cast], dict[str, Any]]
    when_done: str | None
    """The refusal; None when a repetition cannot be told from a second wish."""

    def wanted(self, stage: Stage, key: str | None = KEY) -> Wanted:
        return Wanted(stage.cast.organization, self.operation, self.arguments(stage.cast), key)


WRITES = {
    "coupon": Write("create_campaign_coupon", lambda c: {"name": "Summer", "discountValue": 15}, None),
    "given_code": Write(
        "mint_affiliate_code", lambda c: {"affiliateId": c.tom, "code": "TOMS-CODE"}, "code_already_taken"
    ),
    "generated_code": Write("mint_affiliate_code", lambda c: {"affiliateId": c.tom}, None),
    "end_of_a_code": Write("deactivate_affiliate_code", lambda c: {"codeId": c.code}, "status_conflict"),
    "end_of_a_coupon": Write("archive_campaign_coupon", lambda c: {"couponId": c.coupon}, "coupon_archived"),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def some_writes(*names: str) -> pytest.MarkDecorator:
    """One of each kind, where all five would go the same way."""
    return pytest.mark.parametrize("write", [WRITES[name] for name in names], ids=names)


def reply_of(nursery: Nursery, stage: Stage, wanted: Wanted) -> Reply:
    """The reply to a request made of a process that lives."""
    life = nursery.live(live_job(stage, requests(wanted)))
    assert life.error is None
    [reply] = life.value
    return reply


def repeat(stage: Stage, wanted: Wanted, later: timedelta = timedelta(0)) -> Reply:
    """The reply of the restarted server to the same request."""
    [reply] = stage.act(requests(wanted), later)
    return reply


def calls(stage: Stage, write: Write, key: str | None = KEY) -> list[OutboundCallRow]:
    """The write's own call to Stripe as it is recorded here, besides the cast's; none before the first commit."""
    cast = (stage.cast.coupon, stage.cast.code) if write.operation in CAST_MADE_BY else ()
    rows = stage.rows(OutboundCallRow)
    return [
        row
        for row in rows
        if row.operation == write.operation and row.idempotency_key == key and row.subject_id not in cast
    ]


def is_pending(stage: Stage, write: Write, key: str | None = KEY) -> bool:
    return [call.state for call in calls(stage, write, key)] == ["pending"]


@every_write
def test_a_write_that_died_anywhere_is_finished_by_the_sweep_and_answered_to_its_key(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    wanted, untouched = write.wanted(stage), picture(stage)
    assert reply_of(nursery, stage, wanted).code == "ok"
    finished = picture(stage)
    assert finished != untouched

    for boundary in deaths(nursery, stage, requests(wanted)):
        with subtests.test(boundary):
            begun = calls(stage, write) != []
            stage.restart()
            assert picture(stage) == (finished if begun else untouched)
            check_whole(stage)

            reply = repeat(stage, wanted, PAST_EVERY_LEASE)
            assert (reply.code, reply.replayed) == ("ok", begun)
            [call] = calls(stage, write)
            assert reply.body is not None
            assert (reply.body["id"], reply.body) == (call.subject_id, call.response)
            assert picture(stage) == finished
            check_whole(stage)


@some_writes("coupon", "given_code", "end_of_a_coupon")
def test_a_client_that_repeats_with_its_key_at_once_finishes_what_died(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    wanted = write.wanted(stage)
    assert reply_of(nursery, stage, wanted).code == "ok"
    finished = picture(stage)

    for boundary in deaths(nursery, stage, requests(wanted), which=partial(is_pending, stage, write)):
        with subtests.test(boundary):
            first = repeat(stage, wanted)
            assert first.code == "ok"
            stage.restart()
            again = repeat(stage, wanted, PAST_EVERY_LEASE)
            assert (again.code, again.body, again.replayed) == ("ok", first.body, True)
            assert picture(stage) == finished
            check_whole(stage)


@some_writes("coupon", "given_code", "end_of_a_code")
def test_an_assistant_that_repeats_without_a_key_at_once_finishes_what_died(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    """Until the outcome is committed. After that a repetition is a second wish, where the object allows a second one."""
    wanted = write.wanted(stage, key=None)
    assert reply_of(nursery, stage, wanted).code == "ok"
    finished = picture(stage)

    def may_be_repeated() -> bool:
        return write.when_done is not None or picture(stage) != finished

    for boundary in deaths(nursery, stage, requests(wanted), which=may_be_repeated):
        with subtests.test(boundary):
            done = picture(stage) == finished
            assert repeat(stage, wanted).code == (write.when_done if done else "ok")
            stage.restart()
            assert picture(stage) == finished
            check_whole(stage)


@some_writes("coupon", "generated_code", "end_of_a_coupon")
def test_an_assistant_that_repeats_without_a_key_later_is_told_of_what_the_sweep_has_finished(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    """Once: when it has been told, the same request is a new wish."""
    wanted = write.wanted(stage, key=None)
    assert reply_of(nursery, stage, wanted).code == "ok"
    finished = picture(stage)

    for boundary in deaths(nursery, stage, requests(wanted), which=partial(is_pending, stage, write, None)):
        with subtests.test(boundary):
            stage.restart()
            told = repeat(stage, wanted, PAST_EVERY_LEASE)
            assert told.code == "ok"
            assert picture(stage) == finished
            check_whole(stage)
            new = repeat(stage, wanted, PAST_EVERY_LEASE)
            assert new.code == (write.when_done or "ok")
            assert new.body is None or told.body is None or new.body["id"] != told.body["id"]
            check_whole(stage)


@some_writes("coupon", "generated_code")
def test_a_wish_is_new_when_the_one_before_was_answered_to_its_key(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    """The server died, the sweep finished, the client came back with its key and was answered; now somebody wants another."""
    keyed, unkeyed = write.wanted(stage), write.wanted(stage, key=None)
    for boundary in deaths(nursery, stage, requests(keyed), which=partial(is_pending, stage, write)):
        with subtests.test(boundary):
            stage.restart()
            told, new = repeat(stage, keyed, PAST_EVERY_LEASE), repeat(stage, unkeyed, PAST_EVERY_LEASE)
            assert told.body is not None
            assert new.body is not None
            assert new.body["id"] != told.body["id"]
            check_whole(stage)


@some_writes("coupon", "generated_code", "end_of_a_code")
def test_a_key_is_answered_even_when_a_request_without_it_finished_what_died(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    """An assistant repeats without the key, and then the client that died comes back with it."""
    keyed, unkeyed = write.wanted(stage), write.wanted(stage, key=None)
    assert reply_of(nursery, stage, keyed).code == "ok"
    finished = picture(stage)

    for boundary in deaths(nursery, stage, requests(keyed), which=partial(is_pending, stage, write)):
        with subtests.test(boundary):
            first = repeat(stage, unkeyed)
            again = repeat(stage, keyed)
            assert (first.code, again.code) == ("ok", "ok")
            assert again.body == first.body
            stage.restart()
            assert picture(stage) == finished
            check_whole(stage)


@some_writes("generated_code", "end_of_a_coupon")
def test_a_sweep_that_dies_anywhere_leaves_its_work_to_the_next(
    nursery: Nursery, stage: Stage, write: Write, subtests: pytest.Subtests
) -> None:
    wanted = write.wanted(stage)
    whole = nursery.live(live_job(stage, requests(wanted)))
    [last] = [number for number, name in enumerate(whole.boundaries) if name.startswith("after") and "/v1/" in name]
    finished = picture(stage)

    def died_before() -> None:
        assert nursery.live(live_job(stage, requests(wanted), die_at=last)).died
        stage.wait_until_alone()

    for boundary in deaths(nursery, stage, sweep, prologue=died_before, later=PAST_EVERY_LEASE):
        with subtests.test(boundary):
            stage.restart(2 * PAST_EVERY_LEASE)
            assert picture(stage) == finished
            check_whole(stage)
            reply = repeat(stage, wanted, 2 * PAST_EVERY_LEASE)
            assert (reply.code, reply.replayed) == ("ok", True)


def test_events_whose_worker_died_anywhere_are_each_counted_once(
    nursery: Nursery, small_shop: Stage, subtests: pytest.Subtests
) -> None:
    waiting = picture(small_shop)["inbox"]
    assert nursery.live(live_job(small_shop, work_off_by_threes)).error is None
    finished = picture(small_shop)
    assert finished["inbox"] == {"done": waiting["pending"]}
    assert len(finished["conversions"]) == 3
    assert finished["balances"] == {("Sarah Lee", "USD"): 800 + 1920 - 480 + 480}

    for boundary in deaths(nursery, small_shop, work_off_by_threes):
        with subtests.test(boundary):
            small_shop.restart()
            assert picture(small_shop) == finished
            check_whole(small_shop)


def handled(stage: Stage) -> Counter[str]:
    """The events in Stripe that we act on."""
    return Counter(event["id"] for event in stage.stripe.events() if event["type"] in HANDLED_EVENTS)


def received(stage: Stage) -> Counter[str]:
    return Counter(row.event_id for row in stage.rows(InboxEventRow))


def test_events_are_received_once_although_the_reader_died_anywhere(
    nursery: Nursery, unread_shop: Stage, subtests: pytest.Subtests
) -> None:
    def polled_before() -> None:
        with unread_shop.writing() as session:
            storage.inbox.set_read_until(session, "self", datetime.now(UTC) - timedelta(hours=2))

    expected = handled(unread_shop)
    for boundary in deaths(nursery, unread_shop, poll, prologue=polled_before):
        with subtests.test(boundary):
            unread_shop.act(poll, OUTAGE)
            assert received(unread_shop) == expected


def test_events_are_received_once_although_the_reader_died_anywhere_the_first_time(
    nursery: Nursery, busy_shop: Stage, subtests: pytest.Subtests
) -> None:
    """What has happened since the server began to look is not lost because it died looking."""
    expected = handled(busy_shop)
    assert len(expected) > 100, "it takes two pages"
    for boundary in deaths(nursery, busy_shop, poll):
        if boundary == "0: before commit":
            continue  # It has not begun.
        with subtests.test(boundary):
            busy_shop.act(poll, OUTAGE)
            assert received(busy_shop) == expected


def test_events_are_received_although_stripe_could_not_be_reached_the_first_time(
    unread_shop: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "ATTEMPTS", 1)
    with pytest.raises(StripeUnavailable):
        unread_shop.act(unreachable(poll))
    unread_shop.act(poll, OUTAGE)
    assert received(unread_shop) == handled(unread_shop)


def forget_events(stage: Stage) -> None:
    with stage.writing() as session:
        session.exec(delete(InboxEventRow))


def test_an_event_whose_delivery_died_anywhere_is_kept_once_when_stripe_delivers_it_again(
    nursery: Nursery, small_shop: Stage, subtests: pytest.Subtests
) -> None:
    events = [event for event in small_shop.stripe.events() if event["type"] in HANDLED_EVENTS][:3]
    expected = Counter(event["id"] for event in events)
    act = partial(deliver, events)
    prologue = partial(forget_events, small_shop)

    for boundary in deaths(nursery, small_shop, act, prologue=prologue):
        with subtests.test(boundary):
            small_shop.act(act)
            assert received(small_shop) == expected
