"""Programs that pay for some of a subscription's invoices only."""

from __future__ import annotations

from tests.cases.building import checkout
from tests.cases.building.offers import customer
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renew


def two_renewals_earn(story: Story) -> None:
    story.tells("The program pays for two renewals: the first payment and two more earn, the fourth does not.")
    story.recurring = {"months": 2}
    subscribed = jane_sells(story)
    for _ in range(2):
        story.shop.days(30)
        story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.leaves(JANE, "usd", 28_00)


def no_renewal_earns(story: Story) -> None:
    story.tells("The program pays for the first payment only.")
    story.recurring = {"months": 0}
    subscribed = jane_sells(story)
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.leaves(JANE, "usd", 8_00)


def first_invoice_is_skipped(story: Story) -> None:
    story.tells("The program pays from the second paid invoice on.")
    story.recurring = {"delay_invoices": 1}
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane]))
    story.by_now()
    for _ in range(2):
        story.shop.days(30)
        story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
    story.leaves(JANE, "usd", 20_00)


def trial_and_two_renewals(story: Story) -> None:
    story.tells("The invoice of a trial counts as none: three paid invoices earn, the fourth does not.")
    story.recurring = {"months": 2}
    jane = story.code("JANE20", JANE)
    subscribed = checkout.subscribe(story.shop, customer(story.shop), Plan(50_00, codes=[jane], trial_days=14))
    story.shop.days(14)
    story.earns(JANE, renew(story.shop, subscribed), net=40_00, commission=8_00, code=jane)
    for _ in range(2):
        story.shop.days(30)
        story.earns(JANE, renew(story.shop, subscribed), net=50_00, commission=10_00, kind="renewal")
    story.shop.days(30)
    renew(story.shop, subscribed)
    story.leaves(JANE, "usd", 28_00)


STORIES: tuple[Tell, ...] = (
    two_renewals_earn,
    no_renewal_earns,
    first_invoice_is_skipped,
    trial_and_two_renewals,
)
