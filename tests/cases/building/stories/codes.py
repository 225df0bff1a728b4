"""What happens to codes: switched off, switched on again, and gone with their coupon."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.offers import customer
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew


def code_switched_off(story: Story) -> None:
    story.tells("JANE20 is switched off in Stripe: our record says so, and Jane's customer goes on earning.")
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.shop.days(5)
    story.shop.change("promotion_code.updated", jane.promotion, active=False)
    story.shop.days(25)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.code_is(jane, active=False)
    story.leaves(JANE, "usd", 18_00)


def code_switched_off_during_a_checkout(story: Story) -> None:
    story.tells("A checkout that began with JANE20 completes after the code was switched off: it still counts.")
    jane = story.code("JANE20", JANE)
    story.shop.change("promotion_code.updated", jane.promotion, active=False)
    story.shop.now += 30
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.code_is(jane, active=False)
    story.leaves(JANE, "usd", 8_00)


def code_switched_on_again(story: Story) -> None:
    story.tells("JANE20 is switched off and, a week later, on again: the next customer is Jane's.")
    jane = story.code("JANE20", JANE)
    story.shop.change("promotion_code.updated", jane.promotion, active=False)
    story.shop.days(7)
    story.shop.change("promotion_code.updated", jane.promotion, active=True)
    story.shop.days(1)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.code_is(jane, active=True)
    story.leaves(JANE, "usd", 8_00)


def coupon_deleted(story: Story) -> None:
    story.tells(
        "The coupon of JANE20 and JANEVIP is deleted: both codes are dead without another event, and the customer who "
        "came with one of them goes on earning.",
        "no promotion_code.updated comes",
        "discount.source.coupon cannot be retrieved any more",
    )
    jane = story.code("JANE20", JANE)
    vip = story.code("JANEVIP", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.shop.days(5)
    for code in (jane, vip):
        code.promotion["active"] = False
    jane.coupon["valid"] = False
    story.shop.delete("coupon.deleted", jane.coupon)
    story.shop.days(25)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.code_is(jane, active=False)
    story.code_is(vip, active=False)
    story.leaves(JANE, "usd", 18_00)


def coupon_deleted_before_the_news_arrives(story: Story) -> None:
    story.tells("The coupon is gone when the first invoice is worked off: its discount still names the code.")
    jane = story.code("JANE20", JANE)
    sale = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane])).first_invoice
    story.shop.days(1)
    jane.promotion["active"] = jane.coupon["valid"] = False
    story.shop.delete("coupon.deleted", jane.coupon)
    session, created, paid, deleted = story.shop.deliveries
    story.shop.deliver_in_order(deleted, session, created, paid)
    story.earns(JANE, sale, net=40_00, commission=8_00, code=jane)
    story.code_is(jane, active=False)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    code_switched_off,
    code_switched_off_during_a_checkout,
    code_switched_on_again,
    coupon_deleted,
    coupon_deleted_before_the_news_arrives,
)
