"""The organization itself: its profile, its plan, and what the caller may do here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Gate, Scope, scope_or_role_refusal
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Mode

PAYOUT_GRACE_DAYS_MAX = 365
ALWAYS = Gate(survives_lapse=True)
PlanName = Literal["Starter", "Growth", "Pro", "Enterprise"]
StatusName = Literal["Trialing", "Active", "None"]


class NoArguments(Input):
    """Takes nothing."""


class OrganizationOutput(Output):
    id: str
    name: str
    slug: str
    billing_email: str | None = None
    timezone: str
    primary_brand_color: str | None = None
    logo_url: str | None = None
    description: str | None = None
    white_label_enabled: bool
    plan_tier: PlanName
    subscription_status: StatusName
    trial_ends_at: datetime | None = None
    payout_grace_days: int = Field(description="Days a commission is held after payment before it can be paid out.")
    payout_grace_days_max: int = PAYOUT_GRACE_DAYS_MAX
    home_currency: str


def _get_organization(context: Context, request: NoArguments) -> OrganizationOutput:
    return OrganizationOutput.of_row(lookups.organization(context))


class Usage(Output):
    current: int
    max: int | None = Field(default=None, description="null: no limit.")


class Limits(Output):
    affiliates: Usage
    campaigns: Usage
    partner_payouts_this_month_cents: Usage
    team_seats: Usage


class BillingStateOutput(Output):
    plan_tier: PlanName
    subscription_status: StatusName
    trial_ends_at: datetime | None = None
    interval: None = Field(default=None, description="Always null: the operator of this server sets the plan.")
    stripe_subscription_id: None = Field(default=None, description="Always null, for the same reason.")
    stripe_customer_linked: bool = Field(default=False, description="Always false, for the same reason.")
    stripe_connect_linked: bool = Field(
        description="True when sales arrive from Stripe by themselves; false means leads and sales must be reported."
    )
    stripe_mode: Mode = Field(description="sandbox and test hold no real money.")
    limits: Limits


def _get_billing_state(context: Context, request: NoArguments) -> BillingStateOutput:
    row = lookups.organization(context)
    counts = storage.organizations.usage(context.session, context.organization_id)
    limits = Limits(
        affiliates=Usage(current=counts.affiliates),
        campaigns=Usage(current=counts.programs),
        partner_payouts_this_month_cents=Usage(current=0),
        team_seats=Usage(current=1),
    )
    return BillingStateOutput.model_validate(
        {
            "plan_tier": row.plan_tier,
            "subscription_status": row.subscription_status,
            "trial_ends_at": row.trial_ends_at,
            "stripe_connect_linked": row.stripe_account is not None,
            "stripe_mode": context.mode,
            "limits": limits,
        }
    )


class Closed(Output):
    """Operations that one gate keeps from this caller."""

    reason: str
    operations: list[str]


class WhoamiOutput(Output):
    organization_id: str
    organization_name: str
    plan_tier: PlanName
    subscription_status: StatusName
    trialing: bool
    trial_ends_at: datetime | None = None
    actor_type: Literal["user", "api_key", "mcp", "system", "admin"]
    scope: Literal["read", "read_write"]
    role: str
    token_expires_at: datetime | None = None
    stripe_mode: Mode = Field(description="sandbox and test hold no real money.")
    may: list[str] = Field(description="Operations this caller can use now.")
    may_not: list[Closed] = Field(description="The others, by what stands in the way.")


def _whoami(context: Context, request: NoArguments) -> WhoamiOutput:
    caller, now = context.caller, context.now
    may: list[str] = []
    closed: dict[str, list[str]] = {}
    for operation in context.catalogue.exposed():
        refusal = scope_or_role_refusal(caller, operation.scope, operation.role)
        refusal = refusal or operation.gate.refusal(caller.standing, now)
        if refusal is None:
            may.append(operation.name)
        else:
            closed.setdefault(refusal.message, []).append(operation.name)
    return WhoamiOutput.model_validate(
        {
            "organization_id": context.organization_id,
            "organization_name": lookups.organization(context).name,
            "plan_tier": caller.standing.plan.name,
            "subscription_status": caller.standing.status.value,
            "trialing": caller.standing.trialing(now),
            "trial_ends_at": caller.standing.trial_ends_at,
            "actor_type": caller.actor.value,
            "scope": caller.scope.value,
            "role": caller.role.name,
            "token_expires_at": caller.token_expires_at,
            "stripe_mode": context.mode,
            "may": may,
            "may_not": [Closed(reason=reason, operations=names) for reason, names in closed.items()],
        }
    )


GET_ORGANIZATION = Operation(
    name="get_organization",
    title="Get organization",
    summary="Show the organization's profile: name, brand, plan, hold period and home currency.",
    usage="For what this token may do, use whoami; for plan limits and whether Stripe is linked, get_billing_state.",
    toolset="organization",
    input=NoArguments,
    output=OrganizationOutput,
    handler=_get_organization,
    route=Route("GET", "/api/organizations/me", ("/api/v1/organizations/me",)),
    scope=Scope.READ,
    gate=ALWAYS,
    asks_nothing=True,
    brief=True,
)

GET_BILLING_STATE = Operation(
    name="get_billing_state",
    title="Get billing state",
    summary="Show the plan, the trial, whether Stripe is linked and how much of each limit is used.",
    usage="Call it before advising how to track sales; for the profile use get_organization.",
    toolset="organization",
    input=NoArguments,
    output=BillingStateOutput,
    handler=_get_billing_state,
    route=Route("GET", "/api/billing/state", ("/api/v1/billing/state",)),
    scope=Scope.READ,
    gate=ALWAYS,
)

WHOAMI = Operation(
    name="whoami",
    title="Who am I",
    summary="Show which organization, plan, scope and role this connection has, and which operations it may use.",
    usage="Call it first in a session, or after a refusal; then list_programs.",
    toolset="account",
    input=NoArguments,
    output=WhoamiOutput,
    handler=_whoami,
    route=Route("GET", "/api/v1/whoami"),
    scope=Scope.READ,
    gate=ALWAYS,
    asks_nothing=True,
    brief=True,
)
