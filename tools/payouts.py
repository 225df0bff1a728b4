"""Payouts: who would be paid what now, and who waits and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import InvalidInput, NotFound
from rekomi_mcp.domain.money import display
from rekomi_mcp.domain.paging import MAX_TAKE
from rekomi_mcp.domain.payout import PayoutMethod, PlannedPayout, plan_one
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import WHOLE, Day, Id, Mode

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import AffiliateRow

Reason = Literal[
    "on_hold",
    "negative_balance",
    "no_stripe_connect",
    "affiliate_pending",
    "affiliate_rejected",
    "affiliate_paused",
    "affiliate_banned",
]
_IN_WORDS = {
    "on_hold": "the refund window of these sales is still open",
    "negative_balance": "refunds took back more than is due; the next commissions are netted against it",
    "no_stripe_connect": "the affiliate has not connected a Stripe account; method Manual pays outside",
}


class CandidateOutput(Output):
    affiliate_id: str
    affiliate_name: str
    amount: str = Field(description="For people: what would be paid, or what waits.")
    amount_cents: int
    currency: str
    line_item_count: int = Field(description="Sales behind it.")
    is_eligible: bool
    ineligibility_reason: Reason | None = None
    explanation: str | None = Field(default=None, description="The reason in words.")
    held_cents: int = Field(description="Not yet payable, beside amountCents when that is eligible.")
    held_until: datetime | None = Field(default=None, description="When the next part of it becomes payable.")


class TotalOutput(Output):
    total: str
    total_cents: int
    currency: str
    eligible_count: int


class PreviewOutput(Output):
    total_cents: int | None = Field(default=None, description="What would be paid; null with several currencies.")
    currency: str | None = Field(default=None, description="Of totalCents; null with several currencies or none.")
    totals: list[TotalOutput] = Field(description="What would be paid, by currency.")
    eligible_count: int
    ineligible_count: int
    method: PayoutMethod
    stripe_mode: Mode = Field(description="sandbox and test commissions are not real money.")
    candidates: list[CandidateOutput] = Field(description="A part of the list, eligible first, largest first.")
    has_more: bool = Field(description="True when there are more candidates than shown; totals count them all.")


class PreviewInput(Input):
    method: PayoutMethod = Field(default=PayoutMethod.Manual, description="How they would be paid.")
    affiliate_ids: Annotated[list[Id], Field(max_length=200)] | None = Field(
        default=None, description="Only these; everyone when left out."
    )
    period_start: Day | None = Field(default=None, description="Only sales paid on or after this day.")
    period_end: Day | None = Field(default=None, description="Only sales paid on or before this day.")
    take: Annotated[int, Field(ge=1, le=MAX_TAKE), WHOLE] = Field(
        default=50, description="How many candidates to show at most."
    )


def _preview(context: Context, request: PreviewInput) -> PreviewOutput:
    session, organization_id = context.session, context.organization_id
    wanted = storage.ledger.BalanceFilter(request.affiliate_ids, *_period(context, request))
    if request.affiliate_ids is not None:
        known = storage.affiliates.by_ids(session, organization_id, request.affiliate_ids)
        if len(known) < len(set(request.affiliate_ids)):
            raise NotFound("One of these affiliates does not exist. See list_affiliates.", field="affiliateIds")
    balances = storage.ledger.balances(session, organization_id, wanted, context.now)
    status_of = storage.affiliates.unapproved(session, organization_id).get
    planned = [plan_one(b, status_of(b.affiliate_id, storage.affiliates.APPROVED), request.method) for b in balances]
    planned.sort(key=lambda p: (not p.is_eligible, -p.amount_minor, p.balance.affiliate_id, p.balance.currency))
    shown = planned[: request.take]
    people = sorted({p.balance.affiliate_id for p in shown})
    affiliates = storage.affiliates.by_ids(session, organization_id, people)
    of_people = replace(wanted, affiliate_ids=people)
    releases = storage.ledger.next_releases(session, organization_id, of_people, context.now)
    disputed = storage.ledger.disputed(session, organization_id, of_people, {p.balance.currency for p in shown})
    totals = _totals(planned)
    only = totals[0] if len(totals) == 1 else None
    return PreviewOutput.model_validate(
        {
            "total_cents": only.total_cents if only else (None if totals else 0),
            "currency": only.currency if only else None,
            "totals": totals,
            "eligible_count": sum(p.is_eligible for p in planned),
            "ineligible_count": sum(not p.is_eligible for p in planned),
            "method": request.method,
            "stripe_mode": context.mode,
            "candidates": [_candidate(p, affiliates[p.balance.affiliate_id], releases, disputed) for p in shown],
            "has_more": len(planned) > len(shown),
        }
    )


def _period(context: Context, request: PreviewInput) -> tuple[datetime | None, datetime | None]:
    """The period's first moment and the moment after its last day, in the organization's time zone."""
    start, end = request.period_start, request.period_end
    if start is not None and end is not None and start > end:
        raise InvalidInput("periodStart must not be after periodEnd.", field="periodStart")
    zone = ZoneInfo(lookups.organization(context).timezone)
    since = datetime.combine(start, time.min, zone) if start else None
    until = datetime.combine(end + timedelta(days=1), time.min, zone) if end else None
    return since, until


def _totals(planned: list[PlannedPayout]) -> list[TotalOutput]:
    sums: dict[str, list[int]] = {}
    for payout in planned:
        if payout.is_eligible:
            sums.setdefault(payout.balance.currency, []).append(payout.amount_minor)
    return [
        TotalOutput(
            total=display(sum(amounts), currency),
            total_cents=sum(amounts),
            currency=currency,
            eligible_count=len(amounts),
        )
        for currency, amounts in sorted(sums.items())
    ]


def _candidate(
    payout: PlannedPayout,
    affiliate: AffiliateRow,
    releases: Mapping[tuple[str, str], datetime],
    disputed: Mapping[tuple[str, str], int],
) -> dict[str, object]:
    balance = payout.balance
    key = (balance.affiliate_id, balance.currency)
    held_until = releases.get(key)
    return {
        "affiliate_id": affiliate.id,
        "affiliate_name": affiliate.full_name or affiliate.email,
        "amount": display(payout.amount_minor, balance.currency),
        "amount_cents": payout.amount_minor,
        "currency": balance.currency,
        "line_item_count": balance.sales,
        "is_eligible": payout.is_eligible,
        "ineligibility_reason": payout.ineligibility_reason,
        "explanation": _in_words(payout, affiliate, disputed.get(key, 0), held_until),
        "held_cents": balance.held_minor,
        "held_until": held_until,
    }


def _in_words(
    payout: PlannedPayout, affiliate: AffiliateRow, disputed_minor: int, held_until: datetime | None
) -> str | None:
    """Why they wait, and what of the held money waits for the end of a dispute, which has no date."""
    reason, currency = payout.ineligibility_reason, payout.balance.currency
    words: list[str] = []
    if reason is not None and not (reason == "on_hold" and disputed_minor):
        words.append(_IN_WORDS.get(reason, f"the affiliate is {affiliate.status}"))
    if disputed_minor:
        words.append(f"{display(disputed_minor, currency)} waits for the end of a dispute")
        if held_until is not None:
            rest = display(payout.balance.held_minor - disputed_minor, currency)
            words.append(
                f"the refund window of {rest} is still open, the next part's until {held_until:%Y-%m-%d %H:%M} UTC"
            )
    return "; ".join(words) or None


RUN_PAYOUT_PREVIEW = Operation(
    name="run_payout_preview",
    title="Run payout preview",
    summary="Compute who would be paid what right now, and who waits and why. Nothing is paid.",
    usage="Answers who is owed money; for the sales behind an amount use list_conversions.",
    toolset="payouts",
    input=PreviewInput,
    output=PreviewOutput,
    handler=_preview,
    route=Route("POST", "/api/v1/payouts/preview"),
    scope=Scope.READ,
    role=Role.Owner,
)
