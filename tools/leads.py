"""Leads: signups that tie a customer to an affiliate before any money."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.access import Gate, Role, Scope
from rekomi_mcp.domain.errors import IdempotencyConflict, InvalidInput, NotFound
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Email, Id, ListInput, ListOutput, Name, OwnId

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import AffiliateCodeRow, AffiliateRow, LeadRow


class LeadOutput(Output):
    id: str
    affiliate_id: str
    affiliate_name: str
    program_id: str
    email: str
    name: str | None = Field(default=None, description="As the customer wrote it.")
    source: Literal["Api", "Stripe", "Browser", "Server"]
    external_event_id: str | None = None
    created_at: datetime


class LeadList(ListOutput[LeadOutput]):
    """One page of leads."""


class RecordedLead(LeadOutput):
    deduped: bool = Field(description="True when the lead was known already and nothing was added.")


def _values(row: LeadRow, affiliate_name: str) -> dict[str, object]:
    return {
        **row.model_dump(exclude={"organization_id", "email_key", "free_sale_at"}),
        "affiliate_name": affiliate_name,
    }


class RecordLeadInput(Input):
    email: Email = Field(description="The customer's; a later sale with it is credited to the affiliate.")
    affiliate_id: Id | None = Field(default=None, description="Who brought the customer; or give a slug or a code.")
    affiliate_slug: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="The slug of the affiliate's link."
    )
    code: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="One of the affiliate's live codes."
    )
    program_id: Id | None = Field(default=None, description="To check that the affiliate is of this program.")
    name: Name | None = Field(default=None, description="The customer's name.")
    external_event_id: OwnId | None = Field(
        default=None, description="Your own id of the signup: the same id is recorded once."
    )


def _record(context: Context, request: RecordLeadInput) -> RecordedLead:
    affiliate = named_affiliate(context, request)
    if request.program_id is not None and request.program_id != affiliate.program_id:
        raise NotFound("This program has no such affiliate.", field="programId")
    named_by = "affiliateId" if request.affiliate_id else "affiliateSlug" if request.affiliate_slug else "code"
    lookups.require_approved(affiliate, field=named_by)
    lookups.require_live_program(context, affiliate, field=named_by)
    known = _known(context, request, affiliate)
    if known is not None and known.source != storage.leads.OF_SALE:
        row, is_recorded = known, True
    else:
        row, is_recorded = _told(context, affiliate, request, known, _source(context)), False
        row.external_event_id = request.external_event_id
        if not storage.rows.add_unique(context.session, row):
            raise IdempotencyConflict("This lead was recorded at the same moment. Look at list_leads.", field="email")
    name = affiliate.full_name or affiliate.email
    answer = RecordedLead.model_validate({**_values(row, name), "deduped": is_recorded})
    context.changed("lead", row.id, after=answer)
    return answer


def _source(context: Context) -> str:
    return "Server" if context.caller.signed else "Api"


class Signup(Protocol):
    """A signup that is told."""

    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str | None: ...


def _told(context: Context, affiliate: AffiliateRow, signup: Signup, known: LeadRow | None, source: str) -> LeadRow:
    """The row of a signup that is recorded now.

    A sale that cost nothing may have made one before. Then it is recorded in that, and stays when the sale turns out to
    be another's.
    """
    row = known or storage.tables.LeadRow(
        organization_id=context.organization_id,
        program_id=affiliate.program_id,
        affiliate_id=affiliate.id,
        email=signup.email,
        email_key=signup.email.lower(),
        source=source,
        created_at=context.now,
    )
    row.source, row.created_at, row.name = source, context.now, row.name or signup.name
    return row


class NamesAffiliate(Protocol):
    """Arguments that name an affiliate."""

    @property
    def affiliate_id(self) -> str | None: ...
    @property
    def affiliate_slug(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...


def named_affiliate(context: Context, request: NamesAffiliate) -> AffiliateRow:
    given = [name for name in ("affiliate_id", "affiliate_slug", "code") if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidInput(
            "Name the affiliate by exactly one of affiliateId, affiliateSlug and code.", field="affiliateId"
        )
    session, organization_id = context.session, context.organization_id
    if request.affiliate_id is not None:
        return lookups.affiliate(context, request.affiliate_id)
    if request.affiliate_slug is not None:
        slug = request.affiliate_slug.lower()
        link = storage.links.by_slugs(session, organization_id, [slug]).get(slug)
        if link is None:
            raise NotFound("No affiliate link has this slug. See list_links.", field="affiliateSlug")
        return lookups.affiliate(context, link.affiliate_id)
    return lookups.affiliate(context, live_code(context, request.code or "").affiliate_id)


def live_code(context: Context, text: str) -> AffiliateCodeRow:
    """The live code of a text, in any case."""
    row = storage.codes.live_by_text(context.session, context.organization_id, codes.normalise(text))
    if row is None:
        raise NotFound("No live code has this text. See list_affiliate_codes.", field="code")
    return row


def _known(context: Context, request: RecordLeadInput, affiliate: AffiliateRow) -> LeadRow | None:
    """The same signup, recorded before.

    Raises:
        IdempotencyConflict: the external id was used for somebody else.
    """
    if request.external_event_id is not None:
        row = storage.leads.by_external_id(context.session, context.organization_id, request.external_event_id)
        if row is not None and (row.affiliate_id, row.email_key) != (affiliate.id, request.email.lower()):
            raise IdempotencyConflict(
                "This externalEventId was used for another lead. Use the id of this signup.", field="externalEventId"
            )
        if row is not None:
            return row
    return storage.leads.of_affiliate(context.session, context.organization_id, affiliate.id, request.email)


class RecordSignupInput(Input):
    """A signup on a brand's page, as the tracking script tells it. The door has found the link of the slug."""

    affiliate_id: Id
    link_id: Id
    email: Email
    name: Name | None = None
    click_id: OwnId | None = None


class RecordSignupOutput(Output):
    """Nothing: who asks from a page must not learn who is known here."""


def _record_signup(context: Context, request: RecordSignupInput) -> RecordSignupOutput:
    """Keep the lead if there is one in it. Anybody may send this, so nothing in it is refused: it counts or does not."""
    session, organization_id = context.session, context.organization_id
    affiliate = storage.affiliates.get(session, organization_id, request.affiliate_id)
    if affiliate is None or affiliate.status != storage.affiliates.APPROVED:
        return RecordSignupOutput()
    if lookups.program(context, affiliate.program_id).archived_at is not None:
        return RecordSignupOutput()
    if request.click_id is not None:
        click = storage.clicks.by_ids(session, organization_id, [request.click_id]).get(request.click_id)
        if click is not None and click.link_id != request.link_id:
            return RecordSignupOutput()
    known = storage.leads.of_affiliate(session, organization_id, affiliate.id, request.email)
    if known is not None and known.source != storage.leads.OF_SALE:
        return RecordSignupOutput()
    row = _told(context, affiliate, request, known, "Browser")
    session.add(row)
    session.flush()
    name = affiliate.full_name or affiliate.email
    context.changed("lead", row.id, after=LeadOutput.model_validate(_values(row, name)))
    return RecordSignupOutput()


class ListLeadsInput(ListInput):
    affiliate_id: Id | None = Field(default=None, description="Only this affiliate's.")
    program_id: Id | None = Field(default=None, description="Only this program's.")
    email: Email | None = Field(default=None, description="Only this customer's.")


def _list(context: Context, request: ListLeadsInput) -> LeadList:
    if request.affiliate_id is not None:
        lookups.affiliate(context, request.affiliate_id)
    if request.program_id is not None:
        lookups.program(context, request.program_id)
    wanted = storage.leads.LeadFilter(request.affiliate_id, request.program_id, request.email)
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.leads.page(context.session, context.organization_id, wanted, window)
    names = storage.affiliates.names(context.session, context.organization_id, (r.affiliate_id for r in page.rows))
    return LeadList(
        items=[LeadOutput.model_validate(_values(row, names[row.affiliate_id])) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


RECORD_LEAD = Operation(
    name="record_lead",
    title="Record lead",
    summary="Tie a customer's e-mail address to an affiliate before any purchase; a later sale with it is credited.",
    usage="For signups without money; those through Stripe are recorded without it. For the leads there are use list_leads.",
    toolset="sales",
    input=RecordLeadInput,
    output=RecordedLead,
    handler=_record,
    route=Route("POST", "/api/v1/leads", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="lead.recorded",
    idempotent=True,
)

RECORD_SIGNUP = Operation(
    name="record_signup",
    title="Record signup",
    summary="Keep a signup that the tracking script saw on a brand's page.",
    usage="The tracking script's door runs it; nothing exposes it.",
    toolset="internal",
    input=RecordSignupInput,
    output=RecordSignupOutput,
    handler=_record_signup,
    route=None,
    scope=Scope.READ_WRITE,
    gate=Gate(survives_lapse=True),
    audit="lead.recorded",
    idempotent=True,
)

LIST_LEADS = Operation(
    name="list_leads",
    title="List leads",
    summary="List signups that are tied to an affiliate, newest first.",
    usage="Leads are not sales; for sales use list_conversions.",
    toolset="sales",
    input=ListLeadsInput,
    output=LeadList,
    handler=_list,
    route=Route("GET", "/api/v1/leads"),
    scope=Scope.READ,
)
