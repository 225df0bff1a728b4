"""Codes that were in Stripe before: found, adopted, paid for, and left alone when the program is done with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.gateways.stripe_codes import found_code
from rekomi_mcp.storage.tables import AffiliateCodeRow
from rekomi_mcp.tools.adoption import why_not
from tests.support.contents import audit_lines
from tests.support.shop import JsonObject, Shop
from tests.support.world import operate

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Merchant:
    """Somebody who works in Stripe's dashboard."""

    app: App

    async def coupon(self, id: str = "BLOG", **params: Any) -> str:
        client = await self.app.stripe.client()
        wanted: Any = {"id": id, "name": "Blog readers", "duration": "once"} | (params or {"percent_off": 10})
        return (await client.v1.coupons.create_async(wanted)).id

    async def code(self, text: str = "BLOG10", coupon: str = "BLOG", **params: Any) -> str:
        client = await self.app.stripe.client()
        wanted: Any = {"promotion": {"type": "coupon", "coupon": coupon}, "code": text, **params}
        return (await client.v1.promotion_codes.create_async(wanted)).id

    async def end(self, promotion_code: str) -> None:
        client = await self.app.stripe.client()
        await client.v1.promotion_codes.update_async(promotion_code, {"active": False})

    async def look(self, promotion_code: str) -> JsonObject:
        found = await self.app.stripe.account("self").promotion_code(promotion_code)
        assert found is not None
        return found


@pytest.fixture
async def merchant(shop: Shop) -> Merchant:
    merchant = Merchant(shop.app)
    await merchant.coupon()
    return merchant


@pytest.fixture
async def sarah(shop: Shop) -> str:
    return await hire(shop, "Sarah Lee", await shop.open_program())


async def hire(shop: Shop, name: str, program: str) -> str:
    email = f"{name.split()[0].lower()}@example.com"
    return (await shop.do("create_affiliate", programId=program, email=email, fullName=name))["id"]


async def refused(shop: Shop, operation: str, **arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await shop.do(operation, **arguments)
    return refusal.value


async def adopt(shop: Shop, affiliate: str, promotion_code: str, **more: Any) -> JsonObject:
    return await shop.do("adopt_promotion_code", affiliateId=affiliate, promotionCodeId=promotion_code, **more)


async def texts(shop: Shop, **wanted: Any) -> list[str]:
    return [item["code"] for item in (await shop.do("list_adoptable_codes", **wanted))["items"]]


async def test_a_code_of_the_merchants_is_found_adopted_and_credited(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    promotion_code = await merchant.code(max_redemptions=50)
    [found] = (await shop.do("list_adoptable_codes"))["items"]
    assert found == {
        "promotionCodeId": promotion_code,
        "code": "BLOG10",
        "discount": "10 % off, once",
        "active": True,
        "timesRedeemed": 0,
        "expiresAt": None,
        "oneCustomerOnly": False,
        "obstacle": None,
    }
    adopted = await adopt(shop, sarah, promotion_code)
    expected = {"code": "BLOG10", "status": "Active", "adopted": True, "discount": "10 % off, once"}
    assert expected.items() <= adopted.items()
    assert (adopted["affiliateName"], adopted["maxRedemptions"]) == ("Sarah Lee", 50)
    assert await texts(shop) == []
    sold = await shop.sell(10_000, code="BLOG10")
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (conversion["affiliateId"], conversion["commissionCents"]) == (sarah, 1_800)


async def test_the_coupon_becomes_a_campaign_coupon_of_the_program_once(shop: Shop, merchant: Merchant) -> None:
    creators, partners = await shop.open_program(), await shop.open_program(name="Partners")
    sarah, tom = await hire(shop, "Sarah Lee", creators), await hire(shop, "Tom Ray", partners)
    first, second, third = [await merchant.code(text) for text in ("ONE", "TWO", "THREE")]
    made = [await adopt(shop, *pair) for pair in ((sarah, first), (sarah, second), (tom, third))]
    assert made[0]["campaignCouponId"] == made[1]["campaignCouponId"] != made[2]["campaignCouponId"]
    coupons = (await shop.do("list_campaign_coupons"))["items"]
    assert [(c["programId"], c["stripeCouponId"], c["adopted"]) for c in coupons] == [
        (partners, "BLOG", True),
        (creators, "BLOG", True),
    ]
    assert {c["name"] for c in coupons} == {"Blog readers"}
    minted = await shop.do("mint_affiliate_code", affiliateId=sarah, code="SARAH10")
    assert minted["adopted"] is False, "new codes can be made of an adopted coupon"


async def test_a_code_on_a_coupon_of_ours_joins_that_coupon(shop: Shop, merchant: Merchant) -> None:
    deal = await shop.sign()
    [ours] = (await shop.do("list_campaign_coupons"))["items"]
    promotion_code = await merchant.code("EXTRA", ours["stripeCouponId"])
    assert (await adopt(shop, deal.affiliate, promotion_code))["campaignCouponId"] == deal.coupon
    [coupon] = (await shop.do("list_campaign_coupons"))["items"]
    assert coupon["adopted"] is False


async def test_a_coupon_may_take_off_more_than_a_32_bit_number_holds(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    await merchant.coupon("WHALE", amount_off=99_999_999_999, currency="usd")
    adopted = await adopt(shop, sarah, await merchant.code("WHALE", "WHALE"))
    assert "999,999,999.99" in adopted["discount"]


async def test_adopting_twice_answers_the_code_that_is_there(shop: Shop, merchant: Merchant, sarah: str) -> None:
    promotion_code = await merchant.code()
    first = await adopt(shop, sarah, promotion_code)
    lines = len(audit_lines(shop.app))
    again = await adopt(shop, sarah, promotion_code, customCommissionType="Percentage", customCommissionValue=50)
    assert again == first, "nothing changes, not even the commission"
    assert len(audit_lines(shop.app)) == lines


async def test_a_code_may_carry_a_commission_of_its_own(shop: Shop, merchant: Merchant, sarah: str) -> None:
    own = {"customCommissionType": "Percentage", "customCommissionValue": 30}
    assert (await adopt(shop, sarah, await merchant.code(), **own))["commission"] == "30 %"
    sold = await shop.sell(10_000, code="BLOG10")
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert conversion["commissionCents"] == 2_700


async def test_a_code_that_is_over_can_be_adopted_and_is_inactive_here_too(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    over = await merchant.code("OVER")
    await merchant.end(over)
    await merchant.code("ALIVE")
    assert await texts(shop) == ["ALIVE"]
    assert await texts(shop, includeInactive=True) == ["ALIVE", "OVER"]
    assert (await adopt(shop, sarah, over))["status"] == "Inactive"
    again = await merchant.code("OVER")
    assert (await adopt(shop, sarah, again))["status"] == "Active", "the text is free: the other is over"


async def test_another_affiliates_code_is_refused_and_says_whose_it_is(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    program = (await shop.do("list_programs"))["items"][0]["id"]
    tom = await hire(shop, "Tom Ray", program)
    promotion_code = await merchant.code()
    await adopt(shop, sarah, promotion_code)
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=tom, promotionCodeId=promotion_code)
    assert (refusal.code, refusal.field) == ("code_already_taken", "promotionCodeId")
    shown = re.search(r"list_affiliate_codes with code (\S+) shows their name", refusal.message)
    assert shown is not None
    [code] = (await shop.do("list_affiliate_codes", code=shown[1]))["items"]
    assert (code["affiliateId"], code["affiliateName"]) == (sarah, "Sarah Lee")


async def test_a_text_that_another_live_code_has_is_refused(shop: Shop, merchant: Merchant) -> None:
    """Stripe allows one text twice when the codes are for different customers."""
    deal = await shop.sign("BLOG10")
    client = await shop.app.stripe.client()
    customer = (await client.v1.customers.create_async({"email": "kim@example.com"})).id
    promotion_code = await merchant.code("blog10", customer=customer)
    [found] = (await shop.do("list_adoptable_codes"))["items"]
    assert found["oneCustomerOnly"] is True
    assert found["obstacle"] == "Another live code here has this text."
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=deal.affiliate, promotionCodeId=promotion_code)
    assert (refusal.code, refusal.field) == ("code_already_taken", "promotionCodeId")
    await shop.do("deactivate_affiliate_code", codeId=deal.code)
    assert (await adopt(shop, deal.affiliate, promotion_code))["status"] == "Active"


@pytest.mark.parametrize("text", ["AB", "A" * 33])
async def test_what_cannot_be_an_affiliates_code_is_shown_and_refused_with_the_same_words(
    shop: Shop, merchant: Merchant, sarah: str, text: str
) -> None:
    promotion_code = await merchant.code(text)
    [found] = (await shop.do("list_adoptable_codes"))["items"]
    assert "3 to 32" in found["obstacle"]
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=promotion_code)
    assert (refusal.code, refusal.field) == ("validation_failed", "promotionCodeId")
    assert found["obstacle"] in refusal.message
    assert (await shop.do("list_campaign_coupons"))["items"] == []


async def test_who_must_not_earn_gets_no_code(shop: Shop, merchant: Merchant, sarah: str) -> None:
    promotion_code = await merchant.code()
    await shop.do("update_affiliate", affiliateId=sarah, status="Paused")
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=promotion_code)
    assert refusal.code == "affiliate_not_approved"
    await shop.do("update_affiliate", affiliateId=sarah, status="Approved")
    [program] = (await shop.do("list_programs"))["items"]
    await shop.do("archive_program", programId=program["id"])
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=promotion_code)
    assert refusal.code == "program_archived"


@pytest.mark.parametrize("id", ["promo_nothing", "SARAH20", "promo_../../v1/customers", "promo_1?expand=x"])
async def test_an_id_that_stripe_does_not_know_is_not_found(shop: Shop, sarah: str, id: str) -> None:
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=id)
    assert (refusal.code, refusal.field) == ("not_found", "promotionCodeId")


async def test_archiving_an_adopted_coupon_leaves_the_merchants_coupon_alone(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    promotion_code = await merchant.code()
    adopted = await adopt(shop, sarah, promotion_code)
    ended = await shop.do("archive_campaign_coupon", couponId=adopted["campaignCouponId"])
    assert (ended["status"], ended["adopted"], ended["endedCodes"]) == ("Archived", True, ["BLOG10"])
    [code] = (await shop.do("list_affiliate_codes"))["items"]
    assert code["status"] == "Inactive"
    in_stripe = await merchant.look(promotion_code)
    assert (in_stripe["active"], in_stripe["promotion"]["coupon"]["valid"]) == (True, True)


async def test_after_an_archiving_a_live_code_opens_the_discount_again_and_a_dead_one_does_not(
    shop: Shop, merchant: Merchant, sarah: str
) -> None:
    first, second, third = [await merchant.code(text) for text in ("ONE", "TWO", "THREE")]
    await merchant.end(second)
    archived = (await adopt(shop, sarah, first))["campaignCouponId"]
    await shop.do("archive_campaign_coupon", couponId=archived)
    assert (await adopt(shop, sarah, second))["campaignCouponId"] == archived
    assert (await shop.do("list_campaign_coupons"))["items"] == []
    assert (await adopt(shop, sarah, third))["campaignCouponId"] != archived


async def test_deactivating_an_adopted_code_ends_it_in_stripe_too(shop: Shop, merchant: Merchant, sarah: str) -> None:
    promotion_code = await merchant.code()
    code = await adopt(shop, sarah, promotion_code)
    await shop.do("deactivate_affiliate_code", codeId=code["id"])
    assert (await merchant.look(promotion_code))["active"] is False


async def test_a_code_that_is_just_being_minted_is_nobodys_to_adopt(shop: Shop, merchant: Merchant, sarah: str) -> None:
    """Stripe has it, and the server that made it has not yet written down its id."""
    deal = await shop.sign("SARAH20", program=(await shop.do("list_programs"))["items"][0]["id"], name="Tom Ray")
    with shop.app.open_store().writing() as session:
        row = session.get_one(AffiliateCodeRow, deal.code)
        promotion_code, row.stripe_promotion_code_id = row.stripe_promotion_code_id, None
        row.status, row.code = "Pending", "ANOTHER"
    assert promotion_code is not None
    assert await texts(shop) == []
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=promotion_code)
    assert refusal.code == "status_conflict"


@pytest.mark.parametrize("change", ["program archived", "account unlinked", "adopted by another"])
async def test_what_changes_while_stripe_is_asked_is_noticed(
    shop: Shop, merchant: Merchant, sarah: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion_code = await merchant.code()
    [program] = (await shop.do("list_programs"))["items"]
    tom, whole = await hire(shop, "Tom Ray", program["id"]), StripeAccount.promotion_code

    async def meanwhile(self: StripeAccount, promotion_code_id: str) -> JsonObject | None:
        monkeypatch.undo()
        match change:
            case "program archived":
                await shop.do("archive_program", programId=program["id"])
            case "account unlinked":
                client = await shop.app.stripe.client()
                account = (await client.v1.accounts.create_async({"country": "US"})).id
                await operate(shop.app, "update_organization", {"organization": "story", "stripeAccount": account})
            case _:
                await adopt(shop, tom, promotion_code)
        return await whole(self, promotion_code_id)

    monkeypatch.setattr(StripeAccount, "promotion_code", meanwhile)
    refusal = await refused(shop, "adopt_promotion_code", affiliateId=sarah, promotionCodeId=promotion_code)
    codes = {"program archived": "program_archived", "account unlinked": "conflict"}
    assert refusal.code == codes.get(change, "code_already_taken")
    assert (await shop.do("list_affiliate_codes", affiliateId=sarah))["items"] == []


async def test_the_list_goes_on_where_it_stopped(shop: Shop, merchant: Merchant, sarah: str) -> None:
    ids = {text: await merchant.code(text) for text in ("FIRST", "SECOND", "THIRD", "FOURTH")}
    await adopt(shop, sarah, ids["THIRD"])
    page = await shop.do("list_adoptable_codes", take=2)
    assert [item["code"] for item in page["items"]] == ["FOURTH", "SECOND"]
    assert page["hasMore"] is True
    rest = await shop.do("list_adoptable_codes", take=2, cursor=page["nextCursor"])
    assert ([item["code"] for item in rest["items"]], rest["hasMore"], rest["nextCursor"]) == (["FIRST"], False, None)
    assert await texts(shop, q="second") == ["SECOND"]
    assert await texts(shop, q="SECON") == []


async def test_codes_of_ours_do_not_fill_the_pages(
    shop: Shop, merchant: Merchant, sarah: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pages of one: the merchant's own code lies behind three that were minted here."""
    whole = StripeAccount.promotion_codes

    async def one(self: StripeAccount, **wanted: Any) -> tuple[list[JsonObject], bool]:
        page, has_more = await whole(self, **wanted)
        return page[:1], has_more or len(page) > 1

    await merchant.code("OLDEST")
    for text in ("ONE", "TWO", "THREE"):
        await shop.do("create_campaign_coupon", name=text, discountValue=10)
        coupon = (await shop.do("list_campaign_coupons"))["items"][0]["id"]
        await shop.do("mint_affiliate_code", affiliateId=sarah, couponId=coupon, code=text)
    monkeypatch.setattr(StripeAccount, "promotion_codes", one)
    assert await texts(shop) == ["OLDEST"]


async def test_a_cursor_of_a_code_that_stripe_does_not_have_is_refused(shop: Shop, merchant: Merchant) -> None:
    """The organization has another Stripe account by now."""
    for text in ("FIRST", "SECOND"):
        await merchant.code(text)
    cursor = (await shop.do("list_adoptable_codes", take=1))["nextCursor"]
    client = await shop.app.stripe.client()
    account = (await client.v1.accounts.create_async({"country": "US"})).id
    await operate(shop.app, "update_organization", {"organization": "story", "stripeAccount": account})
    refusal = await refused(shop, "list_adoptable_codes", cursor=cursor)
    assert (refusal.code, refusal.field) == ("validation_failed", "cursor")


COUPON: JsonObject = {"id": "c", "duration": "once", "percent_off": 10.0, "amount_off": None, "currency": None}
CODE: JsonObject = {"id": "promo_1", "code": "TEN-OFF", "active": False}


def with_coupon(coupon: Any) -> JsonObject:
    return CODE | {"promotion": {"type": "coupon", "coupon": coupon}}


def test_a_code_is_read_as_stripe_spells_it() -> None:
    months = {"duration": "repeating", "duration_in_months": 3}
    code: JsonObject = with_coupon(COUPON | months | {"percent_off": None, "amount_off": 1000, "currency": "usd"}) | {
        "customer": "cus_1",
        "expires_at": 1_800_000_000,
        "max_redemptions": 10**12,
        "metadata": {},
        "restrictions": {"first_time_transaction": True, "minimum_amount": 5000, "minimum_amount_currency": "usd"},
        "times_redeemed": 4,
    }
    found = found_code(code)
    assert found.coupon is not None
    assert found.coupon.in_words == "USD 10.00 off, for 3 months"
    assert (found.max_redemptions, found.minimum_amount_currency) == (None, "USD")
    assert (found.one_customer_only, found.first_order_only) == (True, True)
    assert found.expires_at == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert why_not(found) is None


@pytest.mark.parametrize(
    ("coupon", "in_words"),
    [
        (COUPON | {"percent_off": 12.345}, "12.345 % off"),
        (COUPON | {"percent_off": None}, "a discount of another kind"),
        (COUPON | {"duration": "sometimes"}, "10 % off"),
    ],
)
def test_a_discount_that_we_have_no_words_for_is_shown_and_not_adopted(coupon: JsonObject, in_words: str) -> None:
    found = found_code(with_coupon(coupon))
    assert found.coupon is not None
    assert found.coupon.in_words == in_words
    assert "at most two decimals" in (why_not(found) or "")


@pytest.mark.parametrize("gone", ["c", None, {"id": "c", "deleted": True}])
def test_a_code_whose_coupon_is_deleted_is_not_adopted(gone: Any) -> None:
    assert "deleted in Stripe" in (why_not(found_code(with_coupon(gone))) or "")
