"""First sales: one-off and by subscription, with and without an invoice, settled late or not at all."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.amounts import Tax
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan


def one_off_by_a_guest(story: Story) -> None:
    story.tells(
        "A guest buys for 80.00 with JANE20: 64.00 net, 10 % tax on top. No customer, no invoice.",
        "customer is null: a sale needs no customer",
        "the key of the sale is the session",
    )
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(80_00, code=jane, tax=Tax("10")))
    story.earns(JANE, sale, net=64_00, commission=12_80, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 12_80)


def one_off_with_shipping(story: Story) -> None:
    story.tells("Shipping is not part of the base: 40.00 net of discount, 5.00 shipping.", "amount_total has shipping")
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane, shipping=5_00), customer(story.shop))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def one_off_with_an_invoice(story: Story) -> None:
    story.tells(
        "Checkout writes an invoice for a one-off purchase: the session and the invoice are one sale.",
        "two events, one conversion",
    )
    jane = story.code("JANE20", JANE)
    _, invoice = checkout.buy_with_invoice(story.shop, Purchase(50_00, code=jane), customer(story.shop))
    story.earns(JANE, invoice, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def subscription_by_checkout(story: Story) -> None:
    story.tells("A subscription starts at the checkout: session, subscription and invoice are one sale.")
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.earns(JANE, subscribed.first_invoice, net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def payment_that_takes_days(story: Story) -> None:
    story.tells(
        "A bank debit: the session completes unpaid, and pays four days later.",
        "checkout.session.completed does not mean paid",
    )
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop), settled=False)
    story.by_now()
    story.shop.days(4)
    checkout.payment_arrives(story.shop, sale)
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def payment_that_never_comes(story: Story) -> None:
    story.tells("A bank debit fails after four days: nobody earns.")
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop), settled=False)
    story.shop.days(4)
    checkout.payment_fails(story.shop, sale)


STORIES: tuple[Tell, ...] = (
    one_off_by_a_guest,
    one_off_with_shipping,
    one_off_with_an_invoice,
    subscription_by_checkout,
    payment_that_takes_days,
    payment_that_never_comes,
)
