"""Cases of which no webhook came: a repair reads them off Stripe and ends where the webhooks would have."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.cases.case import Case, folders
from tests.cases.conftest import seeded
from tests.cases.play import at
from tests.cases.server import CaseServer
from tests.cases.test_on_the_server import check_the_end

pytestmark = pytest.mark.anyio
STORIES = (
    "upgrade_is_no_renewal",
    "trial_ended_early",
    "free_plan_becomes_a_paid_one",
    "period_begun_after_many_changes",
    "extra_between_two_months",
    "renewal_of_a_subscription_of_before",
    "last_renewal_of_a_subscription_of_before",
)
FOLDERS = [folder for folder in folders() if folder.name.partition("_")[2] in STORIES]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_a_case_that_nothing_was_told_of_is_repaired_to_its_end(server: CaseServer, folder: Path) -> None:
    case = Case.load(folder)
    play = await seeded(server, case)
    told = [delivery.event["created"] for delivery in case.deliveries]
    server.now = max(server.now, at(max(told)))
    play.api.as_of(play.end)
    since = (at(min(told)) - timedelta(days=3)).isoformat()
    plan = await server.do("repair_missed_sales", since=since)
    await server.do("repair_missed_sales", since=since, confirm=plan["confirm"])
    await check_the_end(play)


def test_every_story_that_is_named_here_is_told() -> None:
    assert len(FOLDERS) == len(STORIES)
