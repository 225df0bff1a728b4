"""Brands and their keys: the tenants everything else belongs to."""

from datetime import datetime

from sqlalchemy import Index, false
from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime
from rekomi_mcp.storage.ids import new_id


class OrganizationRow(Row, table=True):
    """A brand: the tenant everything else belongs to."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str
    slug: str = Field(unique=True)
    billing_email: str | None = None
    timezone: str = "UTC"
    primary_brand_color: str | None = None
    logo_url: str | None = None
    description: str | None = None
    white_label_enabled: bool = False
    plan_tier: str
    subscription_status: str
    trial_ends_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    payout_grace_days: int
    home_currency: str
    stripe_account: str | None = Field(default=None, unique=True)
    """The connected account's id, "self" for the deployment's own account, None when Stripe is not linked."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    attribution_params: str | None = None
    """Query parameters of the brand's own that name an affiliate, comma-separated; they go before the usual ones."""
    has_adopted_starts: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether a code was adopted with which subscriptions had begun: what news of their customers is then read with."""


class SigningSecretRow(Row, table=True):
    """A secret that signs server-to-server calls. Both sides need its text, so it is kept sealed."""

    __table_args__ = (Index("signing_secret_of_organization", "organization_id", "created_at", "id"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    name: str
    hint: str
    sealed: str
    """Encrypted with the deployment's key."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ApiTokenRow(Row, table=True):
    """A bearer credential. Its text is shown once and kept only as SHA-256."""

    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id", index=True)
    kind: str
    name: str
    hint: str
    """The first characters, so that a person can tell tokens apart."""
    sha256: str = Field(unique=True)
    scope: str
    role: str
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class DeploymentRow(Row, table=True):
    """One row: what kind of money this database holds. Sandbox, test and live data never share one."""

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    mode: str
