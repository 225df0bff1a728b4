"""What was sold and what it earns: sales as Stripe reported them, their reversals, conversions and the ledger."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, UniqueConstraint, text, true
from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime
from rekomi_mcp.storage.ids import new_id


class SaleRow(Row, table=True):
    """A paid or free sale as Stripe reported it, and who it was credited to or why to nobody."""

    __table_args__ = (
        UniqueConstraint("organization_id", "source", "source_id"),
        Index("sale_of_subscription", "organization_id", "subscription_id", "occurred_at"),
        Index("sale_of_customer", "organization_id", "customer_id", "occurred_at"),
        Index("sale_of_email", "organization_id", "email_key", "occurred_at"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    source: str
    source_id: str
    event_id: str
    currency: str
    net_minor: int = Field(sa_type=BigInteger)
    gross_minor: int = Field(sa_type=BigInteger)
    customer_id: str | None = None
    customer_email: str | None = None
    subscription_id: str | None = None
    outcome: str
    """`credited`, or why not."""
    decision: dict[str, Any] = Field(sa_type=JSON)
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    email_key: str | None = None
    """The customer's address in lower case."""
    referral: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    """What the sale itself says of who brought it: a click, a link's slug, or an affiliate named by the seller."""
    revision: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    """How often it has been decided anew, because news of an earlier time came later, or what goes back shared anew."""
    is_counted: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """Whether its subscription's payments are counted with it; an upgrade's invoice is not."""


class SaleCodeRow(Row, table=True):
    """A promotion code that a sale carried and was not credited by: nobody's code, or one that lost."""

    __table_args__ = (Index("sale_code_of_sale", "sale_id"),)
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    promotion_code_id: str = Field(primary_key=True)
    sale_id: str = Field(foreign_key="sale.id", primary_key=True)


class SalePaymentRow(Row, table=True):
    """That a payment intent or charge paid a sale, known before or after the sale itself is. It may have paid several."""

    __table_args__ = (Index("sale_payment_of_sale", "organization_id", "source", "source_id"),)
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    payment_id: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    source_id: str = Field(primary_key=True)
    amount_minor: int | None = Field(default=None, sa_type=BigInteger)
    """What of the payment went into this sale, where that is told."""


BY_ITSELF = text("customer_id IS NOT NULL")
"""Whether it is of a subscription that no sale bound."""


class BindingRow(Row, table=True):
    """The affiliate a customer or subscription belongs to since their first credited sale."""

    __table_args__ = (
        Index(
            "binding_of_customer", "organization_id", "customer_id", sqlite_where=BY_ITSELF, postgresql_where=BY_ITSELF
        ),
    )
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    kind: str = Field(primary_key=True)
    ref: str = Field(primary_key=True)
    affiliate_id: str = Field(foreign_key="affiliate.id")
    program_id: str = Field(foreign_key="program.id")
    code_id: str | None = Field(default=None, foreign_key="affiliate_code.id")
    event_id: str
    bound_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the subscription was cancelled for good."""
    origin: str | None = None
    """What bound it: a sale as `source:id`, or the subscription itself. Only news of an earlier time binds anew."""
    customer_id: str | None = None
    """Whose a subscription is that was bound by itself: with it the customer was, unless they were bound before."""


class ReversalRow(Row, table=True):
    """A refund, dispute or credit note by its id, stored even before its sale is known."""

    __table_args__ = (
        Index("reversal_of_payment_intent", "organization_id", "payment_intent_id"),
        Index("reversal_of_charge", "organization_id", "charge_id"),
        Index("reversal_of_sale", "organization_id", "sale_source", "sale_source_id"),
    )
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    id: str = Field(primary_key=True)
    kind: str
    event_id: str
    payment_intent_id: str | None = None
    charge_id: str | None = None
    currency: str
    amount_minor: int = Field(sa_type=BigInteger)
    status: str
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    sale_source: str | None = None
    sale_source_id: str | None = None
    """The sale itself, when the news names it and not a payment of it."""
    told_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When this status was told, on the teller's clock: between two final ones the later counts."""


class ConversionRow(Row, table=True):
    """What one sale earns one affiliate, with a copy of the terms it was made under."""

    __table_args__ = (
        Index("conversion_newest_first", "organization_id", "occurred_at", "id"),
        Index("conversion_of_affiliate", "organization_id", "affiliate_id", "occurred_at", "id"),
        Index("conversion_of_program", "organization_id", "program_id", "occurred_at", "id"),
        Index("conversion_of_code", "organization_id", "code", "occurred_at", "id"),
        Index("conversion_by_state", "organization_id", "state", "occurred_at", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    sale_id: str = Field(foreign_key="sale.id", unique=True)
    program_id: str = Field(foreign_key="program.id")
    affiliate_id: str = Field(foreign_key="affiliate.id")
    code_id: str | None = Field(default=None, foreign_key="affiliate_code.id")
    code: str | None = None
    method: str
    type: str
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    commission_minor: int = Field(sa_type=BigInteger)
    commission_currency: str
    remaining_minor: int = Field(sa_type=BigInteger)
    """Commission left after reversals: the sum of this conversion's ledger entries for its affiliate."""
    rate_type: str
    rate_value: int
    rate_source: str
    terms_version: int
    state: str
    """`Open`, `Paid`, `Refunded` or `Denied`. Open reads as Pending until held_until and as Approved after it."""
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    held_until: datetime = Field(sa_type=UtcDateTime)
    refunded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    on_hold_minor: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    """What of the remaining commission an open dispute keeps from being paid."""
    flag: str | None = None
    """Why a person should look at it (`self_purchase`)."""
    click_id: str | None = None
    """The click that led to the sale, when one is known."""


class LedgerEntryRow(Row, table=True):
    """One movement of one balance. Appended, never changed: a balance is the sum of its entries."""

    __table_args__ = (
        UniqueConstraint("conversion_id", "cause", "cause_id", "cause_state"),
        Index(
            "ledger_balance",
            "organization_id",
            "affiliate_id",
            "currency",
            "available_at",
            "sold_at",
            "kind",
            "amount_minor",
        ),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    affiliate_id: str = Field(foreign_key="affiliate.id")
    conversion_id: str = Field(foreign_key="conversion.id")
    kind: str
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    cause: str
    cause_id: str
    cause_state: str
    """What happened to the cause: a refund that succeeded and later failed is two entries."""
    cause_amount_minor: int = Field(sa_type=BigInteger)
    """The sale's base, or the money that went back, in the sale's currency."""
    available_at: datetime = Field(sa_type=UtcDateTime)
    """When the money may be paid out. A reversal becomes available with the accrual it reverses."""
    sold_at: datetime = Field(sa_type=UtcDateTime)
    """The time of the sale, also on its reversals: what a payout period is measured by."""
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
