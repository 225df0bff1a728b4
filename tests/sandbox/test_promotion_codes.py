"""Promotion codes: the rules of their texts and when they can be used."""

from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.errors import ApiError
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


def param_of(error: Any) -> str | None:
    """The parameter at fault: the stripe package has it without a type."""
    return error.param


FIVE_YEARS = 5 * 365 * 24 * 3600


async def new_coupon(client: StripeClient, **terms: Any) -> str:
    defaults: JsonObject = {"percent_off": 20, "duration": "once"}
    return (await client.v1.coupons.create_async({**defaults, **terms})).id  # pyright: ignore[reportArgumentType]


async def new_code(client: StripeClient, coupon: str, code: str | None = None, **rest: Any) -> stripe.PromotionCode:
    params: Any = {"promotion": {"type": "coupon", "coupon": coupon}, "code": code, **rest}
    return await client.v1.promotion_codes.create_async(params)


async def test_a_code_is_created_and_read_back(client: StripeClient) -> None:
    coupon = await new_coupon(client)
    made = await new_code(client, coupon, "SARAH20", metadata={"affiliate": "sarah"})
    read = await client.v1.promotion_codes.retrieve_async(made.id)
    assert read.to_dict() == made.to_dict()
    assert read.promotion.to_dict() == {"coupon": coupon, "type": "coupon"}
    assert (read.code, read.active, read.times_redeemed) == ("SARAH20", True, 0)
    assert read.restrictions.first_time_transaction is False


async def test_without_a_text_stripe_makes_one_up(client: StripeClient) -> None:
    made = await new_code(client, await new_coupon(client))
    assert len(made.code) == 8
    assert made.code == made.code.upper()


@pytest.mark.undocumented("coupon: not documented", "promotion: missing")
async def test_the_coupon_of_earlier_versions_is_an_unknown_parameter(client: StripeClient) -> None:
    coupon = await new_coupon(client)
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: coupon") as refusal:
        await client.v1.promotion_codes.create_async({"coupon": coupon})  # pyright: ignore[reportArgumentType]
    assert (refusal.value.code, param_of(refusal.value)) == ("parameter_unknown", "coupon")


@pytest.mark.undocumented("promotion: missing")
async def test_a_code_needs_a_coupon_that_exists(client: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=r"Missing required param: promotion\.") as refusal:
        await client.v1.promotion_codes.create_async({})  # pyright: ignore[reportArgumentType]
    assert refusal.value.code == "parameter_missing"
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon: 'NONE'") as refusal:
        await new_code(client, "NONE")
    assert (refusal.value.http_status, param_of(refusal.value)) == (400, "promotion[coupon]")


async def test_a_text_has_letters_digits_dashes_and_underscores_only(client: StripeClient) -> None:
    coupon = await new_coupon(client)
    for text in ("SARAH 20", "SARAH&CO", "ÄÖÜ", "A.B"):
        with pytest.raises(stripe.InvalidRequestError, match="must match the regex pattern") as refusal:
            await new_code(client, coupon, text)
        assert param_of(refusal.value) == "code"
    await new_code(client, coupon, "Sarah_20-x")


async def test_a_text_is_unique_among_active_codes_without_case(client: StripeClient) -> None:
    coupon = await new_coupon(client)
    first = await new_code(client, coupon, "SARAH20")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await new_code(client, await new_coupon(client), "sarah20")
    assert refusal.value.user_message == "An active promotion code with `code: sarah20` already exists."
    assert (refusal.value.http_status, refusal.value.code) == (400, None)

    await client.v1.promotion_codes.update_async(first.id, {"active": False})
    second = await new_code(client, coupon, "sarah20")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        await client.v1.promotion_codes.update_async(first.id, {"active": True})
    await client.v1.promotion_codes.update_async(second.id, {"active": False})
    assert (await client.v1.promotion_codes.update_async(first.id, {"active": True})).active is True


async def test_two_customers_may_have_the_same_text(client: StripeClient, people: Simulation) -> None:
    coupon = await new_coupon(client)
    kim, lee = [await client.v1.customers.create_async({"email": f"{name}@example.com"}) for name in ("kim", "lee")]
    for_kim = await new_code(client, coupon, "HELLO", customer=kim.id)
    for_lee = await new_code(client, coupon, "HELLO", customer=lee.id)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        await new_code(client, coupon, "hello", customer=lee.id)
    assert people.checkout(amount=1000, code="hello", customer=kim.id)["promotion_code"] == for_kim.id
    assert people.checkout(amount=1000, code="hello", customer=lee.id)["promotion_code"] == for_lee.id
    with pytest.raises(ApiError, match="meant for another customer"):
        people.checkout(amount=1000, code="hello")


async def test_a_codes_limits_stay_within_its_coupons(client: StripeClient, people: Simulation) -> None:
    now = people.clock()["now"]
    coupon = await new_coupon(client, max_redemptions=5, redeem_by=now + 1000)
    for wrong in (
        {"max_redemptions": 6},
        {"expires_at": now + 2000},
        {"expires_at": now - 1},
        {"expires_at": now + FIVE_YEARS + 1000},
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            await new_code(client, coupon, "TOOWIDE", **wrong)
        assert param_of(refusal.value) == next(iter(wrong))
    made = await new_code(client, coupon, "FITS", max_redemptions=5, expires_at=now + 1000)
    assert (made.max_redemptions, made.expires_at) == (5, now + 1000)


@pytest.mark.undocumented("code: not documented")
async def test_only_activity_and_metadata_change(client: StripeClient) -> None:
    code = await new_code(client, await new_coupon(client), "SARAH20", metadata={"a": "1"})
    changed = await client.v1.promotion_codes.update_async(code.id, {"active": False, "metadata": {"b": "2"}})
    assert changed.metadata is not None
    assert (changed.active, changed.metadata.to_dict()) == (False, {"a": "1", "b": "2"})
    [event] = (await client.v1.events.list_async({"type": "promotion_code.updated"})).data
    assert event.data.to_dict()["previous_attributes"] == {"active": True, "metadata": {"b": None}}
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: code"):
        await client.v1.promotion_codes.update_async(code.id, {"code": "NEW"})  # pyright: ignore[reportArgumentType]


async def test_an_update_that_changes_nothing_makes_no_event(client: StripeClient) -> None:
    code = await new_code(client, await new_coupon(client))
    await client.v1.promotion_codes.update_async(code.id, {"active": True})
    assert (await client.v1.events.list_async({"type": "promotion_code.updated"})).data == []


async def test_codes_are_found_by_text_coupon_activity_and_customer(client: StripeClient) -> None:
    ours, other = await new_coupon(client), await new_coupon(client)
    kim = await client.v1.customers.create_async({})
    sarah = await new_code(client, ours, "SARAH20")
    tom = await new_code(client, ours, "TOM20", customer=kim.id)
    ann = await new_code(client, other, "ANN20")
    await client.v1.promotion_codes.update_async(tom.id, {"active": False})

    async def ids(**params: Any) -> list[str]:
        found = await client.v1.promotion_codes.list_async(params)  # pyright: ignore[reportArgumentType]
        return [code.id for code in found.data]

    assert await ids() == [ann.id, tom.id, sarah.id]
    assert await ids(code="sarah20") == [sarah.id]
    assert await ids(coupon=ours) == [tom.id, sarah.id]
    assert await ids(active=True) == [ann.id, sarah.id]
    assert await ids(active=False) == [tom.id]
    assert await ids(customer=kim.id) == [tom.id]
    assert await ids(created={"lt": 1000}) == []


async def test_redemptions_are_counted_and_an_exhausted_code_is_over(client: StripeClient, people: Simulation) -> None:
    coupon = await new_coupon(client)
    code = await new_code(client, coupon, "TWICE", max_redemptions=2)
    people.checkout(amount=1000, code="twice")
    people.checkout(amount=1000, code="TWICE", interval="month")
    used = await client.v1.promotion_codes.retrieve_async(code.id)
    assert (used.times_redeemed, used.active) == (2, False)
    assert (await client.v1.coupons.retrieve_async(coupon)).times_redeemed == 2
    assert (await client.v1.promotion_codes.list_async({"active": True})).data == []
    with pytest.raises(ApiError, match="redeemed as often as it may be"):
        people.checkout(amount=1000, code="TWICE")
    with pytest.raises(stripe.InvalidRequestError, match="no longer valid"):
        await client.v1.promotion_codes.update_async(code.id, {"active": True})
    assert (await new_code(client, coupon, "TWICE")).active is True


async def test_an_exhausted_coupon_ends_all_its_codes(client: StripeClient, people: Simulation) -> None:
    coupon = await new_coupon(client, max_redemptions=1)
    code = await new_code(client, coupon, "FIRST")
    other = await new_code(client, coupon, "SECOND")
    people.checkout(amount=1000, code="FIRST")
    for each in (code, other):
        assert (await client.v1.promotion_codes.retrieve_async(each.id)).active is False
    with pytest.raises(ApiError, match="is used up and cannot be applied"):
        people.checkout(amount=1000, code="SECOND")


async def test_a_code_expires_with_the_sandboxs_clock(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client, await new_coupon(client), "SOON", expires_at=people.clock()["now"] + 60)
    people.advance(seconds=60)
    assert (await client.v1.promotion_codes.retrieve_async(code.id)).active is False
    with pytest.raises(ApiError, match="it has expired"):
        people.checkout(amount=1000, code="SOON")


async def test_a_wrong_or_inactive_code_changes_nothing(client: StripeClient, people: Simulation) -> None:
    code = await new_code(client, await new_coupon(client), "OFF")
    await client.v1.promotion_codes.update_async(code.id, {"active": False})
    before = people.summary()["counts"]
    with pytest.raises(ApiError, match="No such promotion code: 'NOPE'"):
        people.checkout(amount=1000, code="NOPE", email="kim@example.com")
    with pytest.raises(ApiError, match="it is not active"):
        people.checkout(amount=1000, code="off", interval="month")
    assert people.summary()["counts"] == before


async def test_first_time_codes_refuse_a_customer_who_has_paid(client: StripeClient, people: Simulation) -> None:
    coupon = await new_coupon(client)
    await new_code(client, coupon, "WELCOME", restrictions={"first_time_transaction": True})
    customer = await client.v1.customers.create_async({"email": "kim@example.com"})
    first = people.checkout(amount=1000, code="WELCOME", customer=customer.id)
    assert first["amount_discount"] == 200
    with pytest.raises(ApiError, match="the associated customer has prior transactions"):
        people.checkout(amount=1000, code="WELCOME", customer=customer.id)


async def test_a_minimum_amount_is_checked_in_its_currency(client: StripeClient, people: Simulation) -> None:
    rules = {"minimum_amount": 5000, "minimum_amount_currency": "usd"}
    await new_code(client, await new_coupon(client), "BIG", restrictions=rules)
    for amount, currency in ((4999, "usd"), (9000, "eur")):
        with pytest.raises(ApiError, match="does not meet its minimum amount"):
            people.checkout(amount=amount, currency=currency, code="BIG")
    assert people.checkout(amount=5000, code="BIG")["amount_discount"] == 1000


async def test_a_fixed_amount_is_for_its_own_currency(client: StripeClient, people: Simulation) -> None:
    await new_code(client, await new_coupon(client, percent_off=None, amount_off=700, currency="usd"), "SEVEN")
    with pytest.raises(ApiError, match="another currency"):
        people.checkout(amount=1000, currency="eur", code="SEVEN")
    assert people.checkout(amount=1000, code="SEVEN")["amount_total"] == 300
    assert people.checkout(amount=500, code="SEVEN")["amount_total"] == 0
