"""The base of the commission: taxes, currencies without cents or with three decimals, and the customer's balance."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.amounts import Tax
from tests.cases.building.offers import customer
from tests.cases.building.payments import refund
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, Subscribed


def janes_customer(story: Story, plan: Plan, *, net: int, commission: int, balance: int = 0) -> Subscribed:
    """Kim subscribes with the only code there is."""
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    kim["balance"] = balance
    subscribed = checkout.subscribe(
        story.shop, kim, Plan(plan.amount, currency=plan.currency, tax=plan.tax, codes=[jane])
    )
    story.earns(JANE, subscribed.first_invoice, net=net, commission=commission, code=jane)
    return subscribed


def exclusive_tax(story: Story) -> None:
    story.tells("10 % on top of 40.00: 44.00 are paid, 40.00 are the base.", "total has the tax")
    janes_customer(story, Plan(50_00, tax=Tax("10")), net=40_00, commission=8_00)
    story.leaves(JANE, "usd", 8_00)


def inclusive_tax(story: Story) -> None:
    story.tells(
        "60.00 with 20 % inside, 20 % off: 48.00 are paid, 8.00 of them tax, 40.00 are the base.",
        "subtotal and total have the tax inside",
    )
    janes_customer(story, Plan(60_00, tax=Tax("20", inclusive=True)), net=40_00, commission=8_00)
    story.leaves(JANE, "usd", 8_00)


def inclusive_tax_and_a_refund(story: Story) -> None:
    story.tells("Of 48.00 with 8.00 tax inside, 12.00 go back: a quarter of the commission.")
    sale = janes_customer(story, Plan(60_00, tax=Tax("20", inclusive=True)), net=40_00, commission=8_00).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale, 12_00), -2_00)
    story.leaves(JANE, "usd", 6_00)


def yen(story: Story) -> None:
    story.tells("3,333 yen less 667 are 2,666; 20 % of that are 533.2, so 533 yen.", "yen have no cents")
    janes_customer(story, Plan(3333, currency="jpy"), net=2666, commission=533)
    story.leaves(JANE, "jpy", 533)


def dinars(story: Story) -> None:
    story.tells("12.500 KWD less 2.500 are 10.000; 3.330 go back: 1.334 of 2.000 stay.", "three decimals")
    sale = janes_customer(story, Plan(12_500, currency="kwd"), net=10_000, commission=2_000).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale, 3_330), -666)
    story.leaves(JANE, "kwd", 1_334)


def kronur(story: Story) -> None:
    story.tells("4,900 kronur travel as 490000, with two decimals that are always 00.", "ISO 4217 says none")
    janes_customer(story, Plan(4900_00, currency="isk"), net=3920_00, commission=784_00)
    story.leaves(JANE, "isk", 784_00)


def two_currencies(story: Story) -> None:
    story.tells("One sale in dollars, one in euros, a refund of each: two sums that never meet.")
    jane = story.code("JANE20", JANE)
    shop = story.shop
    dollars = checkout.subscribe(shop, customer(shop), Plan(50_00, codes=[jane])).first_invoice
    euros = checkout.subscribe(
        shop, customer(shop, "lee@example.com"), Plan(100_00, currency="eur", codes=[jane])
    ).first_invoice
    shop.days(3)
    of_dollars, of_euros = refund(shop, dollars, 10_00), refund(shop, euros, 10_00)
    story.earns(JANE, dollars, net=40_00, commission=8_00, code=jane)
    story.earns(JANE, euros, net=80_00, commission=16_00, code=jane)
    story.takes_back(dollars, of_dollars, -2_00)
    story.takes_back(euros, of_euros, -2_00)
    story.leaves(JANE, "usd", 6_00)
    story.leaves(JANE, "eur", 14_00)


def credit_pays_a_part(story: Story) -> None:
    story.tells("A credit of 15.00 pays a part: 25.00 are charged, 40.00 are the base.", "amount_paid is not the base")
    janes_customer(story, Plan(50_00), net=40_00, commission=8_00, balance=-15_00)
    story.leaves(JANE, "usd", 8_00)


def credit_pays_all(story: Story) -> None:
    story.tells("A credit of 90.00 pays the whole invoice: nothing is charged, 40.00 are the base.", "no payments")
    janes_customer(story, Plan(50_00), net=40_00, commission=8_00, balance=-90_00)
    story.leaves(JANE, "usd", 8_00)


def credit_pays_a_part_and_a_refund(story: Story) -> None:
    story.tells("A credit paid 15.00 of 40.00; the 25.00 that were charged go back: 15 of 40 parts stay.")
    sale = janes_customer(story, Plan(50_00), net=40_00, commission=8_00, balance=-15_00).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale), -5_00)
    story.leaves(JANE, "usd", 3_00)


def old_debt_is_paid_along(story: Story) -> None:
    story.tells("An old debt of 5.00 is paid along: 45.00 are charged, 40.00 are the base.")
    janes_customer(story, Plan(50_00), net=40_00, commission=8_00, balance=5_00)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    exclusive_tax,
    inclusive_tax,
    inclusive_tax_and_a_refund,
    yen,
    dinars,
    kronur,
    two_currencies,
    credit_pays_a_part,
    credit_pays_all,
    credit_pays_a_part_and_a_refund,
    old_debt_is_paid_along,
)
