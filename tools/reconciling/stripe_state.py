"""What Stripe says of the codes and coupons that should be there, and whether it answers at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe_codes import FoundCode, found_code
from rekomi_mcp.gateways.stripe_lists import coupons
from rekomi_mcp.operation import Question

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount

NO_ACCOUNT = ""
"""The account of an organization that has none."""
MOST_PAGES = 5
"""Of a hundred codes, and of a hundred coupons, in one call: a further call goes on with the codes."""
MOST_COUPONS = 100
_MOST_LOOKUPS = 20


class HealthQuestion(Question):
    coupon_ids: tuple[str, ...]
    """Stripe's ids of the coupons that should be there."""
    after: str | None
    """The promotion code to go on after; None to begin with the newest."""


@dataclass(slots=True)
class StripeState:
    trouble: str | None = None
    """Why Stripe could not be asked, in words; None when it answered."""
    codes: list[FoundCode] = field(default_factory=list[FoundCode])
    """Newest first."""
    after: str | None = None
    """The promotion code to go on after; None when there are no more."""
    gone_coupons: frozenset[str] = frozenset()


async def look(stripe: StripeAccount, question: HealthQuestion) -> StripeState:
    """Never raises for what Stripe answers: that it does not is what somebody wants to know."""
    if question.account == NO_ACCOUNT:
        return StripeState()
    try:
        codes, after = await _codes(stripe, question.after)
        return StripeState(None, codes, after, await _gone(stripe, question.coupon_ids))
    except Refusal as refusal:
        return StripeState(refusal.message)


async def _codes(stripe: StripeAccount, after: str | None) -> tuple[list[FoundCode], str | None]:
    """As many codes as one call reads, and after which one to go on."""
    read: list[FoundCode] = []
    for _ in range(MOST_PAGES):
        page, has_more = await stripe.promotion_codes(text=None, active_only=False, after=after)
        read += [found_code(each) for each in page]
        if not has_more or not page:
            return read, None
        after = read[-1].id
    return read, after


async def _gone(stripe: StripeAccount, wanted: tuple[str, ...]) -> frozenset[str]:
    """Those of the coupons that Stripe does not have."""
    if not wanted:
        return frozenset()
    there, after = set[str](), None
    for _ in range(MOST_PAGES):
        page, has_more = await coupons(stripe, after)
        there |= {str(coupon["id"]) for coupon in page}
        if not has_more or not page:
            return frozenset(wanted) - there
        after = str(page[-1]["id"])
    unseen = [each for each in wanted if each not in there][:_MOST_LOOKUPS]
    return frozenset([each for each in unseen if await stripe.coupon(each) is None])
