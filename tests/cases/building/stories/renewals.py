"""What comes after the first invoice: renewals, trials, upgrades and failed payments."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.offers import customer
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew


def renewal_after_a_coupon_for_once(story: Story) -> None:
    story.tells(
        "20 % off the first month only. The renewal carries no code and still earns.",
        "the affiliate of a subscription must be remembered",
    )
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def renewals_of_a_repeating_coupon(story: Story) -> None:
    story.tells("20 % off for two months: the third invoice is at full price and still earns.")
    jane = story.code("JANE20", JANE, story.coupon("AFF20R", duration="repeating", months=2, percent_off=20.0))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.shop.days(30)
    second = renew(story.shop, subscribed)
    story.shop.days(30)
    third = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, second, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.earns(JANE, third, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 26_00)


def renewal_of_a_coupon_forever(story: Story) -> None:
    story.tells("20 % off every month: each renewal carries the same discount.", "the same di_ is not a dedupe key")
    jane = story.code("JANE20", JANE, story.coupon("AFF20F", duration="forever", percent_off=20.0))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, renewal, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.leaves(JANE, "usd", 16_00)


def trial_then_payment(story: Story) -> None:
    story.tells(
        "Fourteen days free, then 40.00 of 50.00: the invoice over nothing uses up no coupon and earns nothing.",
        "the invoice over nothing is not the first sale",
    )
    jane = story.code("JANE20", JANE)
    plan = Plan(50_00, codes=[jane], trial_days=14)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), plan)
    story.by_now()
    story.shop.days(14)
    paid = renew(story.shop, subscribed)
    story.earns(JANE, paid, net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def free_month_then_renewal(story: Story) -> None:
    story.tells(
        "100 % off the first month: nothing is paid and nothing earned, but the renewal is Jane's.",
        "an invoice over nothing still binds the customer",
    )
    jane = story.code("JANEFREE", JANE, story.coupon("AFF100O", percent_off=100.0))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.by_now()
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 10_00)


STORIES: tuple[Tell, ...] = (
    renewal_after_a_coupon_for_once,
    renewals_of_a_repeating_coupon,
    renewal_of_a_coupon_forever,
    trial_then_payment,
    free_month_then_renewal,
)
