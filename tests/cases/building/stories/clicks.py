"""Clicks on links beside codes: who wins, and which click counts. Stripe knows nothing of this."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.blanks import JsonObject
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.story import BOB, JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew, subscribe
from tests.cases.building.world import DAY, START

SLUGS = {"jane": JANE, "bob": BOB}
CLICK = "click_1"


def clicks(story: Story, *clicked: tuple[str, int], **program: str | int) -> None:
    """Both have a link. One visitor clicked these slugs so many days before the story begins: `click_1`, `click_2` …"""
    story.rekomi["links"] = [{"affiliate": affiliate, "slug": slug} for slug, affiliate in SLUGS.items()]
    story.rekomi["clicks"] = [
        {"id": f"click_{number}", "slug": slug, "visitor": "visitor_1", "at": START - days * DAY}
        for number, (slug, days) in enumerate(clicked, start=1)
    ]
    story.rekomi["program"] = {"attributionModel": "LastTouch", "cookieWindowDays": 30, **program}


def code_yields_to_clicks(story: Story, coupon: JsonObject) -> None:
    """Switch `overridesClickAttribution` off."""
    story.rekomi["coupons"] = {coupon["id"]: {"overridesClickAttribution": False}}


def code_that_yields_but_nobody_clicked(story: Story) -> None:
    story.tells("JANE20 yields to clicks, and there is none: the code wins.")
    jane = story.code("JANE20", JANE)
    code_yields_to_clicks(story, jane.coupon)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane), customer(story.shop))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def code_that_yields_to_a_click(story: Story) -> None:
    story.tells("JANE20 yields to clicks, and Bob's link was clicked two days ago: Bob earns.")
    clicks(story, ("bob", 2))
    jane = story.code("JANE20", JANE)
    code_yields_to_clicks(story, jane.coupon)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane, click=CLICK), customer(story.shop))
    story.earns(BOB, sale, net=40_00, commission=8_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 8_00)


def code_that_overrides_a_click(story: Story) -> None:
    story.tells("JANE20 overrides clicks, as codes do unless told otherwise: Jane earns, although Bob was clicked.")
    clicks(story, ("bob", 2))
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane, click=CLICK), customer(story.shop))
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(JANE, "usd", 8_00)


def click_keeps_the_renewals(story: Story) -> None:
    story.tells(
        "Bob's click won a subscription with JANE20 forever, which yields: each renewal has her code and is Bob's."
    )
    clicks(story, ("bob", 2))
    jane = story.code("JANE20", JANE, story.coupon("AFF20F", duration="forever", percent_off=20.0))
    code_yields_to_clicks(story, jane.coupon)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]), click=CLICK)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(BOB, subscribed.first_invoice, net=40_00, commission=8_00, by="click")
    story.earns(BOB, renewal, net=40_00, commission=8_00, kind="renewal")
    story.leaves(BOB, "usd", 16_00)


def click_without_a_code(story: Story) -> None:
    story.tells("No code at all: the clicked link earns, and the renewal too.")
    clicks(story, ("bob", 2))
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00), click=CLICK)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(BOB, subscribed.first_invoice, net=50_00, commission=10_00, by="click")
    story.earns(BOB, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(BOB, "usd", 20_00)


def last_touch(story: Story) -> None:
    story.tells("One visitor clicked Jane's link, then Bob's: the last touch is Bob's.")
    clicks(story, ("jane", 5), ("bob", 1), attributionModel="LastTouch")
    sale = checkout.buy(story.shop, Purchase(50_00, click="click_2"), customer(story.shop))
    story.earns(BOB, sale, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 10_00)


def first_touch(story: Story) -> None:
    story.tells(
        "One visitor clicked Jane's link, then Bob's: the first touch is Jane's, though the session names Bob's."
    )
    clicks(story, ("jane", 5), ("bob", 1), attributionModel="FirstTouch")
    sale = checkout.buy(story.shop, Purchase(50_00, click="click_2"), customer(story.shop))
    story.earns(JANE, sale, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(JANE, "usd", 10_00)


def first_touch_within_the_window(story: Story) -> None:
    story.tells("Jane's click is 40 days old and the window is 30: the first touch that counts is Bob's.")
    clicks(story, ("jane", 40), ("bob", 1), attributionModel="FirstTouch")
    sale = checkout.buy(story.shop, Purchase(50_00, click="click_2"), customer(story.shop))
    story.earns(BOB, sale, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 10_00)


def click_that_is_too_old(story: Story) -> None:
    story.tells("Bob's click is 40 days old and the window is 30: nobody earns.")
    clicks(story, ("bob", 40))
    checkout.buy(story.shop, Purchase(50_00, click=CLICK), customer(story.shop))


def click_in_the_metadata(story: Story) -> None:
    story.tells("The session names the click in its metadata.")
    clicks(story, ("bob", 2))
    purchase = Purchase(50_00, metadata={"rekomi_click": CLICK})
    sale = checkout.buy(story.shop, purchase, customer(story.shop))
    story.earns(BOB, sale, net=50_00, commission=10_00, kind="one_off", by="click")
    story.leaves(BOB, "usd", 10_00)


def slug_in_the_metadata(story: Story) -> None:
    story.tells("The session names the slug of a link: the affiliate of that link earns.")
    clicks(story)
    sale = checkout.buy(story.shop, Purchase(50_00, metadata={"rekomi_ref": "jane"}), customer(story.shop))
    story.earns(JANE, sale, net=50_00, commission=10_00, kind="one_off", by="referral")
    story.leaves(JANE, "usd", 10_00)


def slug_in_the_subscription(story: Story) -> None:
    story.tells("A subscription made without a checkout names the slug; its invoices carry the metadata along.")
    clicks(story)
    plan = Plan(50_00, metadata={"rekomi_ref": "jane"})
    subscribed = subscribe(story.shop, customer(story.shop), plan)
    story.shop.days(30)
    renewal = renew(story.shop, subscribed)
    story.earns(JANE, subscribed.first_invoice, net=50_00, commission=10_00, by="referral")
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 20_00)


def click_and_slug_that_nobody_knows(story: Story) -> None:
    story.tells("The shop uses client_reference_id and metadata for itself: nobody earns.")
    clicks(story, ("bob", 2))
    purchase = Purchase(50_00, click="order_4711", metadata={"rekomi_ref": "nobody"})
    checkout.buy(story.shop, purchase, customer(story.shop))


def code_that_yields_beats_the_customer(story: Story) -> None:
    story.tells("Bob's customer redeems JANE20, which yields to clicks, and there is none: a code beats the customer.")
    jane = story.code("JANE20", JANE)
    bob = story.code("BOB10", BOB, story.coupon("AFF10O", percent_off=10.0))
    code_yields_to_clicks(story, jane.coupon)
    kim = customer(story.shop)
    first = checkout.buy(story.shop, Purchase(50_00, code=bob), kim)
    story.shop.days(2)
    again = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.earns(BOB, first, net=45_00, commission=9_00, kind="one_off", code=bob)
    story.earns(JANE, again, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.leaves(BOB, "usd", 9_00)
    story.leaves(JANE, "usd", 8_00)


def click_wins_a_customer_of_jane(story: Story) -> None:
    story.tells("Jane's customer comes back by Bob's link and without a code: a click is stronger than the customer.")
    clicks(story, ("bob", 0))
    jane, kim = story.code("JANE20", JANE), customer(story.shop)
    first = checkout.buy(story.shop, Purchase(50_00, code=jane), kim)
    story.shop.days(2)
    again = checkout.buy(story.shop, Purchase(30_00, click=CLICK), kim)
    story.earns(JANE, first, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.earns(BOB, again, net=30_00, commission=6_00, kind="one_off", by="click")
    story.leaves(JANE, "usd", 8_00)
    story.leaves(BOB, "usd", 6_00)


STORIES: tuple[Tell, ...] = (
    code_that_yields_but_nobody_clicked,
    code_that_yields_to_a_click,
    code_that_overrides_a_click,
    click_keeps_the_renewals,
    click_without_a_code,
    last_touch,
    first_touch,
    first_touch_within_the_window,
    click_that_is_too_old,
    click_in_the_metadata,
    slug_in_the_metadata,
    slug_in_the_subscription,
    click_and_slug_that_nobody_knows,
    code_that_yields_beats_the_customer,
    click_wins_a_customer_of_jane,
)
