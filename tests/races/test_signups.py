"""Signups of one address that are recorded and that a sale makes: whichever comes first, both are kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import Referral, SubscriptionStarted
from rekomi_mcp.storage.tables import LeadRow
from tests.races.test_reordering import day, promotion_codes
from tests.races.test_told_in_parts import KIM, tell
from tests.support.acts import Wanted, requests
from tests.support.interruptions import interruptions
from tests.support.pictures import check_whole
from tests.support.stage import Stage
from tests.support.world import sale, sell

ADDRESS = "kim@example.com"
FREE: dict[str, Any] = {"net": 0, "gross": 0, "customer_email": ADDRESS}


@pytest.fixture
def duo(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """Sarah and Tom, each with a code."""
    return stages(database, "two codes")


def record(stage: Stage, affiliate: str, **more: Any) -> Wanted:
    return Wanted(stage.cast.organization, "record_lead", {"affiliateId": affiliate, "email": ADDRESS, **more})


def in_the_browser(stage: Stage, affiliate: str) -> Wanted:
    signup = {"affiliateId": affiliate, "linkId": "link", "email": ADDRESS, "name": "A stranger"}
    return Wanted(stage.cast.organization, "record_signup", signup)


def signups(stage: Stage) -> set[tuple[str, str, bool, datetime | None]]:
    """Whose they are, who told of them, whether the recording is timed by our clock, and when a sale was one."""
    return {(row.affiliate_id, row.source, row.created_at != day(1), row.free_sale_at) for row in stage.rows(LeadRow)}


@pytest.mark.parametrize("sale_first", [True, False])
@pytest.mark.parametrize("source", ["Api", "Browser"])
def test_a_recorded_signup_stays_when_the_sale_that_was_one_too_is_anothers_after_all(
    duo: Stage,
    sale_first: bool,
    source: str,
) -> None:
    sarah, tom = promotion_codes(duo)
    cast = duo.cast
    recording = requests((record if source == "Api" else in_the_browser)(duo, cast.tom))
    if not sale_first:
        duo.act(recording)
    tell(duo, sale("in_free", at=day(1), codes=(tom,), **FREE, **KIM))
    if sale_first:
        duo.act(recording)
    assert signups(duo) == {(cast.tom, source, True, day(1))}
    tell(duo, SubscriptionStarted("sub_kim", "cus_kim", "begun", day(0), (sarah,), told_at=day(0)))
    assert signups(duo) == {(cast.tom, source, True, None), (cast.sarah, "Stripe", False, day(1))}


@pytest.mark.parametrize("is_first", [True, False], ids=["the recording first", "the sale first"])
def test_a_signup_that_is_recorded_at_the_moment_of_its_sale_keeps_both(
    stage: Stage, is_first: bool, subtests: pytest.Subtests
) -> None:
    """Wherever the one comes between the statements of the other: the sale's time is in the signup's one row."""
    cast = stage.cast
    named = Referral(affiliate_id=cast.sarah)
    free = sale("in_free", at=day(1), referral=named, event_id="evt_free", **FREE)

    async def sold(app: App) -> None:
        await sell(app, cast.organization, free)

    acts = [requests(record(stage, cast.sarah, externalEventId="signup-1")), sold]
    for run in interruptions(stage, *(acts if is_first else acts[::-1])):
        with subtests.test(run.boundary):
            run.check()
            assert signups(stage) == {(cast.sarah, "Api", True, day(1))}
            assert [row.external_event_id for row in stage.rows(LeadRow)] == ["signup-1"]
            check_whole(stage)
