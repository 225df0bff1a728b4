"""What the operator does at the deployment's own command line. Run through the pipeline like everything, exposed nowhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import slugs
from rekomi_mcp.domain.access import Role, Scope, TokenKind
from rekomi_mcp.domain.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    SlugAlreadyTaken,
    StatusConflict,
    TokenLimitReached,
)
from rekomi_mcp.operation import Context, Input, Operation, Output
from rekomi_mcp.tools.fields import Currency, Email, Name, Slug
from rekomi_mcp.tools.organization import PAYOUT_GRACE_DAYS_MAX, NoArguments, OrganizationOutput, PlanName, StatusName

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import ApiTokenRow, OrganizationRow

MAX_ACTIVE_MCP_TOKENS = 10
_STRIPE_ACCOUNT = re.compile(r"self|none|acct_[A-Za-z0-9]{8,}")
RoleName = Literal["Viewer", "Manager", "Admin", "Owner"]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise PydanticCustomError("timezone", "must be a time zone such as UTC or Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_zone)]


def _stripe_account(text: str) -> str:
    if not _STRIPE_ACCOUNT.fullmatch(text):
        raise PydanticCustomError("stripe_account", "must be an account's id (acct_…), self or none")
    return text


StripeAccountId = Annotated[str, AfterValidator(_stripe_account)]


def organization_by_slug(context: Context, slug: str) -> OrganizationRow:
    row = storage.organizations.by_slug(context.session, slug)
    if row is None:
        raise NotFound("No organization has this slug. See `rekomi-mcp org list`.", field="organization")
    return row


class OrganizationDetail(OrganizationOutput):
    stripe_account: str | None = None


def _present(row: OrganizationRow) -> OrganizationDetail:
    return OrganizationDetail.of_row(row)


class CreateOrganizationInput(Input):
    name: Name
    slug: Slug | None = None
    plan: PlanName = "Pro"
    status: StatusName = "Active"
    trial_days: int | None = Field(default=None, ge=1, le=365)
    billing_email: Email | None = None
    timezone: TimeZone = "UTC"
    home_currency: Currency = "USD"
    payout_grace_days: int = Field(default=30, ge=0, le=PAYOUT_GRACE_DAYS_MAX)


def _create_organization(context: Context, request: CreateOrganizationInput) -> OrganizationDetail:
    """The first organization gets the deployment's own Stripe account; others are linked to theirs."""
    slug = request.slug or slugs.slugify(request.name)
    if not slug:
        raise InvalidInput("No slug can be made from this name; give one with --slug.", field="slug")
    own = storage.organizations.OWN_ACCOUNT
    own_is_free = storage.organizations.by_stripe_account(context.session, own) is None
    row = storage.tables.OrganizationRow(
        name=request.name,
        slug=slug,
        billing_email=request.billing_email,
        timezone=request.timezone,
        plan_tier=request.plan,
        subscription_status=request.status,
        trial_ends_at=_trial_end(context, request.status, request.trial_days),
        payout_grace_days=request.payout_grace_days,
        home_currency=request.home_currency,
        stripe_account=own if own_is_free else None,
        created_at=context.now,
        updated_at=context.now,
    )
    if not storage.rows.add_unique(context.session, row):
        raise SlugAlreadyTaken(
            f"An organization with the slug {slug} exists. Choose another with --slug.", field="slug"
        )
    storage.audit.open_chain(context.session, row.id)
    answer = _present(row)
    context.changed("organization", row.id, after=answer, organization_id=row.id)
    return answer


def _trial_end(context: Context, status: str, days: int | None) -> datetime | None:
    if days is not None and status != "Trialing":
        raise InvalidInput("trialDays goes with status Trialing.", field="trialDays")
    return context.now + timedelta(days=days or 14) if status == "Trialing" else None


class UpdateOrganizationInput(Input):
    organization: str
    name: Name | None = None
    plan: PlanName | None = None
    status: StatusName | None = None
    trial_days: int | None = Field(default=None, ge=1, le=365)
    billing_email: Email | None = None
    timezone: TimeZone | None = None
    home_currency: Currency | None = None
    payout_grace_days: int | None = Field(default=None, ge=0, le=PAYOUT_GRACE_DAYS_MAX)
    stripe_account: StripeAccountId | None = None


def _update_organization(context: Context, request: UpdateOrganizationInput) -> OrganizationDetail:
    row = organization_by_slug(context, request.organization)
    before = _present(row)
    if request.plan is not None:
        row.plan_tier = request.plan
    if request.status is not None:
        row.subscription_status = request.status
        row.trial_ends_at = _trial_end(context, request.status, request.trial_days)
    if request.stripe_account is not None:
        _link_stripe(context, row, request.stripe_account)
    for name in ("name", "billing_email", "timezone", "home_currency", "payout_grace_days"):
        if (value := getattr(request, name)) is not None:
            setattr(row, name, value)
    row.updated_at = context.now
    context.session.flush()
    answer = _present(row)
    context.changed("organization", row.id, before=before, after=answer, organization_id=row.id)
    return answer


def _link_stripe(context: Context, row: OrganizationRow, account: str) -> None:
    if account == "none":
        row.stripe_account = None
        return
    holder = storage.organizations.by_stripe_account(context.session, account)
    if holder is not None and holder.id != row.id:
        raise Conflict(
            f"The Stripe account {account} belongs to {holder.slug}: events find their organization by it. "
            "Unlink it there first, or link another.",
            field="stripeAccount",
        )
    row.stripe_account = account
    storage.inbox.reopen(context.session, account, storage.inbox.NOT_LINKED, context.now)


class OrganizationList(Output):
    items: list[OrganizationDetail]


def _list_organizations(context: Context, request: NoArguments) -> OrganizationList:
    return OrganizationList(items=[_present(row) for row in storage.organizations.everyone(context.session)])


class TokenOutput(Output):
    id: str
    kind: Literal["LIVE", "MCP"]
    name: str
    hint: str
    scope: str
    role: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    created_at: datetime


class NewTokenOutput(TokenOutput):
    token: str


def _present_token(row: ApiTokenRow) -> TokenOutput:
    return TokenOutput.of_row(row)


class CreateTokenInput(Input):
    organization: str
    kind: Literal["LIVE", "MCP"]
    name: Name
    scope: Scope = Scope.READ_WRITE
    role: RoleName = "Owner"
    expires_in_days: int | None = Field(default=None, ge=1, le=3650)


def _create_token(context: Context, request: CreateTokenInput) -> NewTokenOutput:
    organization = organization_by_slug(context, request.organization)
    kind = TokenKind[request.kind]
    active = storage.tokens.count_active(context.session, organization.id, kind, context.now)
    if kind is TokenKind.MCP and active >= MAX_ACTIVE_MCP_TOKENS:
        raise TokenLimitReached(
            f"{organization.slug} has {active} active rk_mcp_ tokens, the most it may have. Revoke one first."
        )
    secret = storage.tokens.new_secret(kind)
    expires_at = context.now + timedelta(days=request.expires_in_days) if request.expires_in_days else None
    row = storage.tables.ApiTokenRow(
        organization_id=organization.id,
        kind=kind.name,
        name=request.name,
        hint=storage.tokens.hint(secret),
        sha256=storage.tokens.digest(secret),
        scope=request.scope.value,
        role=Role[request.role].name,
        expires_at=expires_at,
        created_at=context.now,
    )
    context.session.add(row)
    context.session.flush()
    answer = _present_token(row)
    context.changed("token", row.id, after=answer, organization_id=organization.id)
    return NewTokenOutput(**answer.model_dump(by_alias=False), token=secret)


class ListTokensInput(Input):
    organization: str


class TokenList(Output):
    items: list[TokenOutput]


def _list_tokens(context: Context, request: ListTokensInput) -> TokenList:
    organization = organization_by_slug(context, request.organization)
    return TokenList(
        items=[_present_token(row) for row in storage.tokens.of_organization(context.session, organization.id)]
    )


class RevokeTokenInput(Input):
    token_id: str


def _revoke_token(context: Context, request: RevokeTokenInput) -> TokenOutput:
    row = storage.tokens.get(context.session, request.token_id)
    if row is None:
        raise NotFound("No token has this id. See `rekomi-mcp token list`.", field="tokenId")
    if row.revoked_at is not None:
        raise StatusConflict("This token is revoked already.", field="tokenId")
    before = _present_token(row)
    row.revoked_at = context.now
    context.session.flush()
    answer = _present_token(row)
    context.changed("token", row.id, before=before, after=answer, organization_id=row.organization_id)
    return answer


CREATE_ORGANIZATION = Operation(
    name="create_organization",
    title="Create organization",
    summary="Create an organization on this deployment.",
    usage="`rekomi-mcp init` and `rekomi-mcp org create`.",
    toolset="operator",
    input=CreateOrganizationInput,
    output=OrganizationDetail,
    handler=_create_organization,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="organization.created",
)

UPDATE_ORGANIZATION = Operation(
    name="update_organization",
    title="Update organization",
    summary="Change an organization's plan, Stripe account, hold period and profile.",
    usage="`rekomi-mcp org set-plan`, `rekomi-mcp org set` and `rekomi-mcp org link-stripe`.",
    toolset="operator",
    input=UpdateOrganizationInput,
    output=OrganizationDetail,
    handler=_update_organization,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="organization.updated",
    idempotent=True,
)

LIST_ORGANIZATIONS = Operation(
    name="list_organizations",
    title="List organizations",
    summary="List every organization on this deployment.",
    usage="`rekomi-mcp org list`.",
    toolset="operator",
    input=NoArguments,
    output=OrganizationList,
    handler=_list_organizations,
    route=None,
    scope=Scope.READ,
    role=Role.Owner,
)

CREATE_TOKEN = Operation(
    name="create_token",
    title="Create token",
    summary="Create a bearer token for scripts or assistants; its text is shown once.",
    usage="`rekomi-mcp token create`.",
    toolset="operator",
    input=CreateTokenInput,
    output=NewTokenOutput,
    handler=_create_token,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="token.created",
)

LIST_TOKENS = Operation(
    name="list_tokens",
    title="List tokens",
    summary="List an organization's tokens without their text.",
    usage="`rekomi-mcp token list`.",
    toolset="operator",
    input=ListTokensInput,
    output=TokenList,
    handler=_list_tokens,
    route=None,
    scope=Scope.READ,
    role=Role.Owner,
)

REVOKE_TOKEN = Operation(
    name="revoke_token",
    title="Revoke token",
    summary="End a token at once.",
    usage="`rekomi-mcp token revoke`.",
    toolset="operator",
    input=RevokeTokenInput,
    output=TokenOutput,
    handler=_revoke_token,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="token.revoked",
    destructive=True,
)
