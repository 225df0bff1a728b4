"""Conversions: what each sale earned an affiliate, and how it came to that."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.domain.money import display
from rekomi_mcp.operation import DETAIL, Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Id, ListInput, ListOutput, Mode, Moment, require_order

if TYPE_CHECKING:
    from rekomi_mcp.storage.conversions import ConversionView
    from rekomi_mcp.storage.tables import LedgerEntryRow

Status = Literal["Pending", "Approved", "Paid", "Refunded", "Denied"]
TIMELINE_LENGTH = 200
MOVES = ("hold", "release")
"""Entries in pairs, which take away in one place what they give in another: told once, as nothing gained or lost."""


class ConversionOutput(Output):
    id: str
    affiliate_id: str
    affiliate_name: str
    program_id: str = Field(json_schema_extra=DETAIL)
    amount: str = Field(description="The sale net of discount and tax, for people.")
    amount_cents: int = Field(description="The same in minor units of currency.", json_schema_extra=DETAIL)
    currency: str = Field(json_schema_extra=DETAIL)
    commission: str = Field(description="What is left of it now, for people.")
    commission_cents: int = Field(description="As earned at the sale, before refunds.", json_schema_extra=DETAIL)
    remaining_commission_cents: int = Field(description="After refunds.", json_schema_extra=DETAIL)
    commission_currency: str = Field(json_schema_extra=DETAIL)
    status: Status = Field(description="Pending until heldUntil, or while disputed; then Approved.")
    disputed: bool = Field(description="Whether an open dispute keeps it from being paid.", json_schema_extra=DETAIL)
    flag: Literal["self_purchase"] | None = Field(default=None, description="Why it was denied.")
    held_until: datetime
    type: Literal["OneTime", "Recurring"] = Field(json_schema_extra=DETAIL)
    stripe_subscription_id: str | None = Field(default=None, json_schema_extra=DETAIL)
    stripe_customer_id: str | None = Field(default=None, json_schema_extra=DETAIL)
    external_event_id: str = Field(description="The Stripe invoice or checkout session.", json_schema_extra=DETAIL)
    created_at: datetime = Field(description="When it was paid.")
    refunded_at: datetime | None = None
    attribution_method: Literal["coupon", "metadata_or_customer"] | None = Field(
        default=None, description="null: told by your own server."
    )
    source: Literal["Coupon", "Link", "Customer match", "Lead", "Server"] = Field(description="The same, finer.")
    coupon_code: str | None = Field(default=None, description="The redeemed code, when that is what credited it.")


class ConversionList(ListOutput[ConversionOutput]):
    stripe_mode: Mode = Field(description="sandbox and test sales are not real money.")


_METHODS: dict[str, tuple[str | None, str]] = {
    "coupon": ("coupon", "Coupon"),
    "link": ("metadata_or_customer", "Link"),
    "customer": ("metadata_or_customer", "Customer match"),
    "lead": ("metadata_or_customer", "Lead"),
    "server": (None, "Server"),
}
"""How a conversion was attributed, as it is stored; as the documented API says it, and as people do."""


def _values(row: ConversionView, now: datetime) -> dict[str, object]:
    return {
        "id": row.id,
        "affiliate_id": row.affiliate_id,
        "affiliate_name": row.affiliate_name,
        "program_id": row.program_id,
        "amount": display(row.amount_minor, row.currency),
        "amount_cents": row.amount_minor,
        "currency": row.currency,
        "commission": display(row.remaining_minor, row.commission_currency),
        "commission_cents": row.commission_minor,
        "remaining_commission_cents": row.remaining_minor,
        "commission_currency": row.commission_currency,
        "status": storage.conversions.status_of(row, now),
        "disputed": row.on_hold_minor > 0,
        "flag": row.flag,
        "held_until": row.held_until,
        "type": row.type,
        "stripe_subscription_id": row.subscription_id,
        "stripe_customer_id": row.customer_id,
        "external_event_id": row.source_id,
        "created_at": row.occurred_at,
        "refunded_at": row.refunded_at,
        "attribution_method": _METHODS[row.method][0],
        "source": _METHODS[row.method][1],
        "coupon_code": row.code,
    }


class ListConversionsInput(ListInput):
    affiliate_id: Id | None = Field(default=None, description="Only this affiliate's.")
    program_id: Id | None = Field(default=None, description="Only this program's.")
    status: Status | None = Field(default=None, description="Pending is on hold, Approved can be paid out.")
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        default=None, description="Only sales credited by this code, in any case."
    )
    since: Moment | None = Field(default=None, description="Paid at or after; ISO 8601, UTC without a zone.")
    until: Moment | None = Field(default=None, description="Paid before.")


def _list(context: Context, request: ListConversionsInput) -> ConversionList:
    if request.affiliate_id is not None:
        lookups.affiliate(context, request.affiliate_id)
    if request.program_id is not None:
        lookups.program(context, request.program_id)
    require_order(request.since, request.until)
    wanted = storage.conversions.ConversionFilter(
        request.affiliate_id, request.program_id, request.status, request.code, request.since, request.until
    )
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.conversions.page(context.session, context.organization_id, wanted, context.now, window)
    return ConversionList.model_validate(
        {
            "items": [_values(row, context.now) for row in page.rows],
            "next_cursor": page.next_cursor,
            "has_more": page.next_cursor is not None,
            "total": page.total,
            "stripe_mode": context.mode,
        }
    )


class EventOutput(Output):
    id: str
    conversion_id: str = Field(description="Sales of one subscription share a timeline.")
    event_type: Literal[
        "initial",
        "renewal",
        "refund",
        "refund_failed",
        "dispute_lost",
        "dispute_won",
        "credit_note",
        "credit_note_voided",
        "disputed",
        "dispute_over",
        "reassigned",
    ]
    amount_cents: int = Field(description="The sale's amount, or the money that went back, in minor units.")
    commission_cents: int = Field(description="What it did to the commission; negative when it took some away.")
    occurred_at: datetime


class ConversionDetail(ConversionOutput):
    stripe_mode: Mode = Field(description="sandbox and test sales are not real money.")
    events: list[EventOutput] = Field(description="Oldest first.")


class GetConversionInput(Input):
    conversion_id: Id = Field(description="From list_conversions.")


def _get(context: Context, request: GetConversionInput) -> ConversionDetail:
    session, organization_id = context.session, context.organization_id
    row = storage.conversions.view(session, organization_id, request.conversion_id)
    if row is None:
        raise NotFound("No conversion has this id. Find it with list_conversions.", field="conversionId")
    entries = storage.conversions.timeline(session, organization_id, row.id, TIMELINE_LENGTH)
    first = next((entry.conversion_id for entry in entries if entry.kind == "accrual"), None)
    return ConversionDetail.model_validate(
        {
            **_values(row, context.now),
            "stripe_mode": context.mode,
            "events": [_event(entry, first) for entry in entries if entry.kind not in MOVES or entry.amount_minor > 0],
        }
    )


_EVENTS = {
    ("reversal", "refund"): "refund",
    ("restoration", "refund"): "refund_failed",
    ("reversal", "dispute"): "dispute_lost",
    ("restoration", "dispute"): "dispute_won",
    ("reversal", "credit_note"): "credit_note",
    ("restoration", "credit_note"): "credit_note_voided",
    ("hold", ""): "disputed",
    ("release", ""): "dispute_over",
    ("retraction", ""): "reassigned",
}
"""By an entry's kind and cause."""


def _event(entry: LedgerEntryRow, first_conversion_id: str | None) -> dict[str, object]:
    if entry.kind == "accrual":
        event_type = "initial" if entry.conversion_id == first_conversion_id else "renewal"
    else:
        event_type = _EVENTS.get((entry.kind, entry.cause)) or _EVENTS[entry.kind, ""]
    return {
        "id": entry.id,
        "conversion_id": entry.conversion_id,
        "event_type": event_type,
        "amount_cents": entry.cause_amount_minor,
        "commission_cents": 0 if entry.kind in MOVES else entry.amount_minor,
        "occurred_at": entry.occurred_at,
    }


LIST_CONVERSIONS = Operation(
    name="list_conversions",
    title="List conversions",
    summary="List sales credited to affiliates with their commission, newest first.",
    usage="Answers what somebody earned or what a code sold; for why a sale was credited use explain_attribution.",
    toolset="sales",
    input=ListConversionsInput,
    output=ConversionList,
    handler=_list,
    route=Route("GET", "/api/v1/conversions"),
    scope=Scope.READ,
)

GET_CONVERSION = Operation(
    name="get_conversion",
    title="Get conversion",
    summary="Show one credited sale with everything that happened to it: renewals, refunds, what each did to commission.",
    usage="Use it when the id is known; to search use list_conversions.",
    toolset="sales",
    input=GetConversionInput,
    output=ConversionDetail,
    handler=_get,
    route=Route("GET", "/api/v1/conversions/{conversionId}"),
    scope=Scope.READ,
)
