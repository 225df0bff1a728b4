"""The same write from many callers at once: one effect and equal answers; and what is unique stays so, without an accident."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from rekomi_mcp.domain.errors import (
    AffiliateAlreadyExists,
    IdempotencyConflict,
    Refusal,
    SlugAlreadyTaken,
    StatusConflict,
)
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, ProgramRow
from tests.support.acts import Wanted, crowd, in_one_and_several, requests
from tests.support.deaths import Nursery
from tests.support.interruptions import desert, interruptions
from tests.support.pictures import check_whole, done
from tests.support.stage import Stage

KEY = "friday"


def affiliate(stage: Stage, name: str = "Kim", key: str | None = KEY, **arguments: Any) -> Wanted:
    """A plain write."""
    given = {"email": "kim@example.com", "fullName": name, **arguments}
    return Wanted(stage.cast.organization, "create_affiliate", given, key)


def coupon(stage: Stage, name: str = "Kim", key: str | None = KEY) -> Wanted:
    """A write to Stripe."""
    return Wanted(stage.cast.organization, "create_campaign_coupon", {"name": name, "discountValue": 15}, key)


plain_and_stripe = pytest.mark.parametrize("write", [affiliate, coupon], ids=["plain", "stripe"])


def made(stage: Stage) -> list[str]:
    """The names of the affiliates and coupons that the cast did not bring."""
    names = [row.full_name for row in stage.rows(AffiliateRow)] + [row.name for row in stage.rows(CampaignCouponRow)]
    return [name for name in names if name not in ("Sarah Lee", "Tom Ray", "20 off")]


@in_one_and_several
@plain_and_stripe
def test_one_key_from_many_callers_has_one_effect_and_one_answer(
    nursery: Nursery, stage: Stage, write: Any, processes: int
) -> None:
    replies = crowd(nursery, stage, [write(stage)] * 9, processes)
    assert [reply.code for reply in replies] == ["ok"] * 9
    assert all(reply.body == replies[0].body for reply in replies)
    assert made(stage) == ["Kim"]
    assert done(stage, "affiliate.created") + done(stage, "campaign_coupon.created") == 4  # three of the cast
    check_whole(stage)


@plain_and_stripe
def test_one_key_from_two_callers_has_one_effect_and_one_answer_whoever_comes_between(
    stage: Stage, write: Any, subtests: pytest.Subtests
) -> None:
    act = requests(write(stage))
    for run in interruptions(stage, act, act):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert (one.code, other.code) == ("ok", "ok")
            assert one.body == other.body
            assert made(stage) == ["Kim"]
            check_whole(stage)


def test_two_repetitions_of_what_died_have_one_effect_and_one_answer(stage: Stage, subtests: pytest.Subtests) -> None:
    act = requests(coupon(stage))
    for run in interruptions(stage, act, act, prologue=partial(desert, stage, act, "after POST")):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert (one.code, other.code) == ("ok", "ok")
            assert one.body == other.body
            assert made(stage) == ["Kim"]
            assert done(stage, "campaign_coupon.created") == 2  # with the cast's
            check_whole(stage)


@in_one_and_several
@plain_and_stripe
def test_one_key_with_different_arguments_at_once_is_one_success_and_conflicts(
    nursery: Nursery, stage: Stage, write: Any, processes: int
) -> None:
    names = ["Kim", "Lou", "Max"] * 3
    replies = crowd(nursery, stage, [write(stage, name) for name in names], processes)
    [winner] = made(stage)
    by_name = Counter((reply.code, name == winner) for reply, name in zip(replies, names, strict=True))
    assert by_name == {("ok", True): 3, (IdempotencyConflict.code, False): 6}
    check_whole(stage)


@plain_and_stripe
def test_one_key_with_different_arguments_is_one_success_whoever_comes_between(
    stage: Stage, write: Any, subtests: pytest.Subtests
) -> None:
    for run in interruptions(stage, requests(write(stage, "Kim")), requests(write(stage, "Lou"))):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert sorted([one.code, other.code]) == [IdempotencyConflict.code, "ok"]
            assert made(stage) == ["Kim" if one.code == "ok" else "Lou"]
            check_whole(stage)


def program(stage: Stage, number: int) -> Wanted:
    terms = {"name": f"Friends {number}", "slug": "friends", "defaultCommissionType": "Percentage"}
    return Wanted(stage.cast.organization, "create_program", {**terms, "defaultCommissionValue": 10})


def namesake(stage: Stage, number: int) -> Wanted:
    """Another affiliate with the same address, whatever its case."""
    email = "kim@example.com" if number % 2 else "Kim@Example.com"
    return affiliate(stage, f"Kim {number}", key=None, email=email)


UNIQUE = {"slug": (program, SlugAlreadyTaken), "email": (namesake, AffiliateAlreadyExists)}
every_unique = pytest.mark.parametrize(("write", "refusal"), UNIQUE.values(), ids=UNIQUE)


@in_one_and_several
@every_unique
def test_what_is_unique_goes_to_one_of_many_and_the_others_are_told(
    nursery: Nursery, stage: Stage, write: Any, refusal: type[Refusal], processes: int
) -> None:
    assert refusal.status == 409
    replies = crowd(nursery, stage, [write(stage, number) for number in range(9)], processes)
    assert Counter(reply.code for reply in replies) == {"ok": 1, refusal.code: 8}
    assert len(stage.rows(ProgramRow)) + len(stage.rows(AffiliateRow)) == 4  # three of the cast
    check_whole(stage)


@every_unique
def test_what_is_unique_goes_to_one_of_two_whoever_comes_between(
    stage: Stage, write: Any, refusal: type[Refusal], subtests: pytest.Subtests
) -> None:
    for run in interruptions(stage, requests(write(stage, 1)), requests(write(stage, 2))):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert sorted([one.code, other.code]) == sorted([refusal.code, "ok"])
            check_whole(stage)


def test_a_decision_made_twice_at_once_is_made_once(applicants: Stage, subtests: pytest.Subtests) -> None:
    """Who comes second is told so, and does not turn a rejection into an approval."""
    [applicant] = [row.id for row in applicants.rows(AffiliateRow) if row.status == "Pending"]
    wanted = {"affiliateId": applicant}
    approve = Wanted(applicants.cast.organization, "approve_affiliate", wanted)
    reject = Wanted(applicants.cast.organization, "reject_affiliate", wanted)
    for second in (approve, reject):
        for run in interruptions(applicants, requests(approve), requests(second)):
            with subtests.test(f"{second.operation} comes {run.boundary}"):
                [one], [other] = run.first, run.second
                assert sorted([one.code, other.code]) == ["ok", StatusConflict.code]
                assert done(applicants, "affiliate.approved") + done(applicants, "affiliate.rejected") == 1
                check_whole(applicants)


def test_every_change_of_terms_has_a_version_of_its_own(stage: Stage, subtests: pytest.Subtests) -> None:
    """Conversions name the version they were made under, so no two terms may share one."""
    first, second = (
        Wanted(stage.cast.organization, "update_program", {"programId": stage.cast.program, **terms})
        for terms in ({"defaultCommissionValue": 25}, {"recurringMonths": 6})
    )
    for run in interruptions(stage, requests(first), requests(second)):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert one.body is not None
            assert other.body is not None
            assert {one.body["termsVersion"], other.body["termsVersion"]} == {2, 3}
            [row] = stage.rows(ProgramRow)
            assert (row.commission_value, row.recurring_months, row.terms_version) == (2500, 6, 3)
