"""Programs: the terms affiliates work under."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import slugs
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.commission import CommissionType
from rekomi_mcp.domain.errors import InvalidInput, SlugAlreadyTaken, StatusConflict
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import (
    WHOLE,
    Currency,
    Flag,
    Id,
    Line,
    ListInput,
    ListOutput,
    Name,
    Number,
    SiteAddress,
    Slug,
    WebAddress,
)
from rekomi_mcp.tools.rates import in_words, parse_rate, rate_of, wire_value

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import ProgramRow

_HOST_NAME = re.compile(r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")
_LONGEST_HOST_NAME = 253


def _host_name(text: str) -> str:
    if len(text) > _LONGEST_HOST_NAME or not _HOST_NAME.fullmatch(text):
        raise PydanticCustomError("host_name", "must be a host name in lower case, for example go.example.com")
    return text


HostName = Annotated[
    str,
    AfterValidator(_host_name),
    WithJsonSchema({"type": "string", "maxLength": _LONGEST_HOST_NAME, "pattern": _HOST_NAME.pattern}),
]
Visibility = Literal["Private", "Networked", "InviteOnly"]
Touch = Literal["FirstTouch", "LastTouch"]
WindowDays = Annotated[int, Field(ge=1, le=365), WHOLE]
Renewals = Annotated[int, Field(ge=0, le=1200), WHOLE]
RenewalsOrAll = Annotated[int, Field(ge=-1, le=1200), WHOLE]


class ProgramOutput(Output):
    id: str
    name: str
    slug: str
    description: str | None = None
    terms_url: str | None = None
    website_url: str | None = Field(default=None, description="Where affiliates' links lead.")
    is_active: bool
    commission: str = Field(description="The default commission in words.")
    default_commission_type: CommissionType
    default_commission_value: float = Field(description="Percent, or an amount in defaultCommissionCurrency.")
    default_commission_currency: str | None = Field(default=None, description="Of a Fixed commission.")
    default_commission_model: str
    cookie_window_days: int
    recurring_months: int | None = Field(default=None, description="Renewals that earn; null: all, 0: none.")
    recurring_delay_invoices: int
    attribution_model: Touch
    auto_approve: bool
    custom_domain: str | None = None
    custom_domain_verified: bool
    network_visibility: Visibility
    is_publicly_discoverable: bool
    allow_self_purchases: bool = Field(description="Whether affiliates earn on what they buy themselves.")
    terms_version: int = Field(description="Raised with every change to what affiliates earn.")
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None


class ProgramList(ListOutput[ProgramOutput]):
    """One page of programs."""


def present(row: ProgramRow) -> ProgramOutput:
    rate = rate_of(row)
    assert rate is not None, "every program has a rate"
    return ProgramOutput.model_validate(
        {
            **row.model_dump(
                exclude={
                    "organization_id",
                    "commission_type",
                    "commission_value",
                    "commission_currency",
                    "commission_model",
                }
            ),
            "commission": f"{in_words(rate)} {_renewals_in_words(row)}",
            "default_commission_type": rate.type,
            "default_commission_value": wire_value(rate),
            "default_commission_currency": rate.currency,
            "default_commission_model": row.commission_model,
        }
    )


def _renewals_in_words(row: ProgramRow) -> str:
    match row.recurring_months:
        case None:
            words = "of the first payment and every renewal"
        case 0:
            words = "of the first payment only"
        case 1:
            words = "of the first payment and one renewal"
        case months:
            words = f"of the first payment and {months} renewals"
    return words if not row.recurring_delay_invoices else f"{words}, after {row.recurring_delay_invoices} paid invoices"


class CreateProgramInput(Input):
    name: Name = Field(description="What the owner calls it, for example 'Creators'.")
    slug: Slug | None = Field(default=None, description="Permanent; made from the name when left out.")
    description: Line | None = Field(default=None, description="One line for affiliates.")
    terms_url: WebAddress | None = Field(default=None, description="Where affiliates read the terms.")
    website_url: SiteAddress | None = Field(default=None, description="Where affiliates' links lead.")
    default_commission_type: CommissionType = Field(description="Percentage of each sale, or a Fixed amount a sale.")
    default_commission_value: Number = Field(description="Percent (20 for 20 %), or the amount (15.50).")
    default_commission_currency: Currency | None = Field(
        default=None, description="For Fixed; the organization's home currency when left out."
    )
    default_commission_model: Literal["Cps"] = Field(default="Cps", description="Commission per sale.")
    cookie_window_days: WindowDays = Field(default=60, description="Days a click counts.")
    recurring_months: Renewals | None = Field(
        default=None, description="Renewals that earn: left out for all, 0 for the first payment only."
    )
    recurring_delay_invoices: Renewals = Field(default=0, description="Paid invoices skipped first.")
    attribution_model: Touch = Field(default="LastTouch", description="Which click counts when there are several.")
    auto_approve: Flag = Field(default=False, description="Whether applications are approved by themselves.")
    allow_self_purchases: Flag = Field(default=False, description="Whether affiliates earn on own purchases.")


def _create(context: Context, request: CreateProgramInput) -> ProgramOutput:
    slug = request.slug or slugs.slugify(request.name)
    if not slug:
        raise InvalidInput("No slug can be made from this name; give one, for example 'creators'.", field="slug")
    currency = request.default_commission_currency or lookups.organization(context).home_currency
    rate = parse_rate(
        request.default_commission_type, request.default_commission_value, currency, field="defaultCommissionValue"
    )
    row = storage.tables.ProgramRow(
        organization_id=context.organization_id,
        name=request.name,
        slug=slug,
        description=request.description,
        terms_url=request.terms_url,
        website_url=request.website_url,
        commission_type=rate.type.value,
        commission_value=rate.value,
        commission_currency=rate.currency,
        commission_model=request.default_commission_model,
        cookie_window_days=request.cookie_window_days,
        recurring_months=request.recurring_months,
        recurring_delay_invoices=request.recurring_delay_invoices,
        attribution_model=request.attribution_model,
        auto_approve=request.auto_approve,
        allow_self_purchases=request.allow_self_purchases,
        network_visibility="Private",
        is_publicly_discoverable=False,
        created_at=context.now,
        updated_at=context.now,
    )
    if not storage.rows.add_unique(context.session, row):
        raise SlugAlreadyTaken(f"A program with the slug {slug} exists. Choose another slug.", field="slug")
    answer = present(row)
    context.changed("program", row.id, after=answer)
    return answer


class ProgramInput(Input):
    program_id: Id = Field(description="From list_programs.")


def _get(context: Context, request: ProgramInput) -> ProgramOutput:
    return present(lookups.program(context, request.program_id))


class ListProgramsInput(ListInput):
    include_archived: Flag = Field(default=False, description="Also those that were archived.")


def _list(context: Context, request: ListProgramsInput) -> ProgramList:
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.programs.page(context.session, context.organization_id, request.include_archived, window)
    return ProgramList(
        items=[present(row) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


class UpdateProgramInput(Input):
    program_id: Id = Field(description="From list_programs.")
    name: Name | None = Field(default=None, description="New name.")
    description: Line | None = Field(default=None, description="Empty clears it.")
    terms_url: WebAddress | None = Field(default=None, description="Their terms.")
    website_url: SiteAddress | None = Field(default=None, description="Where affiliates' links lead.")
    is_active: Flag | None = Field(default=None, description="false pauses it: sales are recorded but earn nothing.")
    default_commission_type: CommissionType | None = Field(default=None, description="Needs a new value too.")
    default_commission_value: Number | None = Field(default=None, description="Applies to future sales only.")
    default_commission_currency: Currency | None = Field(default=None, description="Of a Fixed commission.")
    cookie_window_days: WindowDays | None = Field(default=None, description="Days a click counts.")
    recurring_months: RenewalsOrAll | None = Field(default=None, description="-1 makes every renewal earn.")
    recurring_delay_invoices: Renewals | None = Field(default=None, description="Invoices skipped.")
    attribution_model: Touch | None = Field(default=None, description="Which click counts.")
    auto_approve: Flag | None = Field(default=None, description="Without review.")
    custom_domain: HostName | None = Field(default=None, description="Changing it resets its verification.")
    network_visibility: Visibility | None = Field(default=None, description="Who can find the program.")
    is_publicly_discoverable: Flag | None = Field(default=None, description="Whether search engines may list it.")
    allow_self_purchases: Flag | None = Field(default=None, description="Own purchases earn.")


_PLAIN = (
    "name description terms_url website_url is_active cookie_window_days recurring_delay_invoices attribution_model "
    "auto_approve network_visibility is_publicly_discoverable allow_self_purchases"
).split()


def _update(context: Context, request: UpdateProgramInput) -> ProgramOutput:
    row = lookups.program(context, request.program_id)
    if row.archived_at is not None:
        raise StatusConflict("This program is archived and can no longer be changed.", field="programId")
    if request.model_fields_set == {"program_id"}:
        raise InvalidInput("Nothing to change: give at least one field besides programId.")
    before = present(row)
    with storage.past_terms.kept(context.session, row, context.now):
        _change(context, row, request)
    row.updated_at = context.now
    context.session.flush()
    answer = present(row)
    context.changed("program", row.id, before=before, after=answer)
    return answer


def _change(context: Context, row: ProgramRow, request: UpdateProgramInput) -> None:
    terms_before = _terms(row)
    for name in _PLAIN:
        if (value := getattr(request, name)) is not None:
            setattr(row, name, None if value == "" else value)
    if request.recurring_months is not None:
        row.recurring_months = None if request.recurring_months == -1 else request.recurring_months
    if request.custom_domain is not None and request.custom_domain != row.custom_domain:
        row.custom_domain, row.custom_domain_verified = request.custom_domain, False
    _update_rate(context, row, request)
    if _terms(row) != terms_before:
        row.terms_version += 1


def _update_rate(context: Context, row: ProgramRow, request: UpdateProgramInput) -> None:
    type_ = request.default_commission_type or CommissionType(row.commission_type)
    if request.default_commission_value is None:
        if type_.value != row.commission_type or request.default_commission_currency is not None:
            raise InvalidInput(
                "Give defaultCommissionValue together with a new commission type or currency.",
                field="defaultCommissionValue",
            )
        return
    currency = (
        request.default_commission_currency or row.commission_currency or lookups.organization(context).home_currency
    )
    rate = parse_rate(type_, request.default_commission_value, currency, field="defaultCommissionValue")
    row.commission_type, row.commission_value, row.commission_currency = rate.type.value, rate.value, rate.currency


def _terms(row: ProgramRow) -> tuple[object, ...]:
    """What decides how much an affiliate earns."""
    rate = (row.commission_type, row.commission_value, row.commission_currency)
    return *rate, row.recurring_months, row.recurring_delay_invoices, row.is_active, row.allow_self_purchases


def _archive(context: Context, request: ProgramInput) -> ProgramOutput:
    row = lookups.program(context, request.program_id)
    if row.archived_at is not None:
        raise StatusConflict("This program is archived already.", field="programId")
    before = present(row)
    with storage.past_terms.kept(context.session, row, context.now):
        row.archived_at = row.updated_at = context.now
        row.is_active = False
    context.session.flush()
    answer = present(row)
    context.changed("program", row.id, before=before, after=answer)
    return answer


CREATE_PROGRAM = Operation(
    name="create_program",
    title="Create program",
    summary="Create an affiliate program with its default commission.",
    usage="A brand usually has one to three; to change an existing one use update_program.",
    toolset="programs",
    input=CreateProgramInput,
    output=ProgramOutput,
    handler=_create,
    route=Route("POST", "/api/v1/programs", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="program.created",
)

LIST_PROGRAMS = Operation(
    name="list_programs",
    title="List programs",
    summary="List programs, newest first, with their commission terms.",
    usage="Use it to find a programId; for one program by id use get_program.",
    toolset="programs",
    input=ListProgramsInput,
    output=ProgramList,
    handler=_list,
    route=Route("GET", "/api/v1/programs"),
    scope=Scope.READ,
)

GET_PROGRAM = Operation(
    name="get_program",
    title="Get program",
    summary="Show one program's terms.",
    usage="Use it when the id is known; to search use list_programs.",
    toolset="programs",
    input=ProgramInput,
    output=ProgramOutput,
    handler=_get,
    route=Route("GET", "/api/v1/programs/{programId}"),
    scope=Scope.READ,
)

UPDATE_PROGRAM = Operation(
    name="update_program",
    title="Update program",
    summary="Change a program; only the fields given change, and past sales keep their terms.",
    usage="To end a program for good use archive_program; to pause it set isActive to false here.",
    toolset="programs",
    input=UpdateProgramInput,
    output=ProgramOutput,
    handler=_update,
    route=Route("PATCH", "/api/v1/programs/{programId}"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="program.updated",
    idempotent=True,
)

ARCHIVE_PROGRAM = Operation(
    name="archive_program",
    title="Archive program",
    summary="End a program for good: it takes no new affiliates or codes, and its sales earn nothing from now on.",
    usage="Cannot be undone; to pause a program use update_program with isActive false.",
    toolset="programs",
    input=ProgramInput,
    output=ProgramOutput,
    handler=_archive,
    route=Route("DELETE", "/api/v1/programs/{programId}", status=204),
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="program.archived",
    destructive=True,
)
