"""Organizations: the tenants, and which Stripe account is whose."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from sqlalchemy import bindparam, func, inspect
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from rekomi_mcp.domain.access import Plan, Standing, SubscriptionStatus
from rekomi_mcp.storage.engine import Reader, only_reads
from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import AffiliateRow, DeploymentRow, OrganizationRow, ProgramRow

OWN_ACCOUNT = "self"
"""How the deployment's own Stripe account is written where connected accounts have their id."""


class OrganizationView(Protocol):
    """An organization to look at: a row of columns, which costs a fraction of an entity."""

    id: str
    name: str
    slug: str
    billing_email: str | None
    timezone: str
    primary_brand_color: str | None
    logo_url: str | None
    description: str | None
    white_label_enabled: bool
    plan_tier: str
    subscription_status: str
    trial_ends_at: datetime | None
    payout_grace_days: int
    home_currency: str
    stripe_account: str | None
    attribution_params: str | None
    has_adopted_starts: bool


COLUMNS = tuple(inspect(OrganizationRow).columns)
"""What an OrganizationView shows."""
_VIEWS = select_columns(*COLUMNS)
_GET = _VIEWS.where(col(OrganizationRow.id) == bindparam("id"))
_REMEMBERED = "organization"


def get(reader: Reader, organization_id: str) -> OrganizationView | None:
    known: OrganizationView | None = reader.info.get(_REMEMBERED)
    if known is not None and known.id == organization_id:
        return known
    return cast(OrganizationView | None, reader.connection().execute(_GET, {"id": organization_id}).first())


def remember(reader: Reader, row: OrganizationView) -> None:
    """Answer this row when the organization is asked for, unless it may be changed in between."""
    if only_reads(reader):
        reader.info[_REMEMBERED] = row


def view_by_slug(reader: Reader, slug: str) -> OrganizationView | None:
    wanted = _VIEWS.where(col(OrganizationRow.slug) == slug)
    return cast(OrganizationView | None, reader.connection().execute(wanted).first())


def views(reader: Reader) -> Sequence[OrganizationView]:
    """All organizations, for the operator only."""
    return cast(Sequence[OrganizationView], reader.connection().execute(_VIEWS).all())


def by_slug(session: Session, slug: str) -> OrganizationRow | None:
    return session.exec(select(OrganizationRow).where(OrganizationRow.slug == slug)).first()


def by_stripe_account(session: Session, account: str) -> OrganizationRow | None:
    return session.exec(select(OrganizationRow).where(OrganizationRow.stripe_account == account)).first()


def attribution_params_of_program(session: Session, program_id: str) -> str | None:
    """The own attribution parameters of the organization that has this program: for its pages, which know no more."""
    query = (
        select(OrganizationRow.attribution_params)
        .join(ProgramRow, col(ProgramRow.organization_id) == OrganizationRow.id)
        .where(ProgramRow.id == program_id)
    )
    return session.exec(query).first()


def set_attribution_params(session: Session, organization_id: str, text: str | None, now: datetime) -> None:
    row = session.get_one(OrganizationRow, organization_id)
    row.attribution_params, row.updated_at = text, now
    session.flush()


def note_adopted_starts(session: Session, organization_id: str) -> None:
    """Subscriptions had begun with a code before it was adopted."""
    session.get_one(OrganizationRow, organization_id).has_adopted_starts = True
    session.flush()


def everyone(session: Session) -> Sequence[OrganizationRow]:
    """All organizations, oldest first; for the operator only."""
    return session.exec(
        select(OrganizationRow).order_by(col(OrganizationRow.created_at), col(OrganizationRow.id))
    ).all()


def stripe_accounts(session: Session) -> Sequence[str]:
    """The accounts whose events are ours to read."""
    return [
        account
        for account in session.exec(
            select(OrganizationRow.stripe_account)
            .where(col(OrganizationRow.stripe_account).is_not(None))
            .order_by(col(OrganizationRow.created_at), col(OrganizationRow.id))
        )
        if account is not None
    ]


def standing(row: OrganizationRow | OrganizationView) -> Standing:
    return Standing(Plan[row.plan_tier], SubscriptionStatus(row.subscription_status), row.trial_ends_at)


def claim_mode(session: Session, mode: str) -> str:
    """Stamp an empty database with the kind of money it holds; answer the kind it holds."""
    add_missing(session, DeploymentRow, [{"id": 1, "mode": mode}])
    return session.get_one(DeploymentRow, 1).mode


@dataclass(frozen=True, slots=True)
class Usage:
    affiliates: int
    programs: int


def usage(session: Session, organization_id: str) -> Usage:
    """How many affiliates and live programs an organization has."""
    affiliates = select(func.count()).where(AffiliateRow.organization_id == organization_id)
    programs = select(func.count()).where(
        ProgramRow.organization_id == organization_id, col(ProgramRow.archived_at).is_(None)
    )
    return Usage(session.exec(affiliates).one(), session.exec(programs).one())
