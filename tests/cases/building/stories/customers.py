"""Customers who come back: with no code, with another affiliate's, or as a guest whom nobody recognises."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import BOB, JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, cancel, renew, subscribe


def customer_buys_again(story: Story) -> None:
    story.tells("A customer who came with JANE20 buys again without a code: it is Jane's customer.")
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    first = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.shop.days(10)
    again = checkout.buy(story.shop, Purchase(30_00), kim)
    story.earns(JANE, first, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.earns(JANE, again, net=30_00, commission=6_00, kind="one_off", by="customer")
    story.leaves(JANE, "usd", 14_00)


def customer_of_jane_comes_with_bobs_code(story: Story) -> None:
    story.tells("Jane's customer buys something else with BOB20: a redeemed code is stronger than the customer.")
    subscribed = jane_sells(story)
    bob = story.code("BOB20", BOB)
    story.shop.days(10)
    other = checkout.buy(story.shop, Purchase(30_00, code=bob), subscribed.customer)
    story.shop.days(20)
    renewal = renew(story.shop, subscribed)
    story.earns(BOB, other, net=24_00, commission=4_80, kind="one_off", code=bob)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)
    story.leaves(BOB, "usd", 4_80)


def second_subscription_of_a_customer(story: Story) -> None:
    story.tells("Jane's customer takes out a second subscription without a code: Jane earns on both.")
    subscribed = jane_sells(story)
    story.shop.days(10)
    second = subscribe(story.shop, subscribed.customer, Plan(20_00))
    story.earns(JANE, second.first_invoice, net=20_00, commission=4_00, by="customer")
    story.leaves(JANE, "usd", 12_00)


def customer_subscribes_again(story: Story) -> None:
    story.tells("Jane's customer cancels and subscribes anew a month later without a code: Jane earns again.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    cancel(story.shop, subscribed)
    story.shop.days(30)
    anew = checkout.subscribe(story.shop, subscribed.customer, Plan(50_00))
    story.earns(JANE, anew.first_invoice, net=50_00, commission=10_00, by="customer")
    story.leaves(JANE, "usd", 18_00)


def guest_buys_again(story: Story) -> None:
    story.tells(
        "A guest buys with JANE20 and later, as a guest again, without: Stripe knows no customer, nobody earns."
    )
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane))
    story.shop.days(10)
    checkout.buy(story.shop, Purchase(30_00))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def customer_of_nobody(story: Story) -> None:
    story.tells("A subscription without any code: nobody earns, now or on renewal.")
    story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00))
    story.shop.days(30)
    renew(story.shop, subscribed)


STORIES: tuple[Tell, ...] = (
    customer_buys_again,
    customer_of_jane_comes_with_bobs_code,
    second_subscription_of_a_customer,
    customer_subscribes_again,
    guest_buys_again,
    customer_of_nobody,
)
