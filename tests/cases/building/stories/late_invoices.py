"""Checkouts whose invoice is not marked as paid yet when they are told of."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.stories.clicks import CLICK, clicks
from tests.cases.building.story import BOB, Story, Tell


def invoice_paid_after_its_checkout_told(story: Story) -> None:
    story.tells(
        "Bob's link led to a purchase with an invoice, which is open when Stripe is asked for the checkout's sake.",
        "the invoice does not name the click, and the checkout that does has been told already",
    )
    clicks(story, ("bob", 2))
    purchase = Purchase(50_00, click=CLICK)
    _, invoice = checkout.buy_with_late_invoice(story.shop, purchase, customer(story.shop))
    story.earns(BOB, invoice, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 10_00)


STORIES: tuple[Tell, ...] = (invoice_paid_after_its_checkout_told,)
