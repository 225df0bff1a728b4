"""Who the buyer is: somebody whom an affiliate brought before, or the affiliate."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.story import BOB, JANE, Story, Tell
from tests.cases.building.subscriptions import Plan
from tests.cases.building.world import DAY, START

SELF_PURCHASE = "self_purchase"


def jane_brought_kim(story: Story) -> None:
    lead = {"affiliate": JANE, "email": "kim@example.com", "at": START - 5 * DAY}
    story.rekomi["leads"] = [lead]


def lead_buys(story: Story) -> None:
    story.tells("Jane brought a signup with Kim's address; Kim buys without a code: Jane earns. Case does not matter.")
    jane_brought_kim(story)
    sale = checkout.buy(story.shop, Purchase(50_00), customer(story.shop, "Kim@Example.com"))
    story.earns(JANE, sale, net=50_00, commission=10_00, kind="one_off", by="lead")
    story.leaves(JANE, "usd", 10_00)


def lead_buys_as_a_guest(story: Story) -> None:
    story.tells("The lead buys as a guest: the address at the checkout is all there is.")
    jane_brought_kim(story)
    sale = checkout.buy(story.shop, Purchase(50_00, email="kim@example.com"))
    story.earns(JANE, sale, net=50_00, commission=10_00, kind="one_off", by="lead")
    story.leaves(JANE, "usd", 10_00)


def lead_buys_with_bobs_code(story: Story) -> None:
    story.tells("Jane's lead redeems Bob's code: the code is stronger.")
    jane_brought_kim(story)
    bob = story.code("BOB20", BOB)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[bob]))
    story.earns(BOB, subscribed.first_invoice, net=40_00, commission=8_00, code=bob)
    story.leaves(BOB, "usd", 8_00)


def self_purchase(story: Story) -> None:
    story.tells("Jane redeems her own code: the sale is noted for her and not paid. Case does not matter.")
    story.rekomi["affiliateEmails"] = {JANE: "jane@example.com"}
    story.rekomi["program"] = {"allowSelfPurchase": False}
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop, "Jane@Example.com"))
    story.flags(sale, JANE, SELF_PURCHASE)


def self_purchase_allowed(story: Story) -> None:
    story.tells("Jane redeems her own code, and the program has nothing against it.")
    story.rekomi["affiliateEmails"] = {JANE: "jane@example.com"}
    story.rekomi["program"] = {"allowSelfPurchase": True}
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop, "jane@example.com"))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    lead_buys,
    lead_buys_as_a_guest,
    lead_buys_with_bobs_code,
    self_purchase,
    self_purchase_allowed,
)
