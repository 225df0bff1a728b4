"""Clicks: visits that affiliates' links brought."""

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session, col, select

from rekomi_mcp.storage.tables import ClickRow

BOT = "Bot"
"""The device of a program that follows links: kept to be seen, counted nowhere."""


def by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, ClickRow]:
    if not (wanted := set(ids)):
        return {}
    query = select(ClickRow).where(ClickRow.organization_id == organization_id, col(ClickRow.id).in_(wanted))
    return {row.id: row for row in session.exec(query)}


def of_visitors(
    session: Session, organization_id: str, visitor_ids: Iterable[str], since: datetime
) -> dict[str, list[ClickRow]]:
    """Each visitor's clicks from `since` on, oldest first, without those of bots."""
    if not (wanted := set(visitor_ids)):
        return {}
    query = select(ClickRow).where(
        ClickRow.organization_id == organization_id,
        col(ClickRow.visitor_id).in_(wanted),
        ClickRow.occurred_at >= since,
        ClickRow.device != BOT,
    )
    found: dict[str, list[ClickRow]] = {}
    # Sorted here: to get them in order a database may walk all clicks by time instead.
    for row in sorted(session.exec(query), key=lambda row: (row.occurred_at, row.id)):
        found.setdefault(row.visitor_id, []).append(row)
    return found
