"""Stripe is slow or breaks while it acts: what is pending meanwhile, and how it ends well."""

from __future__ import annotations

import pytest

from tests.support.trouble import (
    COUPON,
    Stage,
    Trouble,
    broken,
    broken_after_acting,
    sarah,
    signed,
    slow,
    unknown_outcome,
    with_program,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("trouble", [slow, broken, broken_after_acting], ids=lambda f: f.__name__)
async def test_a_code_whose_outcome_is_unknown_is_pending_until_the_sweep_has_finished_it(
    stage: Stage, trouble: Trouble
) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    reply = await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    assert reply.code == "stripe_timeout"
    assert stage.weather.requests.count("POST /v1/promotion_codes") == 3
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["code"], code["status"], code["stripePromotionCodeId"]) == ("SARAH20", "Pending", None)
    assert await stage.app.pipeline.sweep_outbound() == 0, "the request may still be at work"

    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [made] = stage.in_stripe("promotion_code")
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["status"], code["stripePromotionCodeId"]) == ("Active", made["id"])
    assert await stage.sweep_later() == 0
    repeated = await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    assert (repeated.code, repeated.replayed) == ("ok", True)
    assert repeated.body is not None
    assert repeated.body["id"] == code["id"]
    assert stage.trail()[1:] == [("affiliate_code.minted", "stripe_timeout"), ("affiliate_code.minted", "ok")]


async def test_a_code_that_was_redeemed_before_the_sweep_finished_it_is_credited_with_that(stage: Stage) -> None:
    minting = await sarah(stage)
    broken_after_acting(stage.weather)
    await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    stage.weather.clears_up()
    sold = await stage.shop.sell(5000, interval="month", code="SARAH20")
    renewed = stage.shop.customers.renew(sold["subscription"])
    await stage.shop.catch_up()
    assert await stage.shop.conversions() == []

    assert await stage.sweep_later() == 1
    assert {c["externalEventId"]: c["commissionCents"] for c in await stage.shop.conversions()} == {
        sold["invoice"]: 800,
        renewed["invoice"]: 1000,
    }


async def test_what_a_customer_bought_in_a_trial_before_the_sweep_finished_its_code_is_credited(stage: Stage) -> None:
    minting = await sarah(stage)
    broken_after_acting(stage.weather)
    await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    stage.weather.clears_up()
    begun = await stage.shop.sell(5000, interval="month", code="SARAH20", email="kim@example.com", trial_days=14)
    other = await stage.shop.sell(3000, customer=begun["customer"])
    assert await stage.shop.conversions() == []

    assert await stage.sweep_later() == 1
    first = await stage.shop.renew(begun)
    assert {c["externalEventId"]: c["commissionCents"] for c in await stage.shop.conversions()} == {
        other["session"]: 600,
        first["invoice"]: 800,
    }


@unknown_outcome
async def test_a_sweep_in_bad_weather_leaves_the_call_for_the_next(stage: Stage, trouble: Trouble) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    lines = stage.trail()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert code["status"] == "Pending"
    assert stage.trail() == lines, "nobody asked again"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["status"], len(stage.in_stripe("promotion_code"))) == ("Active", 1)


@unknown_outcome
@pytest.mark.parametrize("key", [None, "friday"], ids=["without-key", "with-key"])
async def test_the_same_request_again_goes_on_with_the_pending_one(
    stage: Stage, trouble: Trouble, key: str | None
) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    first = await stage.ask("mint_affiliate_code", code="SARAH20", key=key, **minting)
    coupon = await stage.ask(
        "create_campaign_coupon",
        key=key,
        **await with_program(stage, "create_campaign_coupon", {**COUPON, "name": "2"}),
    )
    assert (first.code, coupon.code) == ("stripe_timeout", "stripe_timeout")
    stage.weather.clears_up()
    again = await stage.ask("mint_affiliate_code", code="SARAH20", key=key, **minting)
    coupon = await stage.ask(
        "create_campaign_coupon",
        key=key,
        **await with_program(stage, "create_campaign_coupon", {**COUPON, "name": "2"}),
    )
    assert (again.code, coupon.code) == ("ok", "ok")
    assert again.body is not None
    [made] = stage.in_stripe("promotion_code")
    assert again.body["stripePromotionCodeId"] == made["id"]
    assert len(stage.in_stripe("coupon")) == 2
    assert await stage.sweep_later() == 0


@pytest.mark.parametrize("key", [None, "friday"], ids=["without-key", "with-key"])
async def test_a_request_repeated_after_the_sweep_has_finished_it_is_not_done_twice(
    stage: Stage, key: str | None
) -> None:
    """What the assistant is told: when a write timed out, repeat it unchanged, it is not done twice."""
    arguments = {**COUPON, "programId": await stage.shop.open_program()}
    broken_after_acting(stage.weather)
    assert (await stage.ask("create_campaign_coupon", key=key, **arguments)).code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    assert (await stage.ask("create_campaign_coupon", key=key, **arguments)).code == "ok"
    assert len(stage.in_stripe("coupon")) == 1


async def test_a_key_keeps_its_promise_when_the_request_was_finished_without_it(stage: Stage) -> None:
    arguments = {**COUPON, "programId": await stage.shop.open_program()}
    broken_after_acting(stage.weather)
    assert (await stage.ask("create_campaign_coupon", key="friday", **arguments)).code == "stripe_timeout"
    stage.weather.clears_up()
    finished = await stage.ask("create_campaign_coupon", **arguments)
    repeated = await stage.ask("create_campaign_coupon", key="friday", **arguments)
    assert (finished.code, repeated.code) == ("ok", "ok")
    assert repeated.body == finished.body
    assert len(stage.in_stripe("coupon")) == 1


async def test_a_pending_call_that_stripe_refuses_in_the_end_leaves_nothing_behind(stage: Stage) -> None:
    minting = await sarah(stage)
    before = stage.left_behind()
    broken(stage.weather)
    assert (await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)).code == "stripe_timeout"
    stage.weather.status = 400
    assert await stage.sweep_later() == 1
    assert stage.left_behind() == before
    assert stage.trail()[1:] == [
        ("affiliate_code.minted", "stripe_timeout"),
        ("affiliate_code.minted", "stripe_refused"),
    ]
    stage.weather.clears_up()
    assert (await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)).code == "ok"


async def test_a_refused_key_does_not_make_the_server_forget_what_stripe_may_hold(stage: Stage) -> None:
    """The promotion code is live in Stripe: forgotten here, its sales would be credited to nobody."""
    minting = await sarah(stage)
    broken_after_acting(stage.weather)
    assert (await stage.ask("mint_affiliate_code", code="SARAH20", **minting)).code == "stripe_timeout"
    stage.weather.status, stage.weather.acts = 401, False
    await stage.sweep_later()
    stage.weather.clears_up()
    await stage.sweep_later()
    [made] = stage.in_stripe("promotion_code")
    codes = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert [(code["status"], code["stripePromotionCodeId"]) for code in codes] == [("Active", made["id"])]


@unknown_outcome
async def test_an_ending_whose_outcome_is_unknown_is_finished_by_the_sweep(stage: Stage, trouble: Trouble) -> None:
    deal = await signed(stage)
    trouble(stage.weather)
    reply = await stage.ask("deactivate_affiliate_code", affiliateId=deal.affiliate, codeId=deal.code)
    assert reply.code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [made] = stage.in_stripe("promotion_code")
    assert (code["status"], made["active"]) == ("Inactive", False)


@unknown_outcome
async def test_an_archived_coupon_whose_outcome_is_unknown_takes_its_codes_along_in_the_end(
    stage: Stage, trouble: Trouble
) -> None:
    deal = await signed(stage)
    trouble(stage.weather)
    reply = await stage.ask("archive_campaign_coupon", programId=deal.program, couponId=deal.coupon)
    assert reply.code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [coupon] = (await stage.shop.do("list_campaign_coupons", includeArchived=True))["items"]
    assert (code["status"], coupon["status"], stage.in_stripe("coupon")) == ("Inactive", "Archived", [])
