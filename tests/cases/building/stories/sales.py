"""First sales: one-off and by subscription, with and without an invoice, settled late or not at all."""

from __future__ import annotations

from tests.cases.building import checkout, invoices
from tests.cases.building.amounts import Tax
from tests.cases.building.checkout import Purchase
from tests.cases.building.invoices import Bill, Line
from tests.cases.building.offers import customer, price, redeem
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


def payment_that_arrives_before_its_checkout(story: Story) -> None:
    story.tells("The news that a bank debit has come overtakes the news of the checkout.")
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop), settled=False)
    story.shop.days(4)
    checkout.payment_arrives(story.shop, sale)
    story.shop.deliver_in_order(*reversed(story.shop.deliveries))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def one_off_for_nothing(story: Story) -> None:
    story.tells("100 % off a one-off purchase: payment_status is no_payment_required, and nobody earns.")
    jane = story.code("JANEFREE", JANE, story.coupon("AFF100O", percent_off=100.0))
    checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop))


def checkout_that_saves_a_card(story: Story) -> None:
    story.tells("A checkout in setup mode sells nothing: no currency, no amounts, no sale.", "amount_total is null")
    story.code("JANE20", JANE)
    checkout.save_a_card(story.shop, customer(story.shop))


def invoice_written_by_hand(story: Story) -> None:
    story.tells("An invoice without a checkout and without a subscription, with JANE20 on it.", "parent is null")
    jane, kim, shop = story.code("JANE20", JANE), customer(story.shop), story.shop
    discount = redeem(shop, jane, customer=kim["id"])
    once = price(shop, 50_00, "usd", monthly=False)
    invoice = invoices.issue(shop, Bill(kim, [Line(once, 50_00)], "manual", [discount]))
    discount["invoice"] = invoice["id"]
    invoices.mark_paid(shop, invoice)
    shop.tell("invoice.paid", invoice)
    story.earns(JANE, invoice, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    one_off_by_a_guest,
    one_off_with_shipping,
    one_off_with_an_invoice,
    subscription_by_checkout,
    payment_that_takes_days,
    payment_that_never_comes,
    payment_that_arrives_before_its_checkout,
    one_off_for_nothing,
    checkout_that_saves_a_card,
    invoice_written_by_hand,
)
