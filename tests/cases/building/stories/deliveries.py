"""How events arrive: twice, late, backwards, in an older version, or from the other mode."""

from __future__ import annotations

import copy

from tests.cases.building import checkout, legacy, payments
from tests.cases.building.amounts import Tax
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.payments import dispute, refund
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew


def same_events_again(story: Story) -> None:
    story.tells("Every event arrives twice, with the same id.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale, 10_00), -2_00)
    story.shop.deliver_again(*story.shop.events)
    story.leaves(JANE, "usd", 6_00)


def two_events_of_one_payment(story: Story) -> None:
    story.tells("invoice.paid and invoice.payment_succeeded tell of one payment.", "the id of an event is not enough")
    subscribed = jane_sells(story)
    story.shop.tell("invoice.payment_succeeded", subscribed.first_invoice)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.shop.tell("invoice.payment_succeeded", renewal)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def refund_before_the_sale(story: Story) -> None:
    story.tells("The refund arrives before anybody has heard of the sale.", "a refund of nothing must be kept")
    sale = jane_sells(story).first_invoice
    story.shop.days(1)
    story.takes_back(sale, refund(story.shop, sale, 10_00), -2_00)
    session, created, paid, refunded, charge = story.shop.deliveries
    story.shop.deliver_in_order(refunded, charge, session, created, paid)
    story.leaves(JANE, "usd", 6_00)


def sum_before_its_refunds(story: Story) -> None:
    story.tells("charge.refunded arrives twice, with the sum of both refunds, before either refund does.")
    sale = jane_sells(story).first_invoice
    story.shop.days(1)
    first = refund(story.shop, sale, 10_00)
    story.shop.days(1)
    second = refund(story.shop, sale, 5_00)
    *sold, told_first, sum_one, told_second, sum_two = story.shop.deliveries
    story.shop.deliver_in_order(*sold, sum_two, sum_one, told_second, told_first)
    story.takes_back(sale, first, -2_00)
    story.takes_back(sale, second, -1_00)
    story.leaves(JANE, "usd", 5_00)


def failure_before_its_refund(story: Story) -> None:
    story.tells("That the refund failed arrives before that it was made: the late news changes nothing.")
    sale = jane_sells(story).first_invoice
    story.shop.days(1)
    given_back = refund(story.shop, sale, 10_00)
    story.shop.days(5)
    payments.refund_fails(story.shop, given_back)
    *sold, made, charge, updated, failed = story.shop.deliveries
    story.shop.deliver_in_order(*sold, failed, updated, charge, made)
    story.leaves(JANE, "usd", 8_00)


def decision_before_its_dispute(story: Story) -> None:
    story.tells("That the dispute was won arrives before that it was opened: no hold is left behind.")
    sale = jane_sells(story).first_invoice
    story.shop.days(10)
    opened = dispute(story.shop, sale)
    story.shop.days(20)
    payments.dispute_closes(story.shop, opened, "won")
    *sold, created, withdrawn, reinstated, closed = story.shop.deliveries
    story.shop.deliver_in_order(*sold, closed, reinstated, withdrawn, created)
    story.by_now((JANE, "usd", 8_00))
    story.leaves(JANE, "usd", 8_00)


def renewal_before_the_first_invoice(story: Story) -> None:
    story.tells("The renewal, which carries no code, arrives before all that happened at the checkout.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    session, created, paid, renewed = story.shop.deliveries
    story.shop.deliver_in_order(renewed, paid, created, session)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def checkout_arrives_days_late(story: Story) -> None:
    story.tells(
        "The first purchase of a customer arrives after the second, which has no code: both are Jane's.",
        "a sale of nobody may turn out to be somebody's",
    )
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    first = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.shop.days(3)
    again = checkout.buy(story.shop, Purchase(30_00), kim)
    told_first, told_second = story.shop.deliveries
    story.shop.deliver_in_order(told_second, told_first)
    story.earns(JANE, first, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.earns(JANE, again, net=30_00, commission=6_00, kind="one_off", by="customer")
    story.leaves(JANE, "usd", 14_00)


def everything_backwards(story: Story) -> None:
    story.tells("A sale, a renewal, a refund of each, and all of it arrives backwards.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.shop.days(2)
    of_renewal = refund(story.shop, renewal, 25_00)
    of_first = refund(story.shop, subscribed.first_invoice, 10_00)
    story.shop.deliver_in_order(*reversed(story.shop.deliveries))
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.takes_back(renewal, of_renewal, -5_00)
    story.takes_back(subscribed.first_invoice, of_first, -2_00)
    story.leaves(JANE, "usd", 11_00)


def events_without_meaning(story: Story) -> None:
    story.tells("Events that change nothing: a customer's address, a charge, a price.")
    subscribed = jane_sells(story)
    story.shop.tell("charge.succeeded", story.shop.all("charge")[0])
    story.shop.tell("payment_intent.succeeded", story.shop.all("payment_intent")[0])
    story.shop.days(1)
    story.shop.change("customer.updated", subscribed.customer, phone="+15550100")
    story.shop.tell("invoice.updated", subscribed.first_invoice)
    story.leaves(JANE, "usd", 8_00)


def older_version(story: Story) -> None:
    story.tells(
        "The endpoint was set up in 2024: sessions without discounts, discounts with coupons in them, invoices with a "
        "subscription and a payment intent of their own. Everything has to be fetched again.",
        "parsing a payload of another version",
    )
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    for event in story.shop.events:
        legacy.make_old(story.shop, event)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 18_00)


def older_version_with_tax(story: Story) -> None:
    story.tells("An old payload has its tax in other fields; the base stays 40.00 of 44.00.")
    jane = story.code("JANE20", JANE)
    plan = Plan(50_00, tax=Tax("10"), codes=[jane])
    sale = checkout.subscribe(story.shop, customer(story.shop), plan).first_invoice
    for event in story.shop.events:
        legacy.make_old(story.shop, event)
    story.earns(JANE, sale, net=40_00, commission=8_00, code=jane)
    story.leaves(JANE, "usd", 8_00)


def event_of_the_other_mode(story: Story) -> None:
    story.tells(
        "All of this is test mode. One event of live mode comes to the same endpoint: it is not counted, and nothing in "
        "test mode answers for it.",
        "livemode is not looked at",
    )
    jane_sells(story)
    live = copy.deepcopy(story.shop.events[0])
    live["id"], live["livemode"] = story.shop.new_id("evt_1"), True
    session = live["data"]["object"]
    session.update(id=story.shop.new_id("cs_live_a1"), livemode=True, mode="payment", subscription=None, invoice=None)
    session["payment_intent"] = story.shop.new_id("pi_3")
    story.shop.deliveries.append(live)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    same_events_again,
    two_events_of_one_payment,
    refund_before_the_sale,
    sum_before_its_refunds,
    failure_before_its_refund,
    decision_before_its_dispute,
    renewal_before_the_first_invoice,
    checkout_arrives_days_late,
    everything_backwards,
    events_without_meaning,
    older_version,
    older_version_with_tax,
    event_of_the_other_mode,
)
