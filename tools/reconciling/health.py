"""Whether Stripe's news arrives and is worked off, and what stands in the way."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.paging import decode_id, encode_id
from rekomi_mcp.gateways.stripe_codes import FoundCode
from rekomi_mcp.operation import Context, Input, Inquiry, Operation, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Mode
from rekomi_mcp.tools.reconciling.health_answer import CodeDifference, DeletedCoupon, FailedEvent, Health, SourceHealth
from rekomi_mcp.tools.reconciling.next_steps import Beside, next_steps
from rekomi_mcp.tools.reconciling.stripe_state import MOST_COUPONS, NO_ACCOUNT, HealthQuestion, StripeState, look

if TYPE_CHECKING:
    from rekomi_mcp.storage.inbox import FailedEvent as FailedRow

MOST_FAILED = 20
MOST_CODES = 50
"""Shown of those that differ; the total is of all that were compared."""
_LIST = "health_codes"


class HealthInput(Input):
    cursor: str | None = Field(default=None, max_length=500, description="nextCursor, for more codes.")


def _account(context: Context) -> str:
    return lookups.organization(context).stripe_account or NO_ACCOUNT


def _ask(context: Context, request: HealthInput) -> HealthQuestion:
    coupons = storage.campaign_coupons.live_in_stripe(context.session, context.organization_id, MOST_COUPONS)
    return HealthQuestion(
        account=_account(context),
        coupon_ids=tuple(stripe_id for _, _, stripe_id in coupons),
        after=decode_id(_LIST, request.cursor) if request.cursor is not None else None,
    )


def _answer(context: Context, request: HealthInput, stripe: StripeState) -> Health:
    session, account = context.session, _account(context)
    waiting, oldest = storage.inbox.waiting(session, account)
    failed, newest_failed = storage.inbox.failed(session, account, MOST_FAILED)
    calls = storage.outbound.unfinished(session, context.organization_id)
    read_until = storage.inbox.read_until(session, account)
    coupons = storage.campaign_coupons.live_in_stripe(session, context.organization_id, MOST_COUPONS)
    differing = _differing(context, stripe.codes)
    found = Health(
        healthy=True,
        next_steps=[],
        stripe_mode=cast(Mode, context.mode),
        stripe_reachable=stripe.trouble is None if account != NO_ACCOUNT else None,
        stripe_trouble=stripe.trouble,
        webhook_secret_set=context.intake.webhooks,
        poll_seconds=context.intake.poll_seconds,
        read_until=read_until,
        read_seconds_ago=_seconds(context, read_until) if read_until is not None else None,
        sources=_sources(context, account),
        waiting_events=waiting,
        oldest_waiting_seconds=_seconds(context, oldest) if oldest is not None else None,
        failed_events_total=failed,
        failed_events=[_failed(context, row) for row in newest_failed],
        code_differences=differing[:MOST_CODES],
        codes_compared=len(stripe.codes),
        next_cursor=encode_id(_LIST, stripe.after) if stripe.after is not None else None,
        deleted_coupons=[
            DeletedCoupon(coupon_id=row_id, name=name)
            for row_id, name, stripe_id in coupons
            if stripe_id in stripe.gone_coupons
        ],
        pending_calls=calls.pending,
        failing_calls=calls.failing,
        last_call_error=calls.last_error,
    )
    beside = Beside(
        differing=len(differing),
        lost=storage.inbox.lost(session, account),
        servers_tell=account == NO_ACCOUNT and storage.server_sales.have_come(session, context.organization_id),
    )
    problems, hints = next_steps(found, beside)
    return found.model_copy(update={"healthy": not problems, "next_steps": [*problems, *hints]})


def _seconds(context: Context, since: datetime) -> int:
    return max(0, int((context.now - since).total_seconds()))


def _sources(context: Context, account: str) -> list[SourceHealth]:
    found: list[SourceHealth] = []
    for source in ("webhook", "poll"):
        last = storage.inbox.newest_from(context.session, account, source)
        if last is not None:
            ago = _seconds(context, last[1])
            found.append(SourceHealth(source=source, last_event_type=last[0], received_at=last[1], seconds_ago=ago))
    return found


def _failed(context: Context, row: FailedRow) -> FailedEvent:
    return FailedEvent(
        event_id=row.event_id,
        type=row.type,
        error=row.note or "unknown",
        attempts=row.attempts,
        received_at=row.received_at,
        seconds_ago=_seconds(context, row.received_at),
    )


def _differing(context: Context, found: list[FoundCode]) -> list[CodeDifference]:
    rows = storage.codes.by_promotion_codes(context.session, context.organization_id, (each.id for each in found))
    return [
        CodeDifference(
            code=row.code,
            code_id=row.id,
            promotion_code_id=each.id,
            here=row.status,
            in_stripe="active" if each.active else "inactive",
        )
        for each in found
        if (row := rows.get(each.id)) is not None and _differs(row.status, each, context.now)
    ]


def _differs(status: str, found: FoundCode, now: datetime) -> bool:
    """Whether it is on in one place only. A code that is used up or expired is off in Stripe by itself."""
    over = (found.expires_at is not None and found.expires_at <= now) or (
        found.max_redemptions is not None and found.times_redeemed >= found.max_redemptions
    )
    if status == "Active":
        return not found.active and not over
    return status == "Inactive" and found.active


TRACKING_HEALTH = Operation(
    name="tracking_health",
    title="Tracking health",
    summary="Show whether Stripe's events arrive and are worked off, whether codes agree, and what to do.",
    usage="Use it when sales do not show up, before find_missed_sales.",
    toolset="tracking",
    input=HealthInput,
    output=Health,
    inquiry=Inquiry(ask=_ask, call=look, answer=_answer),
    route=Route("GET", "/api/v1/tracking/health"),
    scope=Scope.READ,
)
