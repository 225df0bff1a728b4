"""What happened before a sale decides it, whenever it arrives; what happened after it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from rekomi_mcp.domain.sales import CouponDeleted, Referral
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateLinkRow,
    AffiliateRow,
    CampaignCouponRow,
    ClickRow,
    LeadRow,
)
from tests.support.shop import Shop
from tests.support.world import sale, sell

pytestmark = pytest.mark.anyio

PAID = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def winner(shop: Shop, source_id: str = "in_1") -> str | None:
    return (await shop.do("explain_attribution", sourceId=source_id))["affiliateName"]


async def click(shop: Shop, affiliate: str, at: datetime) -> str:
    """A click of one and the same visitor on this affiliate's link."""
    with shop.app.open_store().writing() as session:
        link = session.exec(select(AffiliateLinkRow).where(AffiliateLinkRow.affiliate_id == affiliate)).one()
        person = session.exec(select(AffiliateRow).where(AffiliateRow.id == affiliate)).one()
        place = {"organization_id": shop.id, "program_id": person.program_id, "affiliate_id": affiliate}
        row = ClickRow(**place, link_id=link.id, visitor_id="kim", device="Mobile", occurred_at=at)
        session.add(row)
        session.flush()
        return row.id


async def lead(shop: Shop, affiliate: str, at: datetime) -> None:
    """A signup of Kim, recorded at that time."""
    await shop.do("record_lead", affiliateId=affiliate, email="kim@example.com")
    with shop.app.open_store().writing() as session:
        row = session.exec(select(LeadRow).where(LeadRow.affiliate_id == affiliate)).one()
        row.created_at = at


async def pair(shop: Shop) -> tuple[str, str]:
    """Sarah and Tom, of one program that is older than their sales."""
    sarah = await shop.sign()
    tom = await shop.sign("TOM20", name="Tom Ray", program=sarah.program)
    return sarah.affiliate, tom.affiliate


async def test_a_click_after_the_purchase_takes_it_from_nobody(shop: Shop) -> None:
    sarah, tom = await pair(shop)
    named = await click(shop, sarah, PAID - MINUTE)
    await click(shop, tom, PAID + 2 * SECOND)
    await sell(shop.app, shop.id, sale("in_1", at=PAID, referral=Referral(click_id=named)))
    assert await winner(shop) == "Sarah Lee"


async def test_the_click_that_a_sale_names_was_before_it_though_the_clocks_differ(shop: Shop) -> None:
    sarah, _ = await pair(shop)
    named = await click(shop, sarah, PAID + 2 * MINUTE)
    await sell(shop.app, shop.id, sale("in_1", at=PAID, referral=Referral(click_id=named)))
    assert await winner(shop) == "Sarah Lee"


@pytest.mark.parametrize(("when", "who"), [(-SECOND, "Sarah Lee"), (SECOND / 2, "Sarah Lee"), (SECOND, None)])
async def test_a_signup_counts_for_sales_after_it_only(shop: Shop, when: timedelta, who: str | None) -> None:
    """Stripe tells times in whole seconds: what is of the same second is taken for earlier."""
    sarah, _ = await pair(shop)
    await lead(shop, sarah, PAID + when)
    await sell(shop.app, shop.id, sale("in_1", at=PAID, customer_email="kim@example.com"))
    assert await winner(shop) == who


async def test_a_signup_on_the_thank_you_page_counts_as_little_after_the_sale_as_before_it(shop: Shop) -> None:
    sarah, _ = await pair(shop)
    kim: dict[str, Any] = {"at": PAID, "customer_email": "kim@example.com"}
    await sell(shop.app, shop.id, sale("in_1", **kim))
    await lead(shop, sarah, PAID + 2 * SECOND)
    await sell(shop.app, shop.id, sale("in_2", **kim))
    assert (await winner(shop), await winner(shop, "in_2")) == (None, None)


async def test_what_was_redeemed_before_its_coupon_was_deleted_in_stripe_counts(shop: Shop) -> None:
    """The payment of an order may take days; an adopted coupon that is archived here is nobody's all the same."""
    deal = await shop.sign()
    with shop.app.open_store().writing() as session:
        coupon = session.exec(select(CampaignCouponRow).where(CampaignCouponRow.id == deal.coupon)).one()
        code = session.exec(select(AffiliateCodeRow).where(AffiliateCodeRow.id == deal.code)).one()
        coupon.adopted = True
        deleted = CouponDeleted(str(coupon.stripe_coupon_id), "evt_deleted", PAID)
        promotion_code = str(code.stripe_promotion_code_id)
    await sell(shop.app, shop.id, deleted)
    await sell(shop.app, shop.id, sale("in_1", codes=(promotion_code,), at=PAID + timedelta(days=3)))
    assert await winner(shop) == "Sarah Lee"
    with shop.app.open_store().reading() as session:
        ended = session.exec(select(CampaignCouponRow).where(col(CampaignCouponRow.id) == deal.coupon)).one()
    assert (ended.status, ended.archived_at) == ("Archived", PAID)


async def test_a_sale_that_a_weaker_claim_won_is_the_codes_when_that_is_adopted_and_the_sale_repaired(
    shop: Shop,
) -> None:
    sarah, tom = await pair(shop)
    await lead(shop, tom, PAID - MINUTE)
    told = sale("in_1", codes=("promo_merchants",), at=PAID, customer_email="kim@example.com")
    await sell(shop.app, shop.id, told)
    assert await winner(shop) == "Tom Ray"
    with shop.app.open_store().writing() as session:
        minted = session.exec(select(AffiliateCodeRow).where(AffiliateCodeRow.affiliate_id == sarah)).one()
        minted.stripe_promotion_code_id = "promo_merchants"
    assert await winner(shop) == "Tom Ray", "adopting claims nothing by itself"
    await sell(shop.app, shop.id, sale("in_1", codes=told.promotion_code_ids, at=PAID, event_id="evt_again"))
    assert await winner(shop) == "Sarah Lee"


async def test_a_coupon_that_stripe_deleted_before_it_was_archived_here_ended_there(shop: Shop) -> None:
    """Whichever of the two is heard of first."""
    deal = await shop.sign()
    with shop.app.open_store().writing() as session:
        coupon = session.exec(select(CampaignCouponRow).where(CampaignCouponRow.id == deal.coupon)).one()
        code = session.exec(select(AffiliateCodeRow).where(AffiliateCodeRow.id == deal.code)).one()
        coupon.adopted, coupon.status, coupon.archived_at = True, "Archived", PAID + timedelta(days=1)
        deleted = CouponDeleted(str(coupon.stripe_coupon_id), "evt_deleted", PAID)
        promotion_code = str(code.stripe_promotion_code_id)
    await sell(shop.app, shop.id, deleted)
    await sell(shop.app, shop.id, sale("in_1", codes=(promotion_code,), at=PAID + timedelta(days=3)))
    assert await winner(shop) == "Sarah Lee"
