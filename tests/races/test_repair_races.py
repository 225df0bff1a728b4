"""A repair that dies anywhere and is made again, or is made by several at once, ends in the same books."""

from __future__ import annotations

from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.storage.tables import LedgerEntryRow
from tests.support.acts import Wanted, crowd, deaths, in_one_and_several, live_job, requests
from tests.support.callers import Reply
from tests.support.deaths import Nursery
from tests.support.pictures import check_whole, done, picture
from tests.support.stage import Stage

CROWD = 6


def wanted(stage: Stage, token: str | None = None, key: str | None = None) -> Wanted:
    arguments = {"confirm": token} if token is not None else {}
    return Wanted(stage.cast.organization, "repair_missed_sales", arguments, key)


def ask(stage: Stage, request: Wanted) -> Reply:
    [reply] = stage.act(requests(request))
    assert reply.body is not None, reply.code
    return reply


def plan(stage: Stage) -> str:
    """The token of what there is to repair; it is the same as long as that is."""
    body = ask(stage, wanted(stage)).body
    assert body is not None
    assert {kind: number for kind, number in body["counts"].items() if number} == {
        "missing": 2,
        "wrongAmount": 1,
        "doubled": 1,
    }
    return body["confirm"]


def plan_now(stage: Stage) -> str | None:
    """The token of what is left to repair; None when nothing is."""
    body = ask(stage, wanted(stage)).body
    assert body is not None
    return body["confirm"]


async def read_and_work_off(app: App) -> None:
    await app.poller.poll()
    await app.inbox.work_off()


def repaired(stage: Stage, token: str) -> dict[str, Any]:
    """What one undisturbed repair leaves; the stage is as before."""
    before = {row.id for row in stage.rows(LedgerEntryRow)}
    assert picture(stage)["balances"] == {("Sarah Lee", "USD"): 10_000 + 1_600 + 1_600}
    body = ask(stage, wanted(stage, token)).body
    assert body is not None
    assert body["repaired"] is True
    assert before < {row.id for row in stage.rows(LedgerEntryRow)}
    check_whole(stage)
    finished = picture(stage)
    # 20 % of 96.00 less a quarter, of 40.00, of 80.00 less a half, and once of what was credited twice.
    assert finished["balances"] == {("Sarah Lee", "USD"): 1_440 + 800 + 800 + 1_600}
    stage.restore()
    return finished


@pytest.mark.parametrize("key", [None, "friday"], ids=["without_a_key", "with_a_key"])
def test_a_repair_that_died_anywhere_is_made_once_by_the_next(
    nursery: Nursery, other_books: Stage, key: str | None, subtests: pytest.Subtests
) -> None:
    """At any commit and at any request to Stripe; until its one commit nothing is changed at all."""
    token, untouched = plan(other_books), picture(other_books)
    finished = repaired(other_books, token)
    request = wanted(other_books, token, key)
    for boundary in deaths(nursery, other_books, requests(request)):
        with subtests.test(boundary):
            assert picture(other_books) in (untouched, finished)
            other_books.restart()
            reply = ask(other_books, request)
            assert reply.body is not None
            assert reply.body["repaired"] is (key is not None or not _was_done(boundary))
            assert picture(other_books) == finished
            check_whole(other_books)


def _was_done(boundary: str) -> bool:
    return "after commit" in boundary


@in_one_and_several
def test_of_several_repairs_at_once_one_repairs_and_the_others_find_nothing(
    nursery: Nursery, other_books: Stage, processes: int
) -> None:
    token = plan(other_books)
    finished = repaired(other_books, token)
    replies = crowd(nursery, other_books, [wanted(other_books, token)] * CROWD, processes)
    bodies = [reply.body for reply in replies if reply.body is not None]
    assert [reply.code for reply in replies] == ["ok"] * CROWD
    assert sorted(body["repaired"] for body in bodies) == [False] * (CROWD - 1) + [True]
    assert picture(other_books) == finished
    assert done(other_books, "tracking.repaired") == 1
    check_whole(other_books)


def test_a_repair_while_the_same_news_arrives_counts_nothing_twice(nursery: Nursery, other_books: Stage) -> None:
    """The server is back and reads what it missed while somebody repairs: whichever is first, the books are the same."""
    token = plan(other_books)
    finished = repaired(other_books, token)
    jobs = [live_job(other_books, requests(wanted(other_books, token))), live_job(other_books, read_and_work_off)]
    lives = nursery.live_together(jobs)
    assert [life.error for life in lives] == [None, None]
    [reply] = lives[0].value
    assert reply.code in ("ok", "conflict"), "a plan that the news has overtaken is refused"
    if reply.code == "conflict":
        ask(other_books, wanted(other_books, plan_now(other_books)))
    now = picture(other_books)
    same = ("sales", "conversions", "balances", "bound")
    assert {part: now[part] for part in same} == {part: finished[part] for part in same}
    check_whole(other_books)
