"""Codes that become an affiliate's after they were redeemed."""

from __future__ import annotations

from tests.cases.building import checkout, offers
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import customer
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew


def code_adopted_during_a_trial(story: Story) -> None:
    story.tells(
        "A trial begins with KIM20, which is nobody's; in the trial Kim buys something else without a code. Then "
        "KIM20 is adopted for Jane, and the trial's first payment comes: Kim was Jane's customer since the trial began.",
        "the customer is Jane's since the first payment only",
    )
    kim = customer(story.shop)
    nobodys = offers.promotion_code(story.shop, story.coupon("AFF20O", percent_off=20.0), "KIM20")
    subscribed = checkout.subscribe(story.shop, kim, Plan(50_00, codes=[nobodys], trial_days=14))
    story.shop.days(5)
    other = checkout.buy(story.shop, Purchase(30_00), kim)
    story.by_now()
    story.owns(JANE, nobodys, adopt_after=len(story.shop.deliveries))
    story.shop.days(9)
    first = renew(story.shop, subscribed)
    story.earns(JANE, other, net=30_00, commission=6_00, kind="one_off", by="customer")
    story.earns(JANE, first, net=40_00, commission=8_00, code=nobodys)
    story.leaves(JANE, "usd", 14_00)


STORIES: tuple[Tell, ...] = (code_adopted_during_a_trial,)
