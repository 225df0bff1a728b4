"""The span of time that is compared with Stripe, and the question that is asked about it."""

from __future__ import annotations

from datetime import datetime, timedelta

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.sales import SaleSource
from rekomi_mcp.operation import Context, Question
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import require_order

LONGEST = timedelta(days=92)
USUAL = timedelta(days=30)
CLOCKS_DIFFER = timedelta(minutes=5)
"""What Stripe dates by its own clock as of now may lie in the future of ours."""
MOST_OF_OURS = 2000
"""Sales of ours that one call looks for in Stripe."""


class WindowQuestion(Question):
    """What to read: everything that Stripe made in a span of time."""

    since: datetime
    until: datetime
    """The first second that is not meant any more."""
    asked_at: datetime
    ours: tuple[tuple[SaleSource, str, datetime], ...]
    """Credited sales of the span, newest first, which Stripe should know: source, id and time."""

    @property
    def is_open(self) -> bool:
        """Whether it reaches to now, so that nothing can have happened after it."""
        return self.until > self.asked_at


def question_of(
    context: Context, since: datetime | None, until: datetime | None, *, look_for_ours: bool
) -> WindowQuestion:
    """The question about a span; without an end up to now, without a beginning for 30 days.

    Raises:
        InvalidInput: it ends before it begins, or is too long.
    """
    require_order(since, until or context.now)
    end = until if until is not None and until <= context.now else context.now
    # Stripe reckons in seconds: what was made within the first one counts.
    begin = (since if since is not None else end - USUAL).replace(microsecond=0)
    if end - begin > LONGEST:
        raise InvalidInput(
            f"One call compares at most {LONGEST.days} days. Ask for them piece by piece.", field="since"
        )
    ours: list[tuple[str, str, datetime]] = []
    if look_for_ours:
        ours = storage.conversions.told_by_stripe(
            context.session, context.organization_id, (begin, end), context.now, MOST_OF_OURS
        )
    return WindowQuestion(
        account=lookups.stripe_account(context),
        since=begin,
        until=end if end < context.now else context.now + CLOCKS_DIFFER,
        asked_at=context.now,
        ours=tuple((SaleSource(source), source_id, at) for source, source_id, at in ours),
    )
