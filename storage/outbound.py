"""Writes to Stripe that were committed here first: the record from which a crash is finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, or_, select

from rekomi_mcp.storage.tables import OutboundCallRow

PENDING, DONE = "pending", "done"


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be made."""

    organization_id: str
    operation: str
    subject_id: str
    ticket: dict[str, Any]
    actor: dict[str, Any]
    idempotency_key: str | None
    request_sha256: str


def same_request(
    session: Session, organization_id: str, operation: str, request_sha256: str, key: str | None
) -> OutboundCallRow | None:
    """A call of the same request that is not finished, or is finished and whose answer nobody has received.

    Args:
        key: the request's idempotency key; calls of other keys are other requests. Without one any call will do.
    """
    query = select(OutboundCallRow).where(
        OutboundCallRow.organization_id == organization_id,
        OutboundCallRow.operation == operation,
        OutboundCallRow.request_sha256 == request_sha256,
        col(OutboundCallRow.delivered).is_(False),
    )
    if key is not None:
        own_or_nobodys = or_(col(OutboundCallRow.idempotency_key).is_(None), OutboundCallRow.idempotency_key == key)
        query = query.where(own_or_nobodys).order_by(col(OutboundCallRow.idempotency_key).is_(None))
    return session.exec(query.order_by(col(OutboundCallRow.id).desc()).limit(1)).first()


def join(row: OutboundCallRow, key: str | None) -> None:
    """Note that one more request takes up this call; a key makes it its own."""
    row.attempts += 1
    row.idempotency_key = row.idempotency_key or key


def note_delivered(session: Session, organization_id: str, operation: str, key: str) -> None:
    """The answer kept under this key has been received."""
    session.exec(
        update(OutboundCallRow)
        .where(
            col(OutboundCallRow.organization_id) == organization_id,
            col(OutboundCallRow.operation) == operation,
            col(OutboundCallRow.idempotency_key) == key,
            col(OutboundCallRow.state) == DONE,
        )
        .values(delivered=True)
    )


def open_call(session: Session, intent: Intent, now: datetime, sweep_after: datetime) -> OutboundCallRow:
    """Record a call.

    Args:
        sweep_after: when the sweep may take it up, should this process not finish it.
    """
    session.exec(
        delete(OutboundCallRow).where(
            col(OutboundCallRow.operation) == intent.operation,
            col(OutboundCallRow.subject_id) == intent.subject_id,
            col(OutboundCallRow.state) == DONE,
        )
    )
    row = OutboundCallRow(
        organization_id=intent.organization_id,
        operation=intent.operation,
        subject_id=intent.subject_id,
        ticket=intent.ticket,
        actor=intent.actor,
        idempotency_key=intent.idempotency_key,
        request_sha256=intent.request_sha256,
        state=PENDING,
        attempts=1,
        next_attempt_at=sweep_after,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def close_call(session: Session, call_id: str) -> bool:
    """Mark a pending call as done; False when another process was faster. Locks the call until the commit."""
    result = session.exec(
        update(OutboundCallRow)
        .where(col(OutboundCallRow.id) == call_id, col(OutboundCallRow.state) == PENDING)
        .values(state=DONE)
    )
    return result.rowcount == 1


def get(session: Session, call_id: str) -> OutboundCallRow | None:
    return session.get(OutboundCallRow, call_id)


def drop_call(session: Session, call_id: str) -> bool:
    """Remove a pending call that must not be made; False when it is done or gone."""
    result = session.exec(
        delete(OutboundCallRow).where(col(OutboundCallRow.id) == call_id, col(OutboundCallRow.state) == PENDING)
    )
    return result.rowcount == 1


def take_due(session: Session, now: datetime, lease_until: datetime, limit: int) -> Sequence[OutboundCallRow]:
    """Calls that nobody finished, taken for one more attempt: no other sweeper sees them until the lease ends."""
    query = (
        select(OutboundCallRow)
        .where(OutboundCallRow.state == PENDING, OutboundCallRow.next_attempt_at <= now)
        .order_by(col(OutboundCallRow.next_attempt_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.exec(query).all()
    for row in rows:
        row.attempts += 1
        row.next_attempt_at = lease_until
    return rows


def note_error(session: Session, call_id: str, error: str) -> None:
    session.exec(
        update(OutboundCallRow)
        .where(col(OutboundCallRow.id) == call_id, col(OutboundCallRow.state) == PENDING)
        .values(last_error=error)
    )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Calls that were decided here and not made in Stripe yet."""

    pending: int
    failing: int
    """Those of them whose last attempt failed."""
    since: datetime | None
    last_error: str | None


def unfinished(session: Session, organization_id: str) -> Unfinished:
    ours = (
        OutboundCallRow.state == PENDING,
        # All have this time; it leads to the index that begins with the state.
        OutboundCallRow.next_attempt_at >= datetime(1970, 1, 1, tzinfo=UTC),
        OutboundCallRow.organization_id == organization_id,
    )
    query = select(func.count(), func.count(col(OutboundCallRow.last_error)), func.min(OutboundCallRow.created_at))
    pending, failing, since = session.exec(query.where(*ours)).one()
    return Unfinished(
        pending, failing, since, session.exec(select(func.max(OutboundCallRow.last_error)).where(*ours)).one()
    )


def purge(session: Session, older_than: datetime) -> int:
    """Drop finished calls past their retention; answers how many."""
    result = session.exec(
        delete(OutboundCallRow).where(col(OutboundCallRow.state) == DONE, col(OutboundCallRow.created_at) < older_than)
    )
    return result.rowcount
