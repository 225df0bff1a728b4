"""Codes and coupons at the same moment: one text has one owner, one request one effect, and the two sides always agree.

Crowds show that nothing breaks when many come at once. Interruptions show every order of two: the one runs whole at each
boundary of the other.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from rekomi_mcp.gateways import stripe as gateway
from rekomi_mcp.storage.tables import AffiliateCodeRow, CampaignCouponRow, OutboundCallRow
from tests.support.acts import Wanted, crowd, in_one_and_several, live_job, requests, sweep
from tests.support.callers import Reply
from tests.support.deaths import Nursery
from tests.support.interruptions import desert, deserting, interruptions, unreachable
from tests.support.pictures import check_whole, done
from tests.support.stage import PAST_EVERY_LEASE, Stage

SWEEPERS = 3


def mint(stage: Stage, affiliate: str, key: str | None = None, **arguments: Any) -> Wanted:
    return Wanted(stage.cast.organization, "mint_affiliate_code", {"affiliateId": affiliate, **arguments}, key)


def archive(stage: Stage) -> Wanted:
    return Wanted(stage.cast.organization, "archive_campaign_coupon", {"couponId": stage.cast.coupon})


def deactivate(stage: Stage) -> Wanted:
    return Wanted(stage.cast.organization, "deactivate_affiliate_code", {"codeId": stage.cast.code})


def codes_in_stripe(stage: Stage, text: str) -> list[dict[str, Any]]:
    return [each for each in stage.stripe.promotion_codes() if each["code"] == text]


@in_one_and_several
def test_one_text_wanted_by_many_goes_to_one_of_them(nursery: Nursery, stage: Stage, processes: int) -> None:
    """Two affiliates; who repeats the winner's request while it is under way is told of the same code."""
    people = [stage.cast.sarah, stage.cast.tom]
    wanted = [mint(stage, people[number % 2], code="SUMMER") for number in range(12)]
    replies = crowd(nursery, stage, wanted, processes)
    assert {reply.code for reply in replies} == {"ok", "code_already_taken"}
    [winner] = {(reply.body["id"], reply.body["affiliateId"]) for reply in replies if reply.body is not None}
    [code] = [row for row in stage.rows(AffiliateCodeRow) if row.code == "SUMMER"]
    assert (code.id, code.affiliate_id) == winner
    assert len(codes_in_stripe(stage, "SUMMER")) == 1
    assert done(stage, "affiliate_code.minted") == 2  # with SARAH20
    check_whole(stage)


@in_one_and_several
def test_codes_generated_at_the_same_moment_are_all_made_with_texts_of_their_own(
    nursery: Nursery, stage: Stage, processes: int
) -> None:
    """Different keys are different wishes, however alike."""
    wanted = [mint(stage, stage.cast.tom, key=f"wish {number}") for number in range(9)]
    replies = crowd(nursery, stage, wanted, processes)
    assert [reply.code for reply in replies] == ["ok"] * 9
    texts = {reply.body["code"] for reply in replies if reply.body is not None}
    assert len(texts) == 9
    assert all(len(codes_in_stripe(stage, text)) == 1 for text in texts)
    check_whole(stage)


@in_one_and_several
def test_codes_generated_at_the_same_moment_without_a_key_are_all_answered_with_a_code_that_works(
    nursery: Nursery, stage: Stage, processes: int
) -> None:
    """A repetition cannot be told from a second wish, so how many codes there are is open; that each works is not."""
    wanted = [mint(stage, stage.cast.tom) for _ in range(9)]
    replies = crowd(nursery, stage, wanted, processes)
    assert [reply.code for reply in replies] == ["ok"] * 9
    answered = {reply.body["code"] for reply in replies if reply.body is not None}
    here = {row.code for row in stage.rows(AffiliateCodeRow) if row.affiliate_id == stage.cast.tom}
    assert answered == here
    assert done(stage, "affiliate_code.minted") == 1 + len(here)
    check_whole(stage)


@in_one_and_several
def test_affiliates_of_one_name_get_generated_codes_at_the_same_moment(
    nursery: Nursery, stage: Stage, processes: int
) -> None:
    namesakes = [
        Wanted(stage.cast.organization, "create_affiliate", {"email": f"kim-{number}@example.com", "fullName": "Kim"})
        for number in range(6)
    ]
    affiliates = [stage.act(requests(each))[0].body["id"] for each in namesakes]
    replies = crowd(nursery, stage, [mint(stage, affiliate) for affiliate in affiliates], processes)
    assert [reply.code for reply in replies] == ["ok"] * 6
    assert len({reply.body["code"] for reply in replies if reply.body is not None}) == 6
    check_whole(stage)


def test_a_text_is_never_given_twice_whoever_comes_between(stage: Stage, subtests: pytest.Subtests) -> None:
    first, second = mint(stage, stage.cast.sarah, code="SUMMER"), mint(stage, stage.cast.tom, code="SUMMER")
    for run in interruptions(stage, requests(first), requests(second)):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert sorted([one.code, other.code]) == ["code_already_taken", "ok"]
            assert len(codes_in_stripe(stage, "SUMMER")) == 1
            check_whole(stage)


def test_a_code_minted_while_its_coupon_is_archived_never_lives(stage: Stage, subtests: pytest.Subtests) -> None:
    minting, archiving = mint(stage, stage.cast.tom, couponId=stage.cast.coupon, code="TOM20"), archive(stage)
    for first, second in ((minting, archiving), (archiving, minting)):
        for run in interruptions(stage, requests(first), requests(second)):
            with subtests.test(f"{second.operation} comes {run.boundary} of {first.operation}"):
                one, other = (run.first, run.second) if first is minting else (run.second, run.first)
                [minted], [archived] = one, other
                assert archived.code == "ok"
                assert minted.code in ("ok", "coupon_archived", "stripe_refused")
                stage.restart()
                assert [row.code for row in stage.rows(AffiliateCodeRow) if row.status == "Active"] == []
                check_whole(stage)


def test_a_code_ended_twice_at_once_ends_once(stage: Stage, subtests: pytest.Subtests) -> None:
    act = requests(deactivate(stage))
    for run in interruptions(stage, act, act):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert {one.code, other.code} <= {"ok", "status_conflict"}
            assert "ok" in (one.code, other.code)
            assert done(stage, "affiliate_code.deactivated") == 1
            check_whole(stage)


@in_one_and_several
def test_a_code_ended_by_many_at_once_ends_once(nursery: Nursery, stage: Stage, processes: int) -> None:
    replies = crowd(nursery, stage, [deactivate(stage)] * 9, processes)
    assert {reply.code for reply in replies} <= {"ok", "status_conflict"}
    assert done(stage, "affiliate_code.deactivated") == 1
    check_whole(stage)


def test_a_coupon_archived_twice_at_once_is_archived_once(stage: Stage, subtests: pytest.Subtests) -> None:
    act = requests(archive(stage))
    for run in interruptions(stage, act, act):
        with subtests.test(run.boundary):
            [one], [other] = run.first, run.second
            assert {one.code, other.code} <= {"ok", "coupon_archived"}
            assert done(stage, "campaign_coupon.archived") == 1
            check_whole(stage)


def test_a_sweep_and_a_repetition_at_once_finish_one_code(stage: Stage, subtests: pytest.Subtests) -> None:
    """The server died between the steps; the client repeats just when the sweep takes the call up."""
    again = requests(mint(stage, stage.cast.tom, key="friday"))
    died = partial(desert, stage, again, "after POST")
    for run in interruptions(stage, again, sweep, prologue=died, later=PAST_EVERY_LEASE):
        with subtests.test(f"the sweep comes {run.boundary} of the repetition"):
            [reply] = run.first
            check_one_code(stage, reply)
    for run in interruptions(stage, sweep, again, prologue=died, first_later=PAST_EVERY_LEASE):
        with subtests.test(f"the repetition comes {run.boundary} of the sweep"):
            [reply] = run.second
            check_one_code(stage, reply)


def check_one_code(stage: Stage, reply: Reply) -> None:
    """Tom has one code on both sides, made once, and the reply names it."""
    check_whole(stage)
    [code] = [row for row in stage.rows(AffiliateCodeRow) if row.affiliate_id == stage.cast.tom]
    assert reply.code == "ok"
    assert reply.body is not None
    assert (reply.body["id"], reply.body["code"]) == (code.id, code.code)
    assert done(stage, "affiliate_code.minted") == 2  # with SARAH20


def test_many_sweepers_finish_a_call_once(nursery: Nursery, stage: Stage) -> None:
    wanted = [mint(stage, stage.cast.tom, code=f"TOM-{number}") for number in range(6)]
    for each in wanted:
        desert(stage, requests(each), "after POST" if each.arguments["code"] < "TOM-3" else "before POST")
    lives = nursery.live_together([live_job(stage, sweep, PAST_EVERY_LEASE)] * SWEEPERS)
    assert [life.error for life in lives] == [None] * SWEEPERS
    assert sum(life.value for life in lives) == 6
    assert done(stage, "affiliate_code.minted") == 7
    check_whole(stage)


def test_a_call_that_cannot_be_confirmed_yet_does_not_hold_up_the_others(stage: Stage) -> None:
    """Tom's generated code moves on to a text that Sarah's pending code has here; Sarah's finds it taken in Stripe."""
    [coupon] = stage.rows(CampaignCouponRow)
    by_hand = {"promotion[type]": "coupon", "promotion[coupon]": coupon.stripe_coupon_id, "code": "TOM20"}
    stage.stripe.create("promotion_codes", **by_hand)
    desert(stage, requests(mint(stage, stage.cast.tom)), "before POST")
    [call] = [row for row in stage.rows(OutboundCallRow) if row.state == "pending"]
    desert(stage, requests(mint(stage, stage.cast.sarah, code=call.ticket["texts"][1])), "before POST")
    desert(stage, requests(mint(stage, stage.cast.sarah, code="SARAH-3")), "before POST")
    for turn in (1, 2, 3):
        with suppress(Exception):  # as the background does, which logs what a turn raises and goes on
            stage.restart(turn * PAST_EVERY_LEASE)
    check_whole(stage)
    live = {(row.affiliate_id, row.code) for row in stage.rows(AffiliateCodeRow) if row.status == "Active"}
    assert {(stage.cast.sarah, "SARAH20"), (stage.cast.sarah, "SARAH-3")} < live


OTHER_TERMS = {
    "maxRedemptions": {"maxRedemptions": 5},
    "commission": {"customCommissionType": "Percentage", "customCommissionValue": 40},
    "firstOrderOnly": {"firstOrderOnly": True},
}


@pytest.mark.parametrize("terms", OTHER_TERMS.values(), ids=OTHER_TERMS)
@pytest.mark.parametrize("given", [{}, {"code": "TOM-20"}], ids=["generated", "given"])
def test_a_code_that_waits_for_stripe_is_not_the_answer_to_a_wish_for_other_terms(
    stage: Stage, given: dict[str, Any], terms: dict[str, Any]
) -> None:
    """Who wants other terms gets a code on them, or a refusal; never the code that an earlier request left behind."""
    desert(stage, requests(mint(stage, stage.cast.tom, **given)), "before POST")
    [reply] = stage.act(requests(mint(stage, stage.cast.tom, **given, **terms)))
    stage.restart()
    if reply.code == "ok":
        assert reply.body is not None
        assert {name: reply.body[name] for name in terms} == terms
    else:
        assert reply.code in ("code_already_taken", "status_conflict")
    check_whole(stage)


@pytest.mark.parametrize("flag", ["overridesClickAttribution", "allowAffiliateSelfMint"])
def test_a_coupon_that_waits_for_stripe_is_not_the_answer_to_a_wish_for_other_terms(stage: Stage, flag: str) -> None:
    def create(value: bool) -> Wanted:
        arguments = {"name": "Summer", "discountValue": 15, flag: value}
        return Wanted(stage.cast.organization, "create_campaign_coupon", arguments)

    desert(stage, requests(create(True)), "before POST")
    [reply] = stage.act(requests(create(False)))
    assert reply.code == "ok"
    assert reply.body is not None
    assert reply.body[flag] is False


@pytest.mark.parametrize("other_dies", [False, True], ids=["who_lives", "who_dies"])
def test_a_client_that_could_not_reach_stripe_takes_nothing_from_one_that_did(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, other_dies: bool, subtests: pytest.Subtests
) -> None:
    """Two ask for the same code; the first finds Stripe away, and must not give up what the second has made there."""
    monkeypatch.setattr(gateway, "ATTEMPTS", 1)
    wanted = requests(mint(stage, stage.cast.tom, code="TOM20"))
    other = deserting(wanted, "after POST") if other_dies else wanted
    for run in interruptions(stage, unreachable(wanted), other):
        with subtests.test(run.boundary):
            stage.restart()
            here = [row.code for row in stage.rows(AffiliateCodeRow) if row.affiliate_id == stage.cast.tom]
            assert len(here) == len(codes_in_stripe(stage, "TOM20"))
            check_whole(stage)
            if not other_dies:
                [reply] = run.second
                assert (reply.code == "ok") == (here == ["TOM20"])
