"""News of every kind at once: whoever dies over it, and however many bring it and work it off, the books are the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from rekomi_mcp.storage.tables import ConversionRow, InboxEventRow
from tests.support.acts import deaths, deliver, live_job, poll, work_off, work_off_by_tens, work_off_by_threes
from tests.support.deaths import Act, Nursery
from tests.support.news import waiting, withhold
from tests.support.pictures import check_whole, picture
from tests.support.stage import PAST_EVERY_LEASE, Stage

EVERY = 5
"""Of the places between statements only each so-manieth, to be quick: a transaction is whole or not at all."""


def books(stage: Stage) -> dict[str, Any]:
    """Both sides, and what is held. Only the steps may differ: a dispute that is known to be won opens nothing."""
    check_whole(stage)
    now = picture(stage)
    held = sorted((row.sale_id, row.on_hold_minor) for row in stage.rows(ConversionRow) if row.on_hold_minor)
    notes = {row.note for row in stage.rows(InboxEventRow)}
    assert notes == {None}
    return {**now, "done": None, "held": len(held)}


def undisturbed(stage: Stage) -> dict[str, Any]:
    """What it comes to when one worker works off everything at once; the stage is as before."""
    stage.act(work_off)
    finished = books(stage)
    stage.restore()
    return finished


def test_the_news_comes_to_what_it_should(full_inbox: Stage) -> None:
    """In numbers a person can check: 20 % of what was kept, of 80.00 with a code and of 100.00 without one."""
    before = picture(full_inbox)
    assert before["inbox"]["pending"] > 20
    assert before["balances"] == {("Sarah Lee", "USD"): 3 * 1600, ("Tom Ray", "USD"): 1600 + 1600 + 2000}
    now = undisturbed(full_inbox)
    # Of the three disputed sales one is lost. Kim's and Lou's first purchases bring their second ones along: one had
    # been Tom's, one nobody's.
    assert now["balances"]["Sarah Lee", "USD"] == 2 * 1600 + 2 * (1600 + 2000)
    # Kim's code, Max's renewal and his first month less a quarter, and who came by the link.
    assert now["balances"]["Tom Ray", "USD"] == 1600 + 2000 + 1200 + 2000
    assert now["held"] == 1
    assert now["codes"] == [
        ("Sarah Lee", "SARAH20", "Active"),
        *(("Tom Ray", c, "Inactive") for c in ("TOM20", "TOMENDS")),
    ]


def test_a_worker_that_dies_over_the_news_leaves_it_to_the_next(
    nursery: Nursery, full_inbox: Stage, subtests: pytest.Subtests
) -> None:
    """At any commit and at any request to Stripe."""
    finished = undisturbed(full_inbox)
    for boundary in deaths(nursery, full_inbox, work_off_by_tens):
        with subtests.test(boundary):
            full_inbox.restart()
            assert books(full_inbox) == finished


def test_a_worker_that_dies_between_two_statements_leaves_the_news_to_the_next(
    nursery: Nursery, full_inbox: Stage, subtests: pytest.Subtests
) -> None:
    finished = undisturbed(full_inbox)
    for boundary in deaths(nursery, full_inbox, work_off, statements_by=EVERY):
        with subtests.test(boundary):
            full_inbox.restart()
            assert books(full_inbox) == finished


def test_news_that_several_workers_share_comes_to_the_same(nursery: Nursery, full_inbox: Stage) -> None:
    finished = undisturbed(full_inbox)
    lives = nursery.live_together([live_job(full_inbox, work_off_by_threes)] * 2)
    assert [life.error for life in lives] == [None, None]
    assert books(full_inbox) == finished


def test_news_that_is_worked_off_twice_at_once_counts_once(nursery: Nursery, full_inbox: Stage) -> None:
    """The second worker is so late that it takes what the first has just taken."""
    finished = undisturbed(full_inbox)
    jobs = [live_job(full_inbox, work_off_by_tens, late * PAST_EVERY_LEASE) for late in range(2)]
    assert [life.error for life in nursery.live_together(jobs)] == [None, None]
    assert books(full_inbox) == finished


def test_news_that_the_webhook_and_the_poller_bring_at_once_to_a_working_server_counts_once(
    nursery: Nursery, full_inbox: Stage
) -> None:
    finished = undisturbed(full_inbox)
    events = waiting(full_inbox)
    withhold(full_inbox, {event["data"]["object"]["id"] for event in events})
    acts: list[Act] = [poll, partial(deliver, events), partial(deliver, events[::-1]), work_off_by_threes]
    lives = nursery.live_together([live_job(full_inbox, act) for act in acts])
    assert [life.error for life in lives] == [None] * len(acts)
    full_inbox.act(work_off)
    assert books(full_inbox) == finished
