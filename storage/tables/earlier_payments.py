"""Payments of subscriptions that were made before this server heard of them."""

from datetime import datetime

from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime


class EarlierPaymentRow(Row, table=True):
    """A paid invoice that counts for its subscription's renewals and is no sale here; once it is one, it is gone."""

    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    subscription_id: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True)
    paid_at: datetime = Field(sa_type=UtcDateTime)
