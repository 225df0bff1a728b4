"""Invoices between two renewals: those that begin a period of the subscription are its payments, others are not."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.offers import customer
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, begin_anew, bill_extra, renew


def trial_ended_early(story: Story) -> None:
    story.tells(
        "Only the first payment earns. The customer ends the trial early, which Stripe invoices as an update.",
        "the first payment has billing_reason subscription_update",
    )
    story.recurring = {"months": 0}
    jane = story.code("JANE20", JANE)
    trial = Plan(50_00, codes=[jane], trial_days=30)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), trial)
    story.shop.days(5)
    first = begin_anew(story.shop, subscribed, 50_00)
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.earns(JANE, first, net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def free_plan_becomes_a_paid_one(story: Story) -> None:
    story.tells(
        "The first payment earns nothing, every later one does. A free plan becomes a paid one: that is the first.",
        "two payments are skipped instead of one",
    )
    story.recurring = {"delay_invoices": 1}
    jane = story.code("JANE20", JANE, story.coupon("AFF20F", duration="forever", percent_off=20.0))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(0, codes=[jane]))
    story.shop.days(10)
    begin_anew(story.shop, subscribed, 50_00)
    story.by_now()
    story.shop.days(30)
    second = renew(story.shop, subscribed)
    story.earns(JANE, second, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.leaves(JANE, "usd", 8_00)


def period_begun_before_its_day(story: Story) -> None:
    story.tells(
        "The first payment and one renewal earn. After half a month another price begins a month of its own: what is "
        "left of the old one is taken off, and this is the renewal.",
        "the invoice of an upgrade that begins a period is no change within one",
    )
    story.recurring = {"months": 1}
    subscribed = jane_sells(story)
    story.shop.days(15)
    renewal = begin_anew(story.shop, subscribed, 100_00, changes=[(25_00, 0)])
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.earns(JANE, renewal, net=75_00, commission=15_00, kind="renewal")
    story.leaves(JANE, "usd", 23_00)


def period_begun_after_many_changes(story: Story) -> None:
    story.tells(
        "As before, with six changes of seats that wait to be settled: the line of the new period is the thirteenth.",
        "an invoice in a webhook shows ten lines, prorations first",
    )
    story.recurring = {"months": 1}
    subscribed = jane_sells(story)
    story.shop.days(15)
    changes = [(25_00, 26_00 + 100 * seat) for seat in range(6)]
    renewal = begin_anew(story.shop, subscribed, 100_00, changes=changes)
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.earns(JANE, renewal, net=121_00, commission=24_20, kind="renewal")
    story.leaves(JANE, "usd", 32_20)


def extra_between_two_months(story: Story) -> None:
    story.tells(
        "The first payment and one renewal earn. In between the shop bills an extra on an invoice of the subscription.",
        "the extra earns, and the renewal after it is still the first",
    )
    story.recurring = {"months": 1}
    subscribed = jane_sells(story)
    story.shop.days(10)
    extra = bill_extra(story.shop, subscribed, 10_00)
    story.shop.days(20)
    renewal = renew(story.shop, subscribed)
    story.shop.days(10)
    bill_extra(story.shop, subscribed, 10_00)
    story.shop.days(20)
    renew(story.shop, subscribed)
    story.earns(JANE, extra, net=10_00, commission=2_00, kind="update")
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 20_00)


STORIES: tuple[Tell, ...] = (
    trial_ended_early,
    free_plan_becomes_a_paid_one,
    period_begun_before_its_day,
    period_begun_after_many_changes,
    extra_between_two_months,
)
