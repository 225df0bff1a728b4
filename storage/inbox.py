"""The inbox of Stripe events: stored first, worked off in batches, failures kept with their error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import InboxEventRow, PollCursorRow

PENDING, DONE, IGNORED, FAILED = "pending", "done", "ignored", "failed"
NOT_LINKED = "no organization is linked to this Stripe account"
"""Why an event waits to be wanted: linking the account brings it back."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


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


def replay_failed(session: Session, account: str, event_ids: Sequence[str] | None, now: datetime) -> list[str]:
    """Put failed events of an account back to waiting, all of them when none are named; answers which."""
    query = update(InboxEventRow).where(*_in_state(account, FAILED))
    if event_ids is not None:
        query = query.where(col(InboxEventRow.event_id).in_(event_ids))
    values = {"state": PENDING, "note": None, "processed_at": None, "next_attempt_at": now, "attempts": 0}
    return sorted(session.exec(query.values(values).returning(col(InboxEventRow.event_id))).scalars())


def _in_state(account: str, state: str) -> list[ColumnElement[bool]]:
    """The events of an account in a state. The time, which all have, leads to the index that begins with the state."""
    return [
        col(InboxEventRow.state) == state,
        col(InboxEventRow.next_attempt_at) >= _BEGINNING,
        col(InboxEventRow.account) == account,
    ]


@dataclass(frozen=True, slots=True)
class Span:
    """A time, from its first moment to the first one that is not meant any more."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An event that was given up, without its payload."""

    event_id: str
    type: str
    note: str | None
    attempts: int
    received_at: datetime


def failed(session: Session, account: str, limit: int) -> tuple[int, list[FailedEvent]]:
    """How many events of an account were given up, and the newest of them."""
    number = session.exec(select(func.count()).select_from(InboxEventRow).where(*_in_state(account, FAILED))).one()
    query = (
        select_columns(*(col(getattr(InboxEventRow, name)) for name in FailedEvent.__slots__))
        .where(*_in_state(account, FAILED))
        .order_by(col(InboxEventRow.received_at).desc(), col(InboxEventRow.event_id))
        .limit(limit)
    )
    return number, [FailedEvent(*row) for row in session.connection().execute(query)]


def waiting(session: Session, account: str) -> tuple[int, datetime | None]:
    """How many events of an account are not worked off yet, and since when the oldest waits."""
    query = select(func.count(), func.min(InboxEventRow.received_at)).where(*_in_state(account, PENDING))
    return session.exec(query).one()


def newest_from(session: Session, account: str, source: str) -> tuple[str, datetime] | None:
    """Type and time of the event that last arrived by `webhook` or by `poll`."""
    query = (
        select(InboxEventRow.type, InboxEventRow.received_at)
        .where(InboxEventRow.account == account, InboxEventRow.source == source)
        .order_by(col(InboxEventRow.received_at).desc())
        .limit(1)
    )
    return session.exec(query).first()


def read_until(session: Session, account: str) -> datetime | None:
    """How far polling has read the account's events; None when it never began."""
    row = session.get(PollCursorRow, account)
    return row.read_until if row is not None else None


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


def set_read_until(session: Session, account: str, at: datetime, lost: Span | None = None) -> None:
    """Move the poll cursor of an account; it never moves back. `lost` is what it moves over without reading."""
    add_missing(session, PollCursorRow, [{"account": account, "read_until": at}])
    row = _cursor(session, account)
    row.read_until = max(row.read_until, at)
    if lost is not None:
        row.lost_since = min(row.lost_since or lost.since, lost.since)
        row.lost_until = max(row.lost_until or lost.until, lost.until)


def lost(session: Session, account: str) -> Span | None:
    """The time whose events were never read and which has not been compared with Stripe since."""
    row = session.get(PollCursorRow, account)
    if row is None or row.lost_since is None or row.lost_until is None:
        return None
    return Span(row.lost_since, row.lost_until)


def note_compared(session: Session, account: str, compared: Span) -> bool:
    """Take a time that was compared with Stripe off the beginning or the end of what is lost; whether there was any."""
    if lost(session, account) is None:
        return False
    row = _cursor(session, account)
    if row.lost_since is None or row.lost_until is None:
        return False
    before = Span(row.lost_since, row.lost_until)
    if compared.since <= before.since:
        row.lost_since = max(before.since, compared.until)
    elif compared.until >= before.until:
        row.lost_until = min(before.until, compared.since)
    after = Span(row.lost_since, row.lost_until)
    if after.since >= after.until:
        row.lost_since = row.lost_until = None
    return after != before


def _cursor(session: Session, account: str) -> PollCursorRow:
    """The cursor as it is now, kept from other writers until the transaction ends."""
    return session.get_one(PollCursorRow, account, with_for_update=True, populate_existing=True)
