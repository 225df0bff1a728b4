"""Every case against a real server: webhooks in, in their order, and out come the sales, sums and codes expected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.cases.case import Case, folders
from tests.cases.conftest import seeded
from tests.cases.play import Play
from tests.cases.server import CaseServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("folder", list(folders()), ids=lambda folder: f"{folder.parent.name}-{folder.name}")
async def test_a_case_ends_as_it_must(server: CaseServer, folder: Path) -> None:
    case = Case.load(folder)
    play = await seeded(server, case)
    for delivery in case.deliveries:
        play.api.delivering(delivery.n)
        await play.deliver(delivery.body)
        await play.adopt(after=delivery.n)
        await check_the_checkpoint(play, delivery.n)
    await server.settle()
    await check_the_end(play)


async def check_the_checkpoint(play: Play, n: int) -> None:
    for row in play.case.expected.checkpoints:
        if row["after"] == n:
            wanted = {(each["affiliate"], each["currency"]): each["commission_net"] for each in row["final"]}
            assert (await play.outcome()).final == wanted, f"after {n} deliveries"
            assert await play.held() == sorted(row["held"]), f"after {n} deliveries"


async def check_the_end(play: Play) -> None:
    expected, outcome = play.case.expected, await play.outcome()
    wanted = [
        (r["source_id"], r["affiliate"], r["currency"], r["net_amount"], r["commission"]) for r in expected.conversions
    ]
    assert outcome.conversions == sorted(wanted)
    assert outcome.final == expected.final_net
    assert outcome.balances == {key: value for key, value in expected.final_net.items() if value}, "the ledger agrees"
    for row in expected.codes:
        assert outcome.codes[row["promotion_code"]] is row["active"]
    taken = Counter[str]()
    for row in expected.clawbacks:
        taken[row["source_id"]] += row["amount"]
    for source_id, amount in taken.items():
        assert sum(await play.steps(source_id)) == amount
    for row in expected.flagged:
        reason, claimants = await play.noted_for(row["source_id"])
        assert (reason, row["affiliate"] in claimants) == (row["reason"], True)
