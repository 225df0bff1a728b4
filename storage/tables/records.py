"""What keeps the server safe: who did what, what was answered, and what is still to be said to or heard from Stripe."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Text, UniqueConstraint
from sqlmodel import Field

from rekomi_mcp.storage.columns import Row, UtcDateTime
from rekomi_mcp.storage.ids import new_id


class AuditLineRow(Row, table=True):
    """Who did what. Appended in the transaction of the change; each line's hash covers the one before."""

    __table_args__ = (
        Index("audit_line_by_action", "organization_id", "action", "seq"),
        Index("audit_line_by_entity", "organization_id", "entity_type", "seq"),
    )
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    id: str = Field(default_factory=new_id, unique=True)
    action: str
    outcome: str
    """`ok`, or the error code of a refusal."""
    entity_type: str
    entity_id: str | None = None
    actor_type: str
    actor_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    before: str | None = Field(default=None, sa_type=Text)
    after: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    sha256: str


class AuditHeadRow(Row, table=True):
    """The last line of each organization's chain: the lock that keeps the chain single."""

    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    sha256: str


class IdempotencyRecordRow(Row, table=True):
    """The first answer to a keyed write, so that a retry is answered and not done again."""

    __table_args__ = (Index("idempotency_record_by_age", "created_at"),)
    organization_id: str = Field(foreign_key="organization.id", primary_key=True)
    operation: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    response: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    """None while the write still waits for Stripe."""
    created_at: datetime = Field(sa_type=UtcDateTime)


class OutboundCallRow(Row, table=True):
    """A write to Stripe that was decided and committed here, before it is made there."""

    __table_args__ = (
        UniqueConstraint("operation", "subject_id"),
        Index("outbound_call_due", "state", "next_attempt_at"),
        Index("outbound_call_same", "organization_id", "operation", "request_sha256", "id"),
    )
    id: str = Field(default_factory=new_id, primary_key=True)
    organization_id: str = Field(foreign_key="organization.id")
    operation: str
    subject_id: str
    ticket: dict[str, Any] = Field(sa_type=JSON)
    actor: dict[str, Any] = Field(sa_type=JSON)
    """Who asked, for the audit line that the confirmation writes."""
    idempotency_key: str | None = None
    """Whose call it is. Another key is another wish, however alike."""
    request_sha256: str
    """Of the arguments: the same request made again takes up this call instead of making a second."""
    state: str
    response: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    delivered: bool = False
    """Whether whoever asked has been answered; a call finished by the sweep waits for the request to be repeated."""
    attempts: int
    """How many have set out to make it: with more than one, not being reached says nothing about the others."""
    last_error: str | None = None
    next_attempt_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class InboxEventRow(Row, table=True):
    """A verified Stripe event, stored before anything is done about it."""

    __table_args__ = (
        Index("inbox_event_due", "state", "next_attempt_at", "stripe_created", "event_id"),
        Index("inbox_event_by_age", "received_at"),
        Index("inbox_event_by_source", "account", "source", "received_at"),
    )
    account: str = Field(primary_key=True)
    """The connected account, or "self"."""
    event_id: str = Field(primary_key=True)
    type: str
    api_version: str | None = None
    livemode: bool
    source: str
    payload: str = Field(sa_type=Text)
    state: str
    note: str | None = None
    attempts: int = 0
    stripe_created: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    next_attempt_at: datetime = Field(sa_type=UtcDateTime)
    processed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PollCursorRow(Row, table=True):
    """How far the events of an account have been read by polling, on Stripe's clock."""

    account: str = Field(primary_key=True)
    read_until: datetime = Field(sa_type=UtcDateTime)
    lost_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """From here to `lost_until` nobody read what Stripe no longer lists; both null once that time has been compared."""
    lost_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
