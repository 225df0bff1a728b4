"""The inbox: every event once, handed to one worker at a time, in Stripe's order, worked off once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, delete, select

from rekomi_mcp.storage import inbox
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import InboxEventRow, PollCursorRow
from tests.storage.support import at, overlapping, together

NOW, LEASE = at(100), at(110)


@pytest.fixture(autouse=True)
def empty_inbox(store: Store) -> None:
    with store.writing() as session:
        session.exec(delete(InboxEventRow))


def event(event_id: str, account: str = "self", **more: Any) -> dict[str, Any]:
    return {
        "account": account,
        "event_id": event_id,
        "type": "invoice.paid",
        "livemode": False,
        "source": "webhook",
        "payload": "{}",
        "state": inbox.PENDING,
        "attempts": 0,
        "stripe_created": at(0),
        "received_at": at(1),
        "next_attempt_at": at(1),
        **more,
    }


def keep(store: Store, *events: dict[str, Any]) -> int:
    with store.writing() as session:
        return len(inbox.store(session, events))


def take(store: Store, now: datetime = NOW, lease_until: datetime = LEASE, limit: int = 50) -> list[str]:
    with store.writing() as session:
        return [row.event_id for row in inbox.take_due(session, now, lease_until, limit)]


def row(session: Session, event_id: str, account: str = "self") -> InboxEventRow:
    return session.get_one(InboxEventRow, (account, event_id))


def left(store: Store) -> Sequence[str]:
    with store.reading() as session:
        return session.exec(select(InboxEventRow.event_id).order_by(col(InboxEventRow.event_id))).all()


def test_known_events_are_ignored_and_new_ones_counted(store: Store) -> None:
    assert keep(store, event("evt_1"), event("evt_2")) == 2
    assert keep(store, event("evt_2", payload="changed", source="poll"), event("evt_3")) == 1
    assert keep(store, event("evt_3")) == 0
    assert keep(store) == 0
    with store.reading() as session:
        assert row(session, "evt_2").payload == "{}"


def test_an_event_twice_in_one_delivery_is_kept_once(store: Store) -> None:
    assert keep(store, event("evt_1"), event("evt_1")) == 1


def test_the_same_event_of_two_accounts_is_two_events(store: Store) -> None:
    assert keep(store, event("evt_1"), event("evt_1", account="acct_1")) == 2


def test_a_whole_page_of_events_is_kept_in_one_go(store: Store) -> None:
    assert keep(store, *(event(f"evt_{number}") for number in range(500))) == 500


def test_known_events_that_were_worked_off_are_not_brought_back(store: Store) -> None:
    keep(store, event("evt_1"))
    with store.writing() as session:
        inbox.finish(session, "self", ["evt_1"], NOW)
    assert keep(store, event("evt_1")) == 0
    assert take(store) == []


def test_webhook_and_poller_at_the_same_moment_keep_each_event_once(store: Store) -> None:
    counts = together(6, lambda _: keep(store, *(event(f"evt_{number}") for number in range(20))))
    assert sum(counts) == 20


def test_events_are_taken_in_stripes_order(store: Store) -> None:
    keep(
        store,
        event("evt_b", stripe_created=at(0, microseconds=2)),
        event("evt_a", stripe_created=at(0, microseconds=2)),
        event("evt_z", stripe_created=at(0, microseconds=1)),
        event("evt_first", stripe_created=at(9), next_attempt_at=at(0)),
    )
    assert take(store) == ["evt_first", "evt_z", "evt_a", "evt_b"]


def test_only_events_that_wait_and_are_due_are_taken(store: Store) -> None:
    keep(
        store,
        event("evt_now", next_attempt_at=NOW),
        event("evt_later", next_attempt_at=at(100, microseconds=1)),
        event("evt_done", state=inbox.DONE),
        event("evt_ignored", state=inbox.IGNORED),
        event("evt_failed", state=inbox.FAILED),
    )
    assert take(store) == ["evt_now"]


def test_a_taken_event_is_hidden_until_its_lease_ends(store: Store) -> None:
    keep(store, event("evt_1"))
    assert take(store, NOW, lease_until=LEASE) == ["evt_1"]
    assert take(store, at(109)) == []
    assert take(store, at(110), lease_until=at(120)) == ["evt_1"]
    with store.reading() as session:
        assert row(session, "evt_1").attempts == 2


def test_a_batch_is_no_larger_than_asked_for(store: Store) -> None:
    keep(store, *(event(f"evt_{number}") for number in range(5)))
    assert [take(store, limit=2) for _ in range(4)] == [["evt_0", "evt_1"], ["evt_2", "evt_3"], ["evt_4"], []]


def test_workers_at_the_same_moment_share_the_events(store: Store) -> None:
    keep(store, *(event(f"evt_{number:02}") for number in range(40)))
    taken = [event_id for batch in together(5, lambda _: take(store, limit=8)) for event_id in batch]
    assert len(set(taken)) == len(taken)
    assert len(taken) + len(take(store)) == 40


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_worker_does_not_wait_for_another_that_is_still_taking(store: Store) -> None:
    keep(store, *(event(f"evt_{number}") for number in range(4)))
    with store.writing() as one, store.writing() as other:
        other.connection().execute(text("SET LOCAL lock_timeout = '2s'"))
        first = [row.event_id for row in inbox.take_due(one, NOW, LEASE, limit=2)]
        one.flush()
        second = [row.event_id for row in inbox.take_due(other, NOW, LEASE, limit=4)]
    assert (first, second) == (["evt_0", "evt_1"], ["evt_2", "evt_3"])


def test_finishing_claims_each_event_once(store: Store) -> None:
    keep(store, event("evt_1"), event("evt_2"), event("evt_3", account="acct_1"))
    with store.writing() as session:
        assert inbox.finish(session, "self", ["evt_1", "evt_3"], NOW) == {"evt_1"}
        assert inbox.finish(session, "self", ["evt_1", "evt_2"], NOW) == {"evt_2"}
        assert inbox.finish(session, "self", ["evt_1", "evt_2"], NOW) == set()
    with store.reading() as session:
        found = row(session, "evt_1")
        assert (found.state, found.processed_at, found.note) == (inbox.DONE, NOW, None)
        assert row(session, "evt_3", "acct_1").state == inbox.PENDING


def test_of_workers_that_finish_the_same_event_one_is_told_it_was_theirs(store: Store) -> None:
    keep(store, event("evt_1"))

    def finish(_: int) -> set[str]:
        with store.writing() as session:
            return inbox.finish(session, "self", ["evt_1"], NOW)

    assert sorted(map(len, together(5, finish))) == [0, 0, 0, 0, 1]


def test_a_finish_that_is_rolled_back_leaves_the_event_waiting(store: Store) -> None:
    keep(store, event("evt_1"))
    with store.writing() as session:
        inbox.finish(session, "self", ["evt_1"], NOW)
        session.rollback()
    assert take(store) == ["evt_1"]


def test_setting_aside_keeps_the_reason_and_spares_what_is_done(store: Store) -> None:
    keep(store, event("evt_1"), event("evt_2"), event("evt_3"), event("evt_1", account="acct_1"))
    with store.writing() as session:
        inbox.finish(session, "self", ["evt_2"], NOW)
        inbox.set_aside(session, "self", ["evt_1", "evt_2"], inbox.FAILED, "x" * 600, NOW)
    with store.reading() as session:
        found = row(session, "evt_1")
        assert (found.state, found.note, found.processed_at) == (inbox.FAILED, "x" * 500, NOW)
        assert row(session, "evt_2").state == inbox.DONE
        assert row(session, "evt_3").state == inbox.PENDING
        assert row(session, "evt_1", "acct_1").state == inbox.PENDING


def test_a_postponed_event_waits_with_its_reason(store: Store) -> None:
    keep(store, event("evt_1"), event("evt_2", state=inbox.DONE))
    with store.writing() as session:
        inbox.postpone(session, ("self", "evt_1"), at(200), "Stripe was away")
        inbox.postpone(session, ("self", "evt_2"), at(200), "Stripe was away")
    assert take(store, at(199)) == []
    assert take(store, at(200)) == ["evt_1"]
    with store.reading() as session:
        assert row(session, "evt_1").note == "Stripe was away"
        assert row(session, "evt_2").note is None


def test_purging_drops_old_events_that_are_settled_and_keeps_the_rest(store: Store) -> None:
    states = {"done": inbox.DONE, "ignored": inbox.IGNORED, "failed": inbox.FAILED, "pending": inbox.PENDING}
    keep(store, *(event(f"old_{name}", state=state, received_at=at(1)) for name, state in states.items()))
    keep(store, event("new_done", state=inbox.DONE, received_at=at(2)))
    with store.writing() as session:
        assert inbox.purge(session, at(2)) == 2
    assert left(store) == ["new_done", "old_failed", "old_pending"]


def test_the_poll_cursor_begins_at_the_first_reading_and_only_moves_forward(store: Store) -> None:
    with store.writing() as session:
        assert inbox.begin_reading(session, "self", at(3)) == at(3)
    for minute, expected in ((5, 5), (9, 9), (7, 9)):
        with store.writing() as session:
            inbox.set_read_until(session, "self", at(minute))
        assert cursors(store) == {"self": at(expected)}
    with store.writing() as session:
        assert inbox.begin_reading(session, "self", at(20)) == at(9)
        assert inbox.begin_reading(session, "acct_1", at(20)) == at(20)


def cursors(store: Store) -> dict[str, datetime]:
    with store.reading() as session:
        return {row.account: row.read_until for row in session.exec(select(PollCursorRow))}


def test_two_pollers_that_finish_their_first_reading_together_both_succeed(store: Store) -> None:
    overlapping(
        store,
        lambda session: inbox.set_read_until(session, "self", at(5)),
        lambda session: inbox.set_read_until(session, "self", at(9)),
    )
    assert cursors(store) == {"self": at(9)}


@pytest.mark.parametrize(
    ("compared", "left"),
    [
        ((10, 20), None),
        ((0, 99), None),
        ((0, 15), (15, 20)),
        ((15, 99), (10, 15)),
        ((12, 15), (10, 20)),
        ((0, 5), (10, 20)),
        ((30, 40), (10, 20)),
        ((0, 10), (10, 20)),
        ((20, 40), (10, 20)),
    ],
)
def test_what_was_compared_goes_off_the_ends_of_what_was_lost(
    store: Store, compared: tuple[int, int], left: tuple[int, int] | None
) -> None:
    with store.writing() as session:
        inbox.set_read_until(session, "acct_gap", at(50), inbox.Span(at(10), at(20)))
    with store.writing() as session:
        changed = inbox.note_compared(session, "acct_gap", inbox.Span(at(compared[0]), at(compared[1])))
        assert not inbox.note_compared(session, "acct_other", inbox.Span(at(0), at(99)))
    with store.reading() as session:
        found = inbox.lost(session, "acct_gap")
        assert inbox.read_until(session, "acct_gap") == at(50)
    assert found == (left and inbox.Span(at(left[0]), at(left[1])))
    assert changed is (left != (10, 20))
