"""Affiliates: the people who bring customers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.commission import CommissionType
from rekomi_mcp.domain.errors import AffiliateAlreadyExists, InvalidInput, StatusConflict
from rekomi_mcp.operation import DETAIL, Context, Input, Operation, Output, Route
from rekomi_mcp.tools import links, lookups
from rekomi_mcp.tools.fields import Currency, Email, Flag, Id, Line, ListInput, ListOutput, Name, Number, Slug
from rekomi_mcp.tools.links import LinkOutput
from rekomi_mcp.tools.rates import in_words, parse_rate, rate_of, wire_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekomi_mcp.domain.commission import Rate
    from rekomi_mcp.storage.tables import AffiliateRow

Status = Literal["Pending", "Approved", "Rejected", "Paused", "Banned"]
Source = Literal["Direct", "Public", "Invite", "Network"]
Tag = Annotated[Name, StringConstraints(max_length=40)]


class AffiliateOutput(Output):
    id: str
    program_id: str
    email: str
    full_name: str
    status: Status
    custom_commission: str | None = Field(default=None, description="In words; null: the program's commission.")
    custom_commission_type: CommissionType | None = Field(default=None, json_schema_extra=DETAIL)
    custom_commission_value: float | None = Field(default=None, json_schema_extra=DETAIL)
    custom_commission_currency: str | None = Field(default=None, json_schema_extra=DETAIL)
    tags: list[str]
    notes: str | None = Field(default=None, description="The brand's own; not for the affiliate.")
    source: Source = Field(json_schema_extra=DETAIL)
    reject_reason: str | None = None
    applied_at: datetime = Field(json_schema_extra=DETAIL)
    approved_at: datetime | None = Field(default=None, json_schema_extra=DETAIL)
    created_at: datetime
    links: list[LinkOutput] = Field(json_schema_extra=DETAIL)


class AffiliateList(ListOutput[AffiliateOutput]):
    """One page of affiliates."""


def present(row: AffiliateRow, links_of_it: Sequence[dict[str, object]]) -> AffiliateOutput:
    rate = rate_of(row)
    return AffiliateOutput.model_validate(
        {
            **row.model_dump(
                exclude={
                    "organization_id",
                    "email_key",
                    "search_key",
                    "commission_type",
                    "commission_value",
                    "commission_currency",
                }
            ),
            "custom_commission": in_words(rate) if rate else None,
            "custom_commission_type": rate.type if rate else None,
            "custom_commission_value": wire_value(rate) if rate else None,
            "custom_commission_currency": rate.currency if rate else None,
            "links": links_of_it,
        }
    )


def _present_one(context: Context, row: AffiliateRow) -> AffiliateOutput:
    return present(row, links.of_affiliates(context, [row]).get(row.id, []))


class CreateAffiliateInput(Input):
    program_id: Id | None = Field(default=None, description="May be left out when there is only one program.")
    email: Email = Field(description="Unique within the program.")
    full_name: Name | None = Field(default=None, description="What to call the affiliate.")
    status: Status = Field(default="Approved", description="Approved can be given codes at once.")
    custom_commission_type: CommissionType | None = Field(default=None, description="Goes before the program's.")
    custom_commission_value: Number | None = Field(default=None, description="Percent, or the fixed amount.")
    custom_commission_currency: Currency | None = Field(default=None, description="Of a Fixed commission.")
    custom_alias: Slug | None = Field(default=None, description="Wanted slug of the affiliate's link.")
    tags: list[Tag] = Field(default=[], max_length=20, description="For the brand's own sorting.")
    notes: Line | None = Field(default=None, description="Seen by the brand only.")


def _create(context: Context, request: CreateAffiliateInput) -> AffiliateOutput:
    program, now = lookups.live_program(context, request.program_id), context.now
    rate = _custom_rate(
        context, request.custom_commission_type, request.custom_commission_value, request.custom_commission_currency
    )
    name = request.full_name or ""
    row = storage.tables.AffiliateRow(
        organization_id=context.organization_id,
        program_id=program.id,
        email=request.email,
        email_key=request.email.lower(),
        full_name=name,
        search_key=f"{name} {request.email}".lower(),
        status=request.status,
        tags=list(request.tags),
        notes=request.notes,
        source="Direct",
        applied_at=now,
        approved_at=now if request.status == "Approved" else None,
        created_at=now,
    )
    _set_rate(row, rate)
    if not storage.rows.add_unique(context.session, row):
        raise AffiliateAlreadyExists(
            "An affiliate with this e-mail address is in the program already. Find it with list_affiliates.",
            field="email",
        )
    if request.status == "Approved" or request.custom_alias is not None:
        links.add_default_link(context, row, request.custom_alias)
    answer = _present_one(context, row)
    context.changed("affiliate", row.id, after=answer)
    return answer


def _custom_rate(
    context: Context, type_: CommissionType | None, value: Decimal | None, currency: str | None
) -> Rate | None:
    if type_ is None and value is None:
        return None
    if type_ is None or value is None:
        raise InvalidInput(
            "Give customCommissionType and customCommissionValue together.",
            field="customCommissionType" if type_ is None else "customCommissionValue",
        )
    return parse_rate(
        type_, value, currency or lookups.organization(context).home_currency, field="customCommissionValue"
    )


def _set_rate(row: AffiliateRow, rate: Rate | None) -> None:
    row.commission_type = rate.type.value if rate else None
    row.commission_value = rate.value if rate else None
    row.commission_currency = rate.currency if rate else None


class AffiliateInput(Input):
    affiliate_id: Id = Field(description="From list_affiliates.")


def _get(context: Context, request: AffiliateInput) -> AffiliateOutput:
    return _present_one(context, lookups.affiliate(context, request.affiliate_id))


class ListAffiliatesInput(ListInput):
    program_id: Id | None = Field(default=None, description="Only this program's.")
    status: Status | None = Field(default=None, description="Pending are applications that wait for a decision.")
    q: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        default=None, description="Part of the name or e-mail address, for example 'sarah'."
    )


def _list(context: Context, request: ListAffiliatesInput) -> AffiliateList:
    wanted = storage.affiliates.AffiliateFilter(request.program_id, request.status, request.q)
    if request.program_id is not None:
        lookups.program(context, request.program_id)
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.affiliates.page(context.session, context.organization_id, wanted, window)
    found = links.of_affiliates(context, page.rows)
    return AffiliateList(
        items=[present(row, found.get(row.id, [])) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


class UpdateAffiliateInput(Input):
    affiliate_id: Id = Field(description="From list_affiliates.")
    full_name: Name | None = Field(default=None, description="What to call the affiliate.")
    status: Status | None = Field(default=None, description="Paused and Banned affiliates earn nothing new.")
    custom_commission_type: CommissionType | None = Field(default=None, description="Needs a value too.")
    custom_commission_value: Number | None = Field(default=None, description="Applies to future sales only.")
    custom_commission_currency: Currency | None = Field(default=None, description="Of a Fixed commission.")
    clear_custom_commission: Flag = Field(default=False, description="true returns to the program's commission.")
    notes: Line | None = Field(default=None, description="Seen by the brand only; empty clears them.")
    tags: list[Tag] | None = Field(default=None, max_length=20, description="Replaces all tags.")


def _update(context: Context, request: UpdateAffiliateInput) -> AffiliateOutput:
    row = lookups.affiliate(context, request.affiliate_id)
    if request.model_fields_set == {"affiliate_id"}:
        raise InvalidInput("Nothing to change: give at least one field besides affiliateId.")
    before = _present_one(context, row)
    with storage.past_terms.kept(context.session, row, context.now):
        _change(context, row, request)
    context.session.flush()
    answer = _present_one(context, row)
    context.changed("affiliate", row.id, before=before, after=answer)
    return answer


def _change(context: Context, row: AffiliateRow, request: UpdateAffiliateInput) -> None:
    rate = _custom_rate(
        context, request.custom_commission_type, request.custom_commission_value, request.custom_commission_currency
    )
    if rate is not None and request.clear_custom_commission:
        raise InvalidInput("Either set a custom commission or clear it.", field="clearCustomCommission")
    if rate is not None or request.clear_custom_commission:
        _set_rate(row, rate)
    if request.full_name is not None:
        row.full_name = request.full_name
        row.search_key = f"{request.full_name} {row.email}".lower()
    if request.notes is not None:
        row.notes = request.notes or None
    if request.tags is not None:
        row.tags = list(request.tags)
    if request.status is not None:
        _set_status(context, row, request.status)


def _set_status(context: Context, row: AffiliateRow, status: Status) -> None:
    row.status = status
    if status == "Approved":
        row.approved_at = row.approved_at or context.now
        row.reject_reason = None
        if not storage.links.of_affiliates(context.session, context.organization_id, [row.id]):
            links.add_default_link(context, row, None)


def _pending(context: Context, affiliate_id: str) -> AffiliateRow:
    row = lookups.affiliate(context, affiliate_id)
    if row.status != "Pending":
        raise StatusConflict(
            f"This affiliate is {row.status}, not Pending. To change the status use update_affiliate.",
            field="affiliateId",
        )
    return row


def _approve(context: Context, request: AffiliateInput) -> AffiliateOutput:
    row = _pending(context, request.affiliate_id)
    before = _present_one(context, row)
    with storage.past_terms.kept(context.session, row, context.now):
        _set_status(context, row, "Approved")
    context.session.flush()
    answer = _present_one(context, row)
    context.changed("affiliate", row.id, before=before, after=answer)
    return answer


class RejectAffiliateInput(AffiliateInput):
    reason: Line | None = Field(default=None, description="Kept with the affiliate, for the brand.")


def _reject(context: Context, request: RejectAffiliateInput) -> AffiliateOutput:
    row = _pending(context, request.affiliate_id)
    before = _present_one(context, row)
    with storage.past_terms.kept(context.session, row, context.now):
        row.status, row.reject_reason = "Rejected", request.reason
    context.session.flush()
    answer = _present_one(context, row)
    context.changed("affiliate", row.id, before=before, after=answer)
    return answer


CREATE_AFFILIATE = Operation(
    name="create_affiliate",
    title="Create affiliate",
    summary="Add an affiliate to a program, approved at once unless another status is given.",
    usage="Look with list_affiliates first; to let one in who applied, use approve_affiliate.",
    toolset="affiliates",
    input=CreateAffiliateInput,
    output=AffiliateOutput,
    handler=_create,
    route=Route("POST", "/api/v1/affiliates", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="affiliate.created",
)

LIST_AFFILIATES = Operation(
    name="list_affiliates",
    title="List affiliates",
    summary="List or search affiliates, newest first, by name, e-mail, status or program.",
    usage="Use it to turn a name into an affiliateId; for one affiliate by id use get_affiliate.",
    toolset="affiliates",
    input=ListAffiliatesInput,
    output=AffiliateList,
    handler=_list,
    route=Route("GET", "/api/v1/affiliates"),
    scope=Scope.READ,
)

GET_AFFILIATE = Operation(
    name="get_affiliate",
    title="Get affiliate",
    summary="Show one affiliate with links, tags and custom commission.",
    usage="Use it when the id is known; for codes use list_affiliate_codes, for sales list_conversions.",
    toolset="affiliates",
    input=AffiliateInput,
    output=AffiliateOutput,
    handler=_get,
    route=Route("GET", "/api/v1/affiliates/{affiliateId}"),
    scope=Scope.READ,
)

UPDATE_AFFILIATE = Operation(
    name="update_affiliate",
    title="Update affiliate",
    summary="Change an affiliate's name, status, custom commission, notes or tags; only the fields given change.",
    usage="To decide on an application use approve_affiliate or reject_affiliate.",
    toolset="affiliates",
    input=UpdateAffiliateInput,
    output=AffiliateOutput,
    handler=_update,
    route=Route("PATCH", "/api/v1/affiliates/{affiliateId}"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="affiliate.updated",
    idempotent=True,
)

APPROVE_AFFILIATE = Operation(
    name="approve_affiliate",
    title="Approve affiliate",
    summary="Let in an affiliate who applied, and make the default tracking link.",
    usage="Only for status Pending; to bring back a Paused one use update_affiliate.",
    toolset="affiliates",
    input=AffiliateInput,
    output=AffiliateOutput,
    handler=_approve,
    route=Route("POST", "/api/v1/affiliates/{affiliateId}/approve"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="affiliate.approved",
)

REJECT_AFFILIATE = Operation(
    name="reject_affiliate",
    title="Reject affiliate",
    summary="Turn down an affiliate who applied, with an optional reason.",
    usage="Only for status Pending; to end an approved one set the status with update_affiliate.",
    toolset="affiliates",
    input=RejectAffiliateInput,
    output=AffiliateOutput,
    handler=_reject,
    route=Route("POST", "/api/v1/affiliates/{affiliateId}/reject"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="affiliate.rejected",
)
