"""The inbox of Stripe events: stored first, worked off in batches, failures kept with their error."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import InboxEventRow, PollCursorRow

PENDING, DONE, IGNORED, FAILED = "pending", "done", "ignored", "failed"
NOT_LINKED = "no organization is linked to this Stripe account"
"""Why an event waits to be wanted: linking the account brings it back."""


def store(session: Session, events: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Keep events that are new; answers the (account, event id) of those. Columns are InboxEventRow's."""
    return {(account, event_id) for account, event_id in add_missing(session, InboxEventRow, events)}


def take_due(session: Session, now: datetime, lease_until: datetime, limit: int) -> Sequence[InboxEventRow]:
    """The oldest events that wait, hidden from other workers until the lease ends."""
    query = (
        select(InboxEventRow)
        .where(InboxEventRow.state == PENDING, InboxEventRow.next_attempt_at <= now)
        .order_by(col(InboxEventRow.next_attempt_at), col(InboxEventRow.stripe_created), col(InboxEventRow.event_id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.exec(query).all()
    for row in rows:
        row.next_attempt_at = lease_until
        row.attempts += 1
    return rows


def finish(session: Session, account: str, event_ids: Sequence[str], now: datetime) -> set[str]:
    """Mark events as worked off; answers those that were still waiting. Call it in the transaction of their effects."""
    result = session.exec(
        update(InboxEventRow)
        .where(
            col(InboxEventRow.account) == account,
            col(InboxEventRow.event_id).in_(event_ids),
            col(InboxEventRow.state) == PENDING,
        )
        .values(state=DONE, processed_at=now, note=None)
        .returning(col(InboxEventRow.event_id))
    )
    return set(result.scalars())


def set_aside(session: Session, account: str, event_ids: Sequence[str], state: str, note: str, now: datetime) -> None:
    """Mark events of an account as ignored or failed, with the reason."""
    session.exec(
        update(InboxEventRow)
        .where(
            col(InboxEventRow.account) == account,
            col(InboxEventRow.event_id).in_(event_ids),
            col(InboxEventRow.state) == PENDING,
        )
        .values(state=state, note=note[:500], processed_at=now)
    )


def reopen(session: Session, account: str, note: str, now: datetime) -> int:
    """Bring back the ignored events of an account that carry this note; answers how many."""
    result = session.exec(
        update(InboxEventRow)
        .where(
            col(InboxEventRow.account) == account,
            col(InboxEventRow.state) == IGNORED,
            col(InboxEventRow.note) == note,
        )
        .values(state=PENDING, note=None, processed_at=None, next_attempt_at=now, attempts=0)
    )
    return result.rowcount


def postpone(session: Session, key: tuple[str, str], until: datetime, note: str) -> None:
    session.exec(
        update(InboxEventRow)
        .where(
            col(InboxEventRow.account) == key[0],
            col(InboxEventRow.event_id) == key[1],
            col(InboxEventRow.state) == PENDING,
        )
        .values(next_attempt_at=until, note=note[:500])
    )


def purge(session: Session, older_than: datetime) -> int:
    """Drop events that are worked off or ignored and were received before; answers how many."""
    result = session.exec(
        delete(InboxEventRow).where(
            col(InboxEventRow.received_at) < older_than, col(InboxEventRow.state).in_((DONE, IGNORED))
        )
    )
    return result.rowcount


def begin_reading(session: Session, account: str, now: datetime) -> datetime:
    """How far the account's events have been read; `now` when nobody has begun."""
    add_missing(session, PollCursorRow, [{"account": account, "read_until": now}])
    return session.get_one(PollCursorRow, account).read_until


def set_read_until(session: Session, account: str, at: datetime) -> None:
    """Move the poll cursor of an account; it never moves back."""
    if add_missing(session, PollCursorRow, [{"account": account, "read_until": at}]):
        return
    session.exec(
        update(PollCursorRow)
        .where(col(PollCursorRow.account) == account, col(PollCursorRow.read_until) < at)
        .values(read_until=at)
    )
