"""Subscriptions that began with a promotion code which was nobody's: whose they are comes out when it is somebody's."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime


class SubscriptionStartRow(Row, table=True):
    """The earliest telling of how a subscription began with a promotion code that was nobody's then."""

    __table_args__ = (Index("subscription_start_of_customer", "organization_id", "customer_id"),)
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    promotion_code_id: str = Field(primary_key=True)
    subscription_id: str = Field(primary_key=True)
    customer_id: str | None = None
    event_id: str
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    """When the code was put on it."""
    origin: str
    """Its name as what binds: of two tellings of one time the lower is kept."""
    at_checkout: bool
    told_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    promotion_code_ids: list[str] = Field(sa_type=JSON)
    """All that were told with it, in Stripe's order."""
    referral: dict[str, Any] | None = Field(default=None, sa_type=JSON)
