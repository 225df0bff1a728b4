"""What brands offer and who sells it: programs, affiliates, their links, coupons, codes and leads."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, UniqueConstraint, false, text
from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime
from rekomi_mcp.storage.ids import new_id

LIVE_CODE = text("status IN ('Pending', 'Active')")
"""The codes whose text is taken."""


class ProgramRow(Row, table=True):
    __table_args__ = (
        UniqueConstraint("organization_id", "slug"),
        Index("program_newest_first", "organization_id", "created_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    name: str
    slug: str
    description: str | None = None
    terms_url: str | None = None
    is_active: bool = True
    commission_type: str
    commission_value: int
    commission_currency: str | None = None
    commission_model: str
    cookie_window_days: int
    recurring_months: int | None = None
    recurring_delay_invoices: int
    attribution_model: str
    auto_approve: bool
    custom_domain: str | None = None
    custom_domain_verified: bool = False
    network_visibility: str
    is_publicly_discoverable: bool
    terms_version: int = 1
    """Raised whenever what an affiliate earns changes; every conversion copies the version it was made under."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    archived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    website_url: str | None = None
    """Where the program's links lead."""
    allow_self_purchases: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether an affiliate earns on what they buy themselves."""


class AffiliateRow(Row, table=True):
    __table_args__ = (
        UniqueConstraint("program_id", "email_key"),
        Index("affiliate_newest_first", "organization_id", "created_at", "id"),
        Index("affiliate_of_program", "organization_id", "program_id", "created_at", "id"),
        Index("affiliate_by_status", "organization_id", "status", "created_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    program_id: str = Field(foreign_key="program.id")
    email: str
    email_key: str
    """The address in lower case: one affiliate a program has one address."""
    full_name: str
    search_key: str
    """Name and address in lower case, for the free-text filter."""
    status: str
    commission_type: str | None = None
    commission_value: int | None = None
    commission_currency: str | None = None
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    notes: str | None = None
    source: str
    reject_reason: str | None = None
    applied_at: datetime = Field(sa_type=UtcDateTime)
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class PastTermsRow(Row, table=True):
    """What was in force before a change: a sale is decided on the terms of its own time, whenever its news comes."""

    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    subject_id: str = Field(primary_key=True)
    """A program's, an affiliate's or a campaign coupon's. Who never changed has no row."""
    until: datetime = Field(sa_type=UtcDateTime, primary_key=True)
    """Not included. Whole seconds, as Stripe tells the time of a sale."""
    terms: dict[str, Any] = Field(sa_type=JSON)
    """Values by column of the subject."""


class AffiliateLinkRow(Row, table=True):
    __table_args__ = (Index("affiliate_link_newest_first", "organization_id", "created_at", "id"),)
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    affiliate_id: str = Field(foreign_key="affiliate.id", index=True)
    slug: str = Field(unique=True)
    """Unique in the whole deployment: a link names no organization."""
    custom_alias: str | None = None
    is_default: bool
    format: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    destination_url: str | None = None
    """Where it leads, when not to the program's website."""


class LinkSlugRow(Row, table=True):
    """Every slug a link has or had: a renamed link keeps answering to its old ones, and nobody else gets them."""

    slug: str = Field(primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    link_id: str = Field(foreign_key="affiliate_link.id", index=True)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ClickRow(Row, table=True):
    """Somebody followed an affiliate's link. No address is kept: a visitor is a random id in their own cookie."""

    __table_args__ = (
        Index("click_of_visitor", "organization_id", "visitor_id", "occurred_at"),
        Index("click_newest_first", "organization_id", "occurred_at", "id"),
        Index("click_of_affiliate", "organization_id", "affiliate_id", "occurred_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    program_id: str = Field(foreign_key="program.id")
    affiliate_id: str = Field(foreign_key="affiliate.id")
    link_id: str = Field(foreign_key="affiliate_link.id")
    visitor_id: str
    referrer_host: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    sub_id: str | None = None
    """The affiliate's own label of where the link stood."""
    device: str
    """`Desktop`, `Mobile`, `Tablet` or `Bot`."""
    country: str | None = None
    """Two letters, when the proxy in front says it."""
    occurred_at: datetime = Field(sa_type=UtcDateTime)


class CampaignCouponRow(Row, table=True):
    """A discount that affiliates' codes give; one Stripe coupon."""

    __table_args__ = (
        Index("campaign_coupon_newest_first", "organization_id", "created_at", "id"),
        Index("campaign_coupon_of_program", "organization_id", "program_id", "created_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    program_id: str = Field(foreign_key="program.id")
    name: str
    discount_type: str
    discount_value: int = Field(sa_type=BigInteger)
    """Basis points for PercentOff, minor units of discount_currency for AmountOff."""
    discount_currency: str | None = None
    duration: str
    duration_in_months: int | None = None
    max_redemptions_per_code: int | None = None
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    allow_affiliate_self_mint: bool
    overrides_click_attribution: bool
    status: str
    stripe_coupon_id: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    archived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """The Stripe coupon was the merchant's before: archiving it here must not delete it there."""
    ended_in_stripe: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Deleted there before anybody archived it here: nobody can redeem it any more, and what was redeemed counts."""


class AffiliateCodeRow(Row, table=True):
    """A code that names one affiliate at the till; one Stripe promotion code. Never deleted: it keeps its past."""

    __table_args__ = (
        Index(
            "affiliate_code_live_text",
            "organization_id",
            "code",
            unique=True,
            sqlite_where=LIVE_CODE,
            postgresql_where=LIVE_CODE,
        ),
        UniqueConstraint("organization_id", "stripe_promotion_code_id"),
        Index("affiliate_code_by_text", "organization_id", "code"),
        Index("affiliate_code_newest_first", "organization_id", "created_at", "id"),
        Index("affiliate_code_of_affiliate", "organization_id", "affiliate_id", "created_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    affiliate_id: str = Field(foreign_key="affiliate.id")
    program_id: str = Field(foreign_key="program.id")
    campaign_coupon_id: str = Field(foreign_key="campaign_coupon.id", index=True)
    code: str
    status: str
    commission_type: str | None = None
    commission_value: int | None = None
    commission_currency: str | None = None
    max_redemptions: int | None = None
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    first_order_only: bool = False
    minimum_amount: int | None = Field(default=None, sa_type=BigInteger)
    minimum_amount_currency: str | None = None
    stripe_promotion_code_id: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    deactivated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    adopted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """The promotion code was the merchant's before."""
    told_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When Stripe last told whether it is active, on Stripe's clock: older news changes nothing."""


class LeadRow(Row, table=True):
    """A signup tied to an affiliate before any money: it earns nothing and never counts as a sale."""

    __table_args__ = (
        UniqueConstraint("organization_id", "affiliate_id", "email_key"),
        UniqueConstraint("organization_id", "external_event_id"),
        Index("lead_by_email", "organization_id", "email_key", "created_at"),
        Index("lead_newest_first", "organization_id", "created_at", "id"),
        Index("lead_of_affiliate", "organization_id", "affiliate_id", "created_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    program_id: str = Field(foreign_key="program.id")
    affiliate_id: str = Field(foreign_key="affiliate.id")
    email: str
    email_key: str
    name: str | None = None
    source: str
    external_event_id: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    free_sale_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the affiliate's earliest sale to this address that cost nothing was made, on Stripe's clock."""
