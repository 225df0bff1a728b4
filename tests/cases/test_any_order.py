"""Webhooks come late, twice, in any order and any company: every case ends in the state of its own order.

`CASE_ORDERS` sets how many orders of each case are tried; the orders of a case are the same in every run.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from rekomi_mcp.domain.errors import CodeAlreadyTaken, NotFound
from tests.cases.case import Case, folders
from tests.cases.conftest import seeded
from tests.cases.play import Play
from tests.cases.server import CaseServer
from tests.cases.state import differences, state_of

pytestmark = pytest.mark.anyio

ORDERS = int(os.environ.get("CASE_ORDERS", "8"))
ALL = [f for f in folders() if len(list((f / "events").iterdir())) > 1]


@dataclass(frozen=True)
class News:
    """A webhook, by the number of its delivery in the case."""

    n: int
    body: bytes
    under_another_id: bool = False

    def __str__(self) -> str:
        return f"{self.n}*" if self.under_another_id else str(self.n)

    def again(self) -> News:
        """The same news of the same object, as a second endpoint or another event type would bring it."""
        event = json.loads(self.body)
        event["id"] += "again"
        return News(self.n, json.dumps(event).encode(), under_another_id=True)


@dataclass(frozen=True)
class Order:
    """One way in which a case's webhooks arrive."""

    batches: list[list[News]]
    """What is delivered before the server works off its inbox each time."""
    late: bool
    """The server is far behind: whatever it asks, Stripe answers with the state at the end."""

    def __str__(self) -> str:
        """`1 3 | 2 2*`: two batches; the second brings the second delivery, and the same news by another event."""
        batches = " | ".join(" ".join(map(str, batch)) for batch in self.batches)
        return f"{batches}{' (late)' if self.late else ''}"


def orders(case: Case, wanted: int) -> list[Order]:
    """Orders of a case, drawn by its name, so that what failed once fails again."""
    dice = random.Random(case.name)
    return [_order(case, dice) for _ in range(wanted)]


def _order(case: Case, dice: random.Random) -> Order:
    news = [News(delivery.n, delivery.body) for delivery in case.deliveries]
    news += [each for each in news if dice.random() < 0.25]
    news += [each.again() for each in news if dice.random() < 0.15]
    dice.shuffle(news)
    batches: list[list[News]] = []
    while news:
        size = dice.randint(1, min(4, len(news)))
        batches.append(news[:size])
        news = news[size:]
    return Order(batches, late=dice.random() < 0.5)


@pytest.mark.parametrize("folder", ALL, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
async def test_every_order_ends_in_the_same_state(server: CaseServer, folder: Path) -> None:
    case = Case.load(folder)
    play = await seeded(server, case)
    start, began = server.keep(), server.now
    await _play_in_its_own_order(play)
    wanted = state_of(play)
    wrong: list[str] = []
    for order in orders(case, ORDERS):
        server.bring_back(start)
        server.now = began
        await _play(play, order)
        if fault := await _fault(play) or "; ".join(differences(wanted, state_of(play))):
            wrong.append(f"{order}: {fault}")
    start.close()
    if wrong:
        pytest.fail(f"{len(wrong)} of {ORDERS} orders end otherwise:\n" + "\n".join(wrong), pytrace=False)


async def _play_in_its_own_order(play: Play) -> None:
    for delivery in play.case.deliveries:
        play.api.delivering(delivery.n)
        await play.deliver(delivery.body)
        await play.adopt(after=delivery.n)
    await play.server.settle()


async def _play(play: Play, order: Order) -> None:
    told, now = 0, 0
    later = sorted({code.adopt_after for code in play.case.seeds.codes} - {0})
    for batch in order.batches:
        now = max(now, *(json.loads(news.body)["created"] for news in batch))
        play.api.as_of(play.end if order.late else now)
        await play.deliver(*(news.body for news in batch))
        told += len(batch)
        later = [after for after in later if after > told or not await _adopted(play, after)]
    play.api.as_of(play.end)
    await play.server.settle()
    assert not later
    if _adopts_later(play.case):
        # The code can only be adopted once its text is free again: by then it may have sold already.
        await play.repair()


def _adopts_later(case: Case) -> bool:
    return any(code.adopt_after for code in case.seeds.codes)


async def _adopted(play: Play, after: int) -> bool:
    """Whether the codes could be adopted: not before the server has heard that their text is free again."""
    try:
        await play.adopt(after)
    except (CodeAlreadyTaken, NotFound):
        return False
    return True


async def _fault(play: Play) -> str | None:
    """What is not as the case says it must be."""
    expected, outcome = play.case.expected, await play.outcome()
    if _nonzero(outcome.final) != _nonzero(expected.final_net):
        return f"{outcome.final} instead of {expected.final_net}"
    if outcome.balances != _nonzero(outcome.final):
        return f"the ledger holds {outcome.balances}, the sales {outcome.final}"
    if len(outcome.conversions) != len(expected.conversions):
        return f"{len(outcome.conversions)} conversions instead of {len(expected.conversions)}"
    dead = {
        row["promotion_code"] for row in expected.codes if outcome.codes[row["promotion_code"]] is not row["active"]
    }
    return f"codes are not as they must be: {dead}" if dead else None


def _nonzero(sums: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: value for key, value in sums.items() if value}
