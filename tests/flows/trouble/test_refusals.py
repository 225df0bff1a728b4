"""Stripe is down, cannot be asked or says no: what the caller is told, and that nothing is left behind."""

from __future__ import annotations

import pytest

from rekomi_mcp.gateways.stripe import NewCoupon, NewPromotionCode
from tests.support.shop import JsonObject
from tests.support.trouble import (
    COUPON,
    TIMEOUT_SECONDS,
    Stage,
    sarah,
    signed,
    with_program,
)

pytestmark = pytest.mark.anyio


async def test_a_stripe_that_is_down_is_unavailable_and_nothing_is_left_behind(stage_without_stripe: Stage) -> None:
    stage = stage_without_stripe
    program = await stage.shop.open_program()
    before = stage.left_behind()
    reply = await stage.ask("create_campaign_coupon", programId=program, key="friday", **COUPON)
    assert reply.code == "stripe_unavailable"
    assert stage.left_behind() == before
    again = await stage.ask("create_campaign_coupon", programId=program, key="friday", name="Other", discountValue=5)
    assert again.code == "stripe_unavailable", "the key is free again"
    assert stage.trail() == [("campaign_coupon.created", "stripe_unavailable")] * 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "stripe_unavailable"),
        (401, "stripe_misconfigured"),
        (403, "stripe_misconfigured"),
        (400, "stripe_refused"),
    ],
)
@pytest.mark.parametrize("write", ["create_campaign_coupon", "mint_affiliate_code"])
async def test_a_definite_no_leaves_nothing_behind_and_the_key_can_be_used_again(
    stage: Stage, status: int, code: str, write: str
) -> None:
    minting = await sarah(stage)
    arguments = minting | {"code": "SARAH20"} if write == "mint_affiliate_code" else COUPON
    before, lines = stage.left_behind(), len(stage.trail())
    stage.weather.status = status
    reply = await stage.ask(write, key="friday", **await with_program(stage, write, arguments))
    assert reply.code == code
    assert reply.body is not None
    assert reply.body["message"].endswith(".")
    assert stage.left_behind() == before
    assert [outcome for _, outcome in stage.trail()[lines:]] == [code]
    assert await stage.sweep_later() == 0

    stage.weather.clears_up()
    changed = arguments | ({"code": "SARAH-20"} if write == "mint_affiliate_code" else {"name": "Changed"})
    reply = await stage.ask(write, key="friday", **await with_program(stage, write, changed))
    assert (reply.code, reply.replayed) == ("ok", False)
    kind = "promotion_code" if write == "mint_affiliate_code" else "coupon"
    assert len(stage.in_stripe(kind)) == (1 if kind == "promotion_code" else 2)


async def test_what_stripe_says_to_a_refused_request_reaches_the_caller(stage: Stage) -> None:
    minting = await sarah(stage)
    stage.weather.status, stage.weather.message = 400, "You have too many promotion codes."
    reply = await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    assert reply.code == "stripe_refused"
    assert reply.body is not None
    assert "You have too many promotion codes." in reply.body["message"]


async def test_a_code_text_that_stripe_does_not_take_is_answered_with_one_it_will(stage: Stage) -> None:
    minting = await sarah(stage)
    stage.weather.refused_text = "SARAH_20"
    reply = await stage.ask("mint_affiliate_code", code="sarah_20", **minting)
    assert reply.code == "stripe_refused"
    assert reply.body is not None
    assert reply.body["field"] == "code"
    assert "SARAH-20" in reply.body["message"]
    assert (await stage.shop.do("list_affiliate_codes"))["items"] == []
    assert (await stage.ask("mint_affiliate_code", code="SARAH-20", **minting)).code == "ok"


async def make_outside(stage: Stage, text: str) -> None:
    """Somebody makes a promotion code in Stripe's dashboard."""
    client = await stage.app.stripe.client()
    coupon = await client.v1.coupons.create_async({"percent_off": 50})
    await client.v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": text})


@pytest.mark.parametrize("text", ["SARAH20", "sarah20"])
async def test_a_text_that_is_active_in_stripe_already_is_taken(stage: Stage, text: str) -> None:
    minting = await sarah(stage)
    await make_outside(stage, text)
    before = stage.left_behind()
    reply = await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    assert reply.code == "code_already_taken"
    assert reply.body is not None
    assert reply.body["field"] == "code"
    assert stage.left_behind() == before


async def test_a_generated_text_avoids_what_is_active_in_stripe_already(stage: Stage) -> None:
    minting = await sarah(stage)
    await make_outside(stage, "SARAH20")
    reply = await stage.ask("mint_affiliate_code", **minting)
    assert reply.code == "ok"
    assert reply.body is not None
    assert reply.body["code"].startswith("SARAH20-")
    assert reply.body["status"] == "Active"
    [ours] = [code for code in stage.in_stripe("promotion_code") if code["code"] != "SARAH20"]
    assert (ours["code"], ours["id"]) == (reply.body["code"], reply.body["stripePromotionCodeId"])


@pytest.mark.parametrize(("status", "code"), [(429, "stripe_unavailable"), (401, "stripe_misconfigured")])
async def test_a_code_that_could_not_be_ended_in_stripe_goes_on_here(stage: Stage, status: int, code: str) -> None:
    deal = await signed(stage)
    stage.weather.status = status
    codes = {"affiliateId": deal.affiliate, "codeId": deal.code}
    coupons = {"programId": deal.program, "couponId": deal.coupon}
    assert (await stage.ask("deactivate_affiliate_code", **codes)).code == code
    assert (await stage.ask("archive_campaign_coupon", **coupons)).code == code
    [kept] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [coupon] = (await stage.shop.do("list_campaign_coupons"))["items"]
    assert (kept["status"], coupon["status"]) == ("Active", "Active")
    assert await stage.sweep_later() == 0


async def adoptable(stage: Stage) -> JsonObject:
    """A promotion code of the merchant's, and somebody to adopt it."""
    person = await sarah(stage)
    stripe = stage.app.stripe.account("self")
    await stripe.create_coupon(NewCoupon(id="BLOG", row_id="x", name="Blog", percent_off=10, duration="once"))
    made = await stripe.create_promotion_code(NewPromotionCode(row_id="x", coupon_id="BLOG", code="BLOG10"))
    return {"affiliateId": person["affiliateId"], "promotionCodeId": made}


@pytest.mark.parametrize(
    ("status", "code"), [(429, "stripe_unavailable"), (500, "stripe_unavailable"), (401, "stripe_misconfigured")]
)
async def test_a_stripe_that_cannot_be_asked_leaves_nothing_behind_and_the_key_can_be_used_again(
    stage: Stage, status: int, code: str
) -> None:
    adopting = await adoptable(stage)
    before = stage.left_behind()
    stage.weather.status = status
    assert (await stage.ask("list_adoptable_codes")).code == code
    assert (await stage.ask("adopt_promotion_code", key="friday", **adopting)).code == code
    assert stage.left_behind() == before
    stage.weather.clears_up()
    other = adopting | {"customCommissionType": "Percentage", "customCommissionValue": 30}
    assert (await stage.ask("adopt_promotion_code", key="friday", **other)).code == "ok"
    adopted = [line for line in stage.trail() if line[0] == "affiliate_code.adopted"]
    assert adopted == [("affiliate_code.adopted", code), ("affiliate_code.adopted", "ok")]


async def test_an_answer_that_comes_too_late_is_no_open_question_when_stripe_was_only_asked(stage: Stage) -> None:
    adopting = await adoptable(stage)
    before = stage.left_behind()
    stage.weather.delay_seconds = 2 * TIMEOUT_SECONDS
    assert (await stage.ask("adopt_promotion_code", **adopting)).code == "stripe_unavailable"
    assert stage.left_behind() == before


async def test_a_remembered_answer_needs_no_stripe(stage: Stage) -> None:
    adopting = await adoptable(stage)
    first = await stage.ask("adopt_promotion_code", key="friday", **adopting)
    asked, stage.weather.status = len(stage.weather.requests), 500
    again = await stage.ask("adopt_promotion_code", key="friday", **adopting)
    assert (again.code, again.body, again.replayed) == ("ok", first.body, True)
    assert len(stage.weather.requests) == asked
