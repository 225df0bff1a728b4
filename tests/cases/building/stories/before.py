"""Subscriptions that were there before the server was: their payments count, and what was paid before earns nothing."""

from __future__ import annotations

from tests.cases.building.invoices import attach
from tests.cases.building.offers import Code, customer
from tests.cases.building.payments import pay, refund
from tests.cases.building.stories.shared import put_on_invoice
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, Subscribed, renew, renew_unheard, renewal_due, start


def _kim_has_paid_twice(story: Story, trial_days: int = 0) -> tuple[Subscribed, Code]:
    """With a code for as long as she stays, so that each of her invoices carries it."""
    jane = story.code("JANE20", JANE, story.coupon("AFF20F", duration="forever", percent_off=20.0))
    subscribed = start(story.shop, customer(story.shop), Plan(50_00, codes=[jane], trial_days=trial_days))
    for _ in range(2 if trial_days else 1):
        story.shop.days(30)
        renew_unheard(story.shop, subscribed)
    story.shop.days(30)
    return subscribed, jane


def renewal_of_a_subscription_of_before(story: Story) -> None:
    story.tells(
        "Only the first payment earns. The server hears of Kim at her third: that earns nothing, nor does the fourth.",
        "the first invoice that is told of is not the first that was paid",
    )
    story.recurring = {"months": 0}
    subscribed, _ = _kim_has_paid_twice(story)
    renew(story.shop, subscribed)
    story.shop.days(30)
    renew(story.shop, subscribed)


def last_renewal_of_a_subscription_of_before(story: Story) -> None:
    story.tells(
        "The first payment and two renewals earn; Kim's began with a trial. Her third payment, the first that is told of, "
        "is the second renewal, and the one after it earns nothing.",
        "the invoice over nothing of the trial is no payment",
    )
    story.recurring = {"months": 2}
    subscribed, jane = _kim_has_paid_twice(story, trial_days=14)
    third = renew(story.shop, subscribed)
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.earns(JANE, third, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.leaves(JANE, "usd", 8_00)


def payment_shared_with_a_renewal_of_before(story: Story) -> None:
    story.tells(
        "One transfer pays a renewal that is nobody's, of a subscription of before, and an invoice with Jane's code. Half "
        "of it goes back.",
        "the renewal is nobody's and bears its part all the same",
    )
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    subscribed = start(story.shop, kim, Plan(50_00))
    story.shop.days(30)
    intent = pay(story.shop, 110_00, "usd", customer=kim["id"], email=kim["email"])
    renewal = renewal_due(story.shop, subscribed)
    attach(story.shop, renewal, intent)
    story.shop.tell("invoice.paid", renewal)
    story.shop.days(1)
    of_jane = put_on_invoice(story, kim, jane, 75_00, intent)
    story.earns(JANE, of_jane, net=60_00, commission=12_00, kind="one_off", code=jane)
    story.shop.days(1)
    given_back = refund(story.shop, of_jane, 55_00)
    story.takes_back(of_jane, given_back, -6_00)
    story.leaves(JANE, "usd", 6_00)


STORIES: tuple[Tell, ...] = (
    renewal_of_a_subscription_of_before,
    last_renewal_of_a_subscription_of_before,
    payment_shared_with_a_renewal_of_before,
)
