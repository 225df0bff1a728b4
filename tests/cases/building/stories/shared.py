"""One payment on two invoices: each is paid with a part of it, and bears its part of what goes back."""

from __future__ import annotations

from tests.cases.building import checkout, invoices, payments, subscriptions
from tests.cases.building.blanks import JsonObject
from tests.cases.building.checkout import Purchase
from tests.cases.building.invoices import Bill, Line
from tests.cases.building.offers import Code, customer, price, redeem
from tests.cases.building.payments import dispute, refund
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import BOB, JANE, Story, Tell
from tests.cases.building.subscriptions import Plan


def one_payment_on_two_invoices(story: Story) -> None:
    story.tells(
        "Kim transfers 100.00; the merchant puts 60.00 on one invoice and 40.00 on another. 25.00 go back, then all.",
        "taken from one of the two, the other keeps its commission when everything has gone back",
    )
    jane, bob = story.code("JANE20", JANE), story.code("BOB20", BOB)
    of_jane, of_bob = _two_invoices(story, jane, bob)
    for amount, from_jane, from_bob in ((25_00, -3_00, -2_00), (75_00, -9_00, -6_00)):
        story.shop.days(1)
        given_back = refund(story.shop, of_jane, amount)
        story.takes_back(of_jane, given_back, from_jane)
        story.takes_back(of_bob, given_back, from_bob)
    story.leaves(JANE, "usd", 0)
    story.leaves(BOB, "usd", 0)


def dispute_of_a_shared_payment(story: Story) -> None:
    story.tells("The same, and the customer's bank takes half of it back: both are on hold, and both lose by it.")
    jane, bob = story.code("JANE20", JANE), story.code("BOB20", BOB)
    of_jane, of_bob = _two_invoices(story, jane, bob)
    story.shop.days(1)
    opened = dispute(story.shop, of_jane, 50_00)
    story.by_now((JANE, "usd", 12_00), (BOB, "usd", 8_00), held=(of_jane, of_bob))
    story.shop.days(20)
    payments.dispute_closes(story.shop, opened, "lost")
    story.takes_back(of_jane, opened, -6_00)
    story.takes_back(of_bob, opened, -4_00)
    story.leaves(JANE, "usd", 6_00)
    story.leaves(BOB, "usd", 4_00)


def second_invoice_after_the_refund(story: Story) -> None:
    story.tells(
        "50.00 of the 100.00 have gone back when the rest of it is put on the second invoice.",
        "until then the first invoice bears all of it, and then gets back what the second one bears",
    )
    jane, bob = story.code("JANE20", JANE), story.code("BOB20", BOB)
    kim = customer(story.shop)
    intent = payments.pay(story.shop, 100_00, "usd", customer=kim["id"], email=kim["email"])
    of_jane = put_on_invoice(story, kim, jane, 75_00, intent)
    story.earns(JANE, of_jane, net=60_00, commission=12_00, kind="one_off", code=jane)
    story.shop.days(1)
    given_back = refund(story.shop, of_jane, 50_00)
    story.takes_back(of_jane, given_back, -10_00)
    story.by_now((JANE, "usd", 2_00))
    story.shop.days(1)
    of_bob = put_on_invoice(story, kim, bob, 50_00, intent)
    story.earns(BOB, of_bob, net=40_00, commission=8_00, kind="one_off", code=bob)
    story.takes_back(of_jane, given_back, 4_00)
    story.takes_back(of_bob, given_back, -4_00)
    story.leaves(JANE, "usd", 6_00)
    story.leaves(BOB, "usd", 4_00)


def payment_shared_with_a_renewal(story: Story) -> None:
    story.tells(
        "One transfer pays an invoice without a code and the renewal of a subscription. Half of it goes back.",
        "the event of the renewal does not say what paid it, and the payment is known as the other invoice's",
    )
    subscribed = jane_sells(story)
    story.shop.days(30)
    kim = subscribed.customer
    intent = payments.pay(story.shop, 80_00, "usd", customer=kim["id"], email=kim["email"])
    other = put_on_invoice(story, kim, None, 30_00, intent)
    story.earns(JANE, other, net=30_00, commission=6_00, kind="one_off", by="customer")
    renewal = subscriptions.renewal_due(story.shop, subscribed)
    invoices.attach(story.shop, renewal, intent)
    story.shop.tell("invoice.paid", renewal)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.shop.days(1)
    given_back = refund(story.shop, other, 40_00)
    story.takes_back(other, given_back, -3_00)
    story.takes_back(renewal, given_back, -5_00)
    story.leaves(JANE, "usd", 16_00)


def payment_attached_to_a_renewal(story: Story) -> None:
    story.tells(
        "The merchant puts what Kim paid at a checkout on the renewal of a subscription that nobody brought.",
        "the renewal's event does not say what paid it; that of the invoice payment does",
    )
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    subscribed = checkout.subscribe(story.shop, kim, Plan(40_00))
    story.shop.days(28)
    session = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.by_now((JANE, "usd", 8_00))
    story.shop.days(2)
    renewal = subscriptions.renewal_due(story.shop, subscribed)
    payment = invoices.attach(story.shop, renewal, story.shop.get("payment_intent", session["payment_intent"]))
    story.shop.tell("invoice.paid", renewal)
    story.shop.tell("invoice_payment.paid", payment)
    story.earns(JANE, renewal, net=40_00, commission=8_00, kind="renewal", code=jane)
    story.leaves(JANE, "usd", 8_00)


def _two_invoices(story: Story, jane: Code, bob: Code) -> tuple[JsonObject, JsonObject]:
    """60.00 net by Jane's code and 40.00 by Bob's, paid with one payment."""
    kim = customer(story.shop)
    intent = payments.pay(story.shop, 100_00, "usd", customer=kim["id"], email=kim["email"])
    of_jane = put_on_invoice(story, kim, jane, 75_00, intent)
    of_bob = put_on_invoice(story, kim, bob, 50_00, intent)
    story.earns(JANE, of_jane, net=60_00, commission=12_00, kind="one_off", code=jane)
    story.earns(BOB, of_bob, net=40_00, commission=8_00, kind="one_off", code=bob)
    return of_jane, of_bob


def put_on_invoice(story: Story, kim: JsonObject, code: Code | None, amount: int, intent: JsonObject) -> JsonObject:
    """An invoice that the merchant writes by hand and puts a payment on."""
    once = price(story.shop, amount, "usd", monthly=False)
    discounts = [redeem(story.shop, code, customer=kim["id"])] if code is not None else []
    invoice = invoices.issue(story.shop, Bill(kim, [Line(once, amount)], "manual", discounts))
    for discount in discounts:
        discount["invoice"] = invoice["id"]
    invoices.attach(story.shop, invoice, intent)
    story.shop.tell("invoice.paid", invoice)
    return invoice


STORIES: tuple[Tell, ...] = (
    one_payment_on_two_invoices,
    dispute_of_a_shared_payment,
    second_invoice_after_the_refund,
    payment_shared_with_a_renewal,
    payment_attached_to_a_renewal,
)
