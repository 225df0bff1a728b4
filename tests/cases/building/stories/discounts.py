"""Which discount decides: coupons of all kinds, several at once, codes of others, texts that are used twice."""

from __future__ import annotations

from tests.cases.building import checkout, offers
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import BOB, JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew, subscribe


def amount_off(story: Story) -> None:
    story.tells("10.00 off 50.00: the base is what was charged.")
    jane = story.code("JANETEN", JANE, story.coupon("AFFTEN", amount_off=10_00, currency="usd"))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def our_code_behind_a_coupon(story: Story) -> None:
    story.tells("The shop's own 10 % come first and have no code, JANE20 second: 50.00, 45.00, 36.00.", "discounts[0]")
    jane, gift = story.code("JANE20", JANE), story.coupon("WELCOME10", percent_off=10.0)
    subscribed = subscribe(story.shop, customer(story.shop), Plan(50_00, coupons=[gift], codes=[jane]))
    story.earns(JANE, subscribed.first_invoice, net=36_00, commission=7_20, code=jane)
    story.leaves(JANE, "usd", 7_20)


def our_code_behind_a_code_of_the_shop(story: Story) -> None:
    story.tells("SUMMER10 is nobody's and comes first, JANE20 second.", "the first code is not ours")
    jane = story.code("JANE20", JANE)
    summer = story.code("SUMMER10", None, story.coupon("SUMMER", percent_off=10.0))
    subscribed = subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[summer, jane]))
    story.earns(JANE, subscribed.first_invoice, net=36_00, commission=7_20, code=jane)
    story.leaves(JANE, "usd", 7_20)


def two_affiliates_codes(story: Story) -> None:
    story.tells("BOB10 comes first in Stripe's order, JANE20 second: Bob earns all, and the renewal.")
    jane = story.code("JANE20", JANE)
    bob = story.code("BOB10", BOB, story.coupon("AFF10O", percent_off=10.0))
    subscribed = subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[bob, jane]))
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(BOB, subscribed.first_invoice, net=36_00, commission=7_20, code=bob)
    story.earns(BOB, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(BOB, "usd", 17_20)


def code_on_an_item(story: Story) -> None:
    story.tells(
        "JANE20 is a discount of the subscription's item: it stands on the invoice's line alone.",
        "invoice.discounts is empty: lines.data.discounts has to be expanded",
    )
    jane = story.code("JANE20", JANE)
    subscribed = subscribe(story.shop, customer(story.shop), Plan(50_00, item_codes=[jane]))
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def code_of_the_shop(story: Story) -> None:
    story.tells("SUMMER10 belongs to no affiliate: nobody earns.")
    story.code("JANE20", JANE)
    summer = story.code("SUMMER10", None, story.coupon("SUMMER", percent_off=10.0))
    checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[summer]))


def code_of_the_shop_for_janes_customer(story: Story) -> None:
    story.tells("Jane's customer buys again with a code of the shop: still Jane's customer.")
    subscribed = jane_sells(story)
    summer = story.code("SUMMER10", None, story.coupon("SUMMER", percent_off=10.0))
    story.shop.days(10)
    sale = checkout.buy(story.shop, Purchase(30_00, code=summer), subscribed.customer)
    story.earns(JANE, sale, net=27_00, commission=5_40, kind="one_off", by="customer")
    story.leaves(JANE, "usd", 13_40)


def our_coupon_without_a_code(story: Story) -> None:
    story.tells("The shop gives our campaign's coupon by hand, without a code: nobody earns.", "matching by coupon")
    jane = story.code("JANE20", JANE)
    subscribe(story.shop, customer(story.shop), Plan(50_00, coupons=[jane.coupon]))


def text_used_again_by_the_shop(story: Story) -> None:
    story.tells(
        "JANE20 is switched off, and the shop makes another promotion code of the same text for itself. Whoever redeems "
        "that one is nobody's customer; Jane's earlier customer stays hers.",
        "matching by text",
    )
    old_customer = jane_sells(story)
    old = story.shop.all("promotion_code")[0]
    story.shop.days(5)
    story.shop.change("promotion_code.updated", old, active=False)
    new = offers.promotion_code(story.shop, story.shop.all("coupon")[0], "JANE20", created=story.shop.now)
    story.shop.tell("promotion_code.created", new.promotion)
    story.shop.days(5)
    checkout.subscribe(story.shop, customer(story.shop, "lee@example.com"), Plan(50_00, codes=[new]))
    story.shop.days(20)
    story.earns(JANE, renew(story.shop, old_customer), net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def text_used_again_by_another_affiliate(story: Story) -> None:
    story.tells(
        "SAVE20 was Jane's, is switched off, and becomes Bob's as another promotion code: each has their own customers.",
        "matching by text",
    )
    janes = story.code("SAVE20", JANE)
    kim = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[janes]))
    story.shop.days(5)
    story.shop.change("promotion_code.updated", janes.promotion, active=False)
    bobs = offers.promotion_code(story.shop, janes.coupon, "SAVE20", created=story.shop.now)
    story.shop.tell("promotion_code.created", bobs.promotion)
    story.owns(BOB, bobs, adopt_after=len(story.shop.deliveries))
    story.shop.days(5)
    lee = checkout.subscribe(story.shop, customer(story.shop, "lee@example.com"), Plan(50_00, codes=[bobs]))
    story.shop.days(20)
    renewal = renew(story.shop, kim)
    story.earns(JANE, kim.first_invoice, net=40_00, commission=8_00, code=janes)
    story.earns(BOB, lee.first_invoice, net=40_00, commission=8_00, code=bobs)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)
    story.leaves(BOB, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    amount_off,
    our_code_behind_a_coupon,
    our_code_behind_a_code_of_the_shop,
    two_affiliates_codes,
    code_on_an_item,
    code_of_the_shop,
    code_of_the_shop_for_janes_customer,
    our_coupon_without_a_code,
    text_used_again_by_the_shop,
    text_used_again_by_another_affiliate,
)
