"""What comes after the first invoice: renewals, trials, other prices, failed payments, and codes that come late."""

from __future__ import annotations

from tests.cases.building import checkout, invoices
from tests.cases.building.offers import customer
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import (
    Plan,
    Subscribed,
    add_code,
    cancel,
    change_price,
    renew,
    renewal_due,
    subscribe,
)


def jane_sells(story: Story, amount: int = 50_00) -> Subscribed:
    """The usual beginning: Kim subscribes at the checkout with JANE20, 20 % off the first month."""
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(amount, codes=[jane]))
    net = amount * 4 // 5
    story.earns(JANE, subscribed.first_invoice, net=net, commission=net // 5, code=jane)
    return subscribed


def renewal_after_a_coupon_for_once(story: Story) -> None:
    story.tells(
        "20 % off the first month only. The renewal carries no code and still earns.",
        "the affiliate of a subscription must be remembered",
    )
    subscribed = jane_sells(story)
    story.shop.days(30)
    story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
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
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane], trial_days=14))
    story.by_now()
    story.shop.days(14)
    story.earns(JANE, renew(story.shop, subscribed), net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def trial_that_ends_without_payment(story: Story) -> None:
    story.tells("A trial is canceled before it costs anything: nobody earns.")
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane], trial_days=14))
    story.shop.days(10)
    cancel(story.shop, subscribed)


def free_month_then_renewal(story: Story) -> None:
    story.tells(
        "100 % off the first month: nothing is paid and nothing earned, but the renewal is Jane's.",
        "an invoice over nothing still binds the customer",
    )
    jane = story.code("JANEFREE", JANE, story.coupon("AFF100O", percent_off=100.0))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.by_now()
    story.shop.days(30)
    story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 10_00)


def upgrade_in_the_middle_of_a_month(story: Story) -> None:
    story.tells("After half a month the price goes from 50.00 to 100.00: the difference of 25.00 is paid and earns.")
    subscribed = jane_sells(story)
    story.shop.days(15)
    upgrade = change_price(story.shop, subscribed, 100_00, credit=25_00, charge=50_00)
    story.shop.days(15)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, upgrade, net=25_00, commission=5_00, kind="update")
    story.earns(JANE, renewal, net=100_00, commission=20_00, kind="renewal")
    story.leaves(JANE, "usd", 33_00)


def downgrade_in_the_middle_of_a_month(story: Story) -> None:
    story.tells(
        "After half a month the price goes from 100.00 to 50.00: an invoice over -25.00 earns nothing and takes nothing. "
        "It pays half of the renewal, whose base stays 50.00.",
        "a negative invoice is no refund",
        "amount_paid of the renewal is 25.00",
    )
    subscribed = jane_sells(story, 100_00)
    story.shop.days(15)
    change_price(story.shop, subscribed, 50_00, credit=50_00, charge=25_00)
    story.shop.days(15)
    story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 26_00)


def payment_fails_and_comes_later(story: Story) -> None:
    story.tells("The card is declined on the day of the renewal and charged three days later: one conversion.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renewal_due(story.shop, subscribed)
    invoices.fail_payment(story.shop, renewal)
    story.by_now((JANE, "usd", 8_00))
    story.shop.days(3)
    invoices.mark_paid(story.shop, renewal)
    story.shop.tell("invoice.paid", renewal)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def invoice_is_voided(story: Story) -> None:
    story.tells("The renewal is never paid and voided a week later: it earns nothing and takes nothing.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renewal_due(story.shop, subscribed)
    invoices.fail_payment(story.shop, renewal)
    story.shop.days(7)
    invoices.void(story.shop, renewal)
    story.leaves(JANE, "usd", 8_00)


def invoice_is_given_up(story: Story) -> None:
    story.tells("The renewal is marked uncollectible: it earns nothing and takes nothing.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renewal_due(story.shop, subscribed)
    invoices.fail_payment(story.shop, renewal)
    story.shop.days(7)
    invoices.give_up(story.shop, renewal)
    story.leaves(JANE, "usd", 8_00)


def code_on_a_running_subscription(story: Story) -> None:
    story.tells(
        "A customer of nobody gets JANE20 in the second week: Jane earns from the next invoice on, not before.",
        "the first invoice stays nobody's",
    )
    jane = story.code("JANE20", JANE)
    subscribed = subscribe(story.shop, customer(story.shop), Plan(50_00))
    story.shop.days(10)
    add_code(story.shop, subscribed, jane)
    story.by_now()
    story.shop.days(20)
    second = renew(story.shop, subscribed)
    story.shop.days(30)
    third = renew(story.shop, subscribed)
    story.earns(JANE, second, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.earns(JANE, third, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


STORIES: tuple[Tell, ...] = (
    renewal_after_a_coupon_for_once,
    renewals_of_a_repeating_coupon,
    renewal_of_a_coupon_forever,
    trial_then_payment,
    trial_that_ends_without_payment,
    free_month_then_renewal,
    upgrade_in_the_middle_of_a_month,
    downgrade_in_the_middle_of_a_month,
    payment_fails_and_comes_later,
    invoice_is_voided,
    invoice_is_given_up,
    code_on_a_running_subscription,
)
