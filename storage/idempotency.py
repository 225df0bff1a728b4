"""Remembered answers: a retried write receives the first answer instead of a second effect."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import Session, col

from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import IdempotencyRecordRow


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a keyed write unique, and a digest of its arguments."""

    organization_id: str
    operation: str
    key: str
    request_sha256: str


def claim(session: Session, key: Key, now: datetime) -> IdempotencyRecordRow | None:
    """Take the key for this transaction; answer the earlier record when it is taken already.

    On PostgreSQL a second claimant waits here until the first has committed or rolled back.
    """
    row = {
        "organization_id": key.organization_id,
        "operation": key.operation,
        "key": key.key,
        "request_sha256": key.request_sha256,
        "created_at": now,
    }
    if add_missing(session, IdempotencyRecordRow, [row]):
        return None
    return session.get_one(IdempotencyRecordRow, (key.organization_id, key.operation, key.key))


def find(session: Session, key: Key) -> IdempotencyRecordRow | None:
    """The record of a key that somebody took."""
    return session.get(IdempotencyRecordRow, (key.organization_id, key.operation, key.key))


def remember(session: Session, organization_id: str, operation: str, key: str, response: dict[str, Any]) -> None:
    session.exec(
        update(IdempotencyRecordRow)
        .where(
            col(IdempotencyRecordRow.organization_id) == organization_id,
            col(IdempotencyRecordRow.operation) == operation,
            col(IdempotencyRecordRow.key) == key,
        )
        .values(response=response)
    )


def forget(session: Session, organization_id: str, operation: str, key: str) -> None:
    """Release a key whose write was refused after all."""
    session.exec(
        delete(IdempotencyRecordRow).where(
            col(IdempotencyRecordRow.organization_id) == organization_id,
            col(IdempotencyRecordRow.operation) == operation,
            col(IdempotencyRecordRow.key) == key,
        )
    )


def purge(session: Session, older_than: datetime) -> int:
    """Drop records past their retention; answers how many."""
    result = session.exec(delete(IdempotencyRecordRow).where(col(IdempotencyRecordRow.created_at) < older_than))
    return result.rowcount
