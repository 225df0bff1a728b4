"""What an upgrade does to the count of a subscription's payments."""

from __future__ import annotations

from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import change_price, renew


def upgrade_is_no_renewal(story: Story) -> None:
    story.tells(
        "The first payment and one renewal earn. Half a month after the first payment the price goes up.",
        "the upgrade earns, and the renewal after it is still the first",
        "after the last renewal that earns an upgrade earns nothing either",
    )
    story.recurring = {"months": 1}
    subscribed = jane_sells(story)
    story.shop.days(15)
    upgrade = change_price(story.shop, subscribed, 100_00, credit=25_00, charge=50_00)
    story.shop.days(15)
    renewal = renew(story.shop, subscribed)
    story.shop.days(15)
    change_price(story.shop, subscribed, 200_00, credit=50_00, charge=100_00)
    story.shop.days(15)
    renew(story.shop, subscribed)
    story.earns(JANE, upgrade, net=25_00, commission=5_00, kind="update")
    story.earns(JANE, renewal, net=100_00, commission=20_00, kind="renewal")
    story.leaves(JANE, "usd", 33_00)


def upgrade_where_no_renewal_earns(story: Story) -> None:
    story.tells("Only the first payment earns: an upgrade in its month is a second payment.")
    story.recurring = {"months": 0}
    subscribed = jane_sells(story)
    story.shop.days(15)
    change_price(story.shop, subscribed, 100_00, credit=25_00, charge=50_00)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (upgrade_is_no_renewal, upgrade_where_no_renewal_earns)
