"""Cases of which not all webhooks came: a repair reads the rest off Stripe and ends where the webhooks would have."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cases.case import Case, folders
from tests.cases.conftest import seeded
from tests.cases.play import Play, at
from tests.cases.server import CaseServer
from tests.cases.test_on_the_server import check_the_end

pytestmark = pytest.mark.anyio
HALVES = int(os.environ.get("CASE_HALVES", "1"))
CODES_CHANGE = "what becomes of a code in Stripe is no sale; tracking_health compares that"
ADOPTED = "a code is adopted between two deliveries"
LONG = "it is longer than one repair"
OTHERWISE = {
    "promotion_code_deactivated": CODES_CHANGE,
    "text_used_again_by_another_affiliate": ADOPTED,
    "code_switched_off": CODES_CHANGE,
    "code_switched_off_during_a_checkout": CODES_CHANGE,
    "code_switched_on_again": CODES_CHANGE,
    "coupon_deleted": CODES_CHANGE,
    "coupon_deleted_before_the_news_arrives": CODES_CHANGE,
    "two_renewals_earn": LONG,
    "trial_and_two_renewals": LONG,
    "code_adopted_during_a_trial": ADOPTED,
}
"""Cases that a repair alone does not bring to their end, and why."""


def story(folder: Path) -> str:
    return folder.name.partition("_")[2]


FOLDERS = [folder for folder in folders() if story(folder) not in OTHERWISE]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_a_case_that_nothing_was_told_of_is_repaired_to_its_end(server: CaseServer, folder: Path) -> None:
    play = await seeded(server, Case.load(folder))
    await _repair(play)
    await check_the_end(play)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_a_case_that_half_was_told_of_is_repaired_to_its_end(server: CaseServer, folder: Path) -> None:
    """Whichever half, in whichever order."""
    play = await seeded(server, Case.load(folder))
    start, began = server.keep(), server.now
    dice = random.Random(play.case.name)
    for _ in range(HALVES):
        server.bring_back(start)
        server.now = began
        for delivery in dice.sample(play.case.deliveries, len(play.case.deliveries) // 2):
            play.api.as_of(delivery.event["created"])
            await play.deliver(delivery.body)
        await _repair(play)
        await check_the_end(play)
    start.close()


async def _repair(play: Play) -> None:
    told = [delivery.event["created"] for delivery in play.case.deliveries]
    play.server.now = max(play.server.now, at(max(told)))
    play.api.as_of(play.end)
    since = (at(min(told)) - timedelta(days=3)).isoformat()
    plan = await play.server.do("repair_missed_sales", since=since)
    await play.server.do("repair_missed_sales", since=since, confirm=plan["confirm"])


def test_every_case_that_is_left_out_is_there() -> None:
    assert OTHERWISE.keys() <= {story(folder) for folder in folders()}
