"""Coupons as Stripe has them."""

from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


def param_of(error: Any) -> str | None:
    """The parameter at fault: the stripe package has it without a type."""
    return error.param


async def test_a_percentage_coupon_is_created_and_read_back(client: StripeClient) -> None:
    made = await client.v1.coupons.create_async(
        {"percent_off": 12.5, "duration": "repeating", "duration_in_months": 3, "name": "Launch", "max_redemptions": 5}
    )
    read = await client.v1.coupons.retrieve_async(made.id)
    assert read.to_dict() == made.to_dict()
    assert (read.percent_off, read.amount_off, read.currency) == (12.5, None, None)
    assert (read.duration, read.duration_in_months, read.max_redemptions) == ("repeating", 3, 5)
    assert (read.times_redeemed, read.valid, read.livemode) == (0, True, False)


async def test_a_fixed_amount_coupon_needs_a_currency(client: StripeClient) -> None:
    coupon = await client.v1.coupons.create_async({"amount_off": 500, "currency": "EUR", "id": "FIVE"})
    assert (coupon.id, coupon.amount_off, coupon.currency, coupon.duration) == ("FIVE", 500, "eur", "once")
    with pytest.raises(stripe.InvalidRequestError, match="You must pass currency when passing amount_off"):
        await client.v1.coupons.create_async({"amount_off": 500})


async def test_an_id_can_be_used_once(client: StripeClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 20, "id": "TWENTY"})
    with pytest.raises(stripe.InvalidRequestError, match=r"Coupon already exists\.") as refusal:
        await client.v1.coupons.create_async({"percent_off": 30, "id": "TWENTY"})
    assert (refusal.value.http_status, refusal.value.code) == (400, "resource_already_exists")


@pytest.mark.undocumented("duration: 'sometimes'")
async def test_terms_that_make_no_sense_are_refused(client: StripeClient) -> None:
    wrong: list[tuple[Any, str | None, str]] = [
        ({}, None, "Must provide percent_off or amount_off"),
        ({"percent_off": 10, "amount_off": 5, "currency": "usd"}, None, "Please pass in only one"),
        ({"percent_off": 0}, "percent_off", "greater than or equal to 0.01"),
        ({"percent_off": 100.5}, "percent_off", "less than or equal to 100"),
        ({"percent_off": 12.345}, "percent_off", "Invalid decimal"),
        ({"percent_off": 10, "duration": "repeating"}, "duration", "duration_in_months"),
        ({"percent_off": 10, "duration_in_months": 3}, "duration_in_months", "repeating duration"),
        ({"percent_off": 10, "duration": "sometimes"}, "duration", "must be one of forever, once, or repeating"),
        ({"percent_off": 10, "redeem_by": 1000}, "redeem_by", "in the past"),
        ({"percent_off": 10, "max_redemptions": 0}, "max_redemptions", "greater than or equal to 1"),
        ({"percent_off": 10, "name": "x" * 41}, "name", "at most 40 characters"),
    ]
    for params, param, message in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=message) as refusal:
            await client.v1.coupons.create_async(params)
        assert param_of(refusal.value) == param
    assert (await client.v1.coupons.list_async()).data == []


@pytest.mark.undocumented("percent_off: not documented")
async def test_only_name_and_metadata_change_and_the_event_shows_the_old_values(client: StripeClient) -> None:
    coupon = await client.v1.coupons.create_async({"percent_off": 20, "metadata": {"keep": "1", "drop": "2"}})
    changed = await client.v1.coupons.update_async(coupon.id, {"name": "Renamed", "metadata": {"drop": "", "add": "3"}})
    assert changed.metadata is not None
    assert (changed.name, changed.metadata.to_dict()) == ("Renamed", {"keep": "1", "add": "3"})
    [event] = (await client.v1.events.list_async({"type": "coupon.updated"})).data
    assert event.data.previous_attributes is not None
    assert event.data.to_dict()["previous_attributes"] == {"name": None, "metadata": {"drop": "2", "add": None}}
    cleared = await client.v1.coupons.update_async(coupon.id, {"metadata": ""})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {}
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: percent_off"):
        await client.v1.coupons.update_async(coupon.id, {"percent_off": 30})  # pyright: ignore[reportArgumentType]


async def test_a_deleted_coupon_is_gone_and_takes_its_codes_along(client: StripeClient) -> None:
    coupon = await client.v1.coupons.create_async({"percent_off": 20, "id": "GONE"})
    code = await client.v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": "GONE"}})
    deleted = await client.v1.coupons.delete_async(coupon.id)
    assert deleted.to_dict() == {"id": "GONE", "object": "coupon", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon: 'GONE'") as refusal:
        await client.v1.coupons.retrieve_async("GONE")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
    assert (await client.v1.promotion_codes.retrieve_async(code.id)).active is False
    [event] = (await client.v1.events.list_async({"types": ["coupon.deleted", "promotion_code.updated"]})).data
    assert (event.type, event.data.object["valid"]) == ("coupon.deleted", False)

    await client.v1.coupons.create_async({"percent_off": 50, "id": "GONE"})
    assert (await client.v1.promotion_codes.retrieve_async(code.id)).active is False


async def test_a_coupon_stops_being_valid_at_its_date(client: StripeClient, people: Simulation) -> None:
    now = people.clock()["now"]
    coupon = await client.v1.coupons.create_async({"percent_off": 20, "redeem_by": now + 3600})
    assert coupon.valid is True
    people.advance(seconds=3600)
    assert (await client.v1.coupons.retrieve_async(coupon.id)).valid is False


async def test_a_coupon_for_some_products_lists_them_when_asked(client: StripeClient) -> None:
    product = await client.v1.products.create_async({"name": "Pro"})
    coupon = await client.v1.coupons.create_async({"percent_off": 20, "applies_to": {"products": [product.id]}})
    assert "applies_to" not in coupon
    expanded = await client.v1.coupons.retrieve_async(coupon.id, {"expand": ["applies_to"]})
    assert expanded.applies_to is not None
    assert expanded.applies_to.products == [product.id]
    with pytest.raises(stripe.InvalidRequestError, match="No such product: 'prod_none'"):
        await client.v1.coupons.create_async({"percent_off": 20, "applies_to": {"products": ["prod_none"]}})
