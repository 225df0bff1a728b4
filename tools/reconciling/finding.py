"""Sales of Stripe that the books do not have as they should."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from pydantic import Field

from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.paging import decode_cursor, encode_cursor, foreign_cursor
from rekomi_mcp.operation import Context, Inquiry, Operation, Route
from rekomi_mcp.tools.fields import ListInput, ListOutput, Mode, Moment
from rekomi_mcp.tools.reconciling.differences import compare
from rekomi_mcp.tools.reconciling.payments_before import EARLIER_PAYMENTS
from rekomi_mcp.tools.reconciling.stripe_walk import Walk, walk
from rekomi_mcp.tools.reconciling.window import WindowQuestion, question_of
from rekomi_mcp.tools.reconciling.words import Counts, Finding, count, present

_LIST = "missed_sales"


class FindInput(ListInput):
    since: Moment | None = Field(
        default=None, description="Made in Stripe at or after; 30 days before until when left out, at most 92."
    )
    until: Moment | None = Field(default=None, description="Made before; now when left out.")


class MissedSales(ListOutput[Finding]):
    counts: Counts = Field(description="All findings of the time that was compared, by kind.")
    unrelated_sales: int = Field(description="Sales no affiliate has to do with, that are not recorded: not listed.")
    checked_since: datetime = Field(description="Compared from here on; a later page goes further back.")
    checked_until: datetime
    notes: list[str] = Field(description="What could not be compared, and how to go on.")
    stripe_mode: Mode = Field(description="sandbox and test sales are not real money.")


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a page begins: the span that is left, and how many findings at its end were shown before."""

    since: datetime | None
    until: datetime | None
    shown: int = 0


def _position(request: FindInput) -> _Position:
    if request.cursor is None:
        return _Position(request.since, request.until)
    until, rest = decode_cursor(_LIST, request.cursor)
    match rest.split("."):
        case [since, shown] if all(part.isdecimal() and len(part) < 12 for part in (since, shown)):
            return _Position(datetime.fromtimestamp(int(since), UTC), until, int(shown))
        case _:
            raise foreign_cursor()


def _ask(context: Context, request: FindInput) -> WindowQuestion:
    position = _position(request)
    return question_of(context, position.since, position.until, look_for_ours=True)


def _answer(context: Context, request: FindInput, found: Walk) -> MissedSales:
    position, question = _position(request), _ask(context, request)
    comparison = compare(context, found)
    shown = comparison.differences[position.shown :][: request.take]
    until, seen = question.until, position.shown + len(shown)
    more_here, more_before = seen < len(comparison.differences), found.since > question.since
    if not more_here:
        until, seen = found.since, 0
    has_more = more_here or more_before
    notes = list(found.notes)
    if more_before:
        notes.append(
            "There is more in Stripe than one call reads: nextCursor goes further back. A renewal shows once its first sale "
            "is recorded, so look again after a repair."
        )
    return MissedSales(
        items=present(context, shown),
        next_cursor=encode_cursor(_LIST, until, f"{int(question.since.timestamp())}.{seen}") if has_more else None,
        has_more=has_more,
        total=None if more_before or position.shown else len(comparison.differences),
        counts=count(comparison.differences),
        unrelated_sales=comparison.unrelated,
        checked_since=found.since,
        checked_until=min(question.until, context.now),
        notes=notes,
        stripe_mode=cast(Mode, context.mode),
    )


FIND_MISSED_SALES = Operation(
    name="find_missed_sales",
    title="Find missed sales",
    summary="Compare Stripe with the books over some time: sales, refunds and codes that are missing here or differ.",
    usage="Use it after an outage, or when commission is missed; then repair_missed_sales. For one sale use "
    "explain_attribution.",
    toolset="tracking",
    input=FindInput,
    output=MissedSales,
    inquiry=Inquiry(ask=_ask, call=walk, follow_up=EARLIER_PAYMENTS, answer=_answer),
    route=Route("GET", "/api/v1/tracking/missed-sales"),
    scope=Scope.READ,
)
