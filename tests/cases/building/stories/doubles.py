"""One sale that is told twice: its checkout first, and then an invoice for the same payment."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.payments import refund
from tests.cases.building.stories.clicks import CLICK, clicks
from tests.cases.building.story import BOB, JANE, Story, Tell


def invoice_after_its_checkout(story: Story) -> None:
    story.tells(
        "Checkout writes the invoice a minute after it has told of the purchase: the event names no invoice.",
        "the session and the invoice have one payment: one conversion, the invoice's",
    )
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    bought = Purchase(50_00, code=jane)
    session = checkout.buy(story.shop, bought, kim)
    story.by_now((JANE, "usd", 8_00))
    story.shop.now += 60
    invoice = checkout.write_invoice(story.shop, session, bought, kim)
    story.earns(JANE, invoice, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def invoice_after_a_checkout_by_a_click(story: Story) -> None:
    story.tells(
        "The same with a click instead of a code: only the checkout knows of it, and the invoice has no discount.",
        "the event of the invoice does not say what paid it",
        "the customer is Bob's by the session: the invoice must not be a second sale of Bob's",
    )
    clicks(story, ("bob", 2))
    kim, bought = customer(story.shop), Purchase(50_00, click=CLICK)
    session = checkout.buy(story.shop, bought, kim)
    story.by_now((BOB, "usd", 10_00))
    story.shop.now += 60
    invoice = checkout.write_invoice(story.shop, session, bought, kim)
    story.earns(BOB, invoice, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 10_00)


def payment_attached_to_an_invoice(story: Story) -> None:
    story.tells(
        "The merchant writes an invoice two days later and attaches the checkout's payment to it, of which a quarter "
        "was given back meanwhile: the session never names the invoice.",
        "the refund goes over to the invoice's sale",
    )
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    session = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.shop.days(1)
    given_back = refund(story.shop, session, 10_00)
    story.by_now((JANE, "usd", 6_00))
    story.shop.days(1)
    invoice = checkout.write_invoice_by_hand(story.shop, session, kim)
    story.earns(JANE, invoice, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.takes_back(invoice, given_back, -2_00)
    story.leaves(JANE, "usd", 6_00)


STORIES: tuple[Tell, ...] = (
    invoice_after_its_checkout,
    invoice_after_a_checkout_by_a_click,
    payment_attached_to_an_invoice,
)
