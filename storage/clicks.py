"""Clicks: visits that affiliates' links brought."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, String, distinct, insert, literal
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from rekomi_mcp.domain.visits import BOT
from rekomi_mcp.storage.rows import parts
from rekomi_mcp.storage.tables import ClickRow


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep clicks; columns are ClickRow's, all of them."""
    if rows:
        session.connection().execute(insert(ClickRow), list(rows))


def by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, ClickRow]:
    query = select(ClickRow).where(ClickRow.organization_id == organization_id)
    return {row.id: row for wanted in parts(ids) for row in session.exec(query.where(col(ClickRow.id).in_(wanted)))}


class Click(NamedTuple):
    """What attribution needs of a click: a visitor may have very many."""

    id: str
    visitor_id: str
    link_id: str
    affiliate_id: str
    program_id: str
    occurred_at: datetime


def of_visitors(
    session: Session, organization_id: str, visitor_ids: Iterable[str], since: datetime
) -> dict[str, list[Click]]:
    """Each visitor's clicks from `since` on, oldest first, without those of bots."""
    columns = [getattr(ClickRow, name) for name in Click._fields]
    query = select_columns(*columns).where(
        col(ClickRow.organization_id) == organization_id,
        col(ClickRow.occurred_at) >= since,
        col(ClickRow.device) != BOT,
    )
    found: dict[str, list[Click]] = {}
    for wanted in parts(visitor_ids):
        rows = session.connection().execute(query.where(col(ClickRow.visitor_id).in_(wanted)))
        # Sorted here: to get them in order a database may walk all clicks by time instead.
        for click in sorted((Click(*row) for row in rows), key=lambda click: (click.occurred_at, click.id)):
            found.setdefault(click.visitor_id, []).append(click)
    return found


@dataclass(frozen=True, slots=True)
class ClickFilter:
    since: datetime
    until: datetime
    affiliate_id: str | None = None
    program_id: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    key: str | None
    """What the clicks have in common; None when they say nothing of it."""
    clicks: int
    visitors: int


COLUMNS: Mapping[str, Any] = {
    "affiliate": col(ClickRow.affiliate_id),
    "link": col(ClickRow.link_id),
    "referrer": col(ClickRow.referrer_host),
    "device": col(ClickRow.device),
    "country": col(ClickRow.country),
    "utmSource": col(ClickRow.utm_source),
    "utmMedium": col(ClickRow.utm_medium),
    "utmCampaign": col(ClickRow.utm_campaign),
    "subId": col(ClickRow.sub_id),
}
"""What clicks can be counted by."""


def counts(session: Session, organization_id: str, wanted: ClickFilter, by: str | None, limit: int) -> list[Count]:
    """Clicks without those of bots, most first; all of them in one when `by` is None."""
    conditions = [
        col(ClickRow.organization_id) == organization_id,
        col(ClickRow.occurred_at) >= wanted.since,
        col(ClickRow.occurred_at) < wanted.until,
        col(ClickRow.device) != BOT,
    ]
    if wanted.affiliate_id is not None:
        conditions.append(col(ClickRow.affiliate_id) == wanted.affiliate_id)
    if wanted.program_id is not None:
        conditions.append(col(ClickRow.program_id) == wanted.program_id)
    key: ColumnElement[Any] = COLUMNS[by] if by is not None else literal(None, String)
    clicks, visitors = func.count(), func.count(distinct(col(ClickRow.visitor_id)))
    query = select_columns(key, clicks, visitors).where(*conditions)
    if by is not None:
        query = query.group_by(key).order_by(clicks.desc(), key).limit(limit)
    return [Count(*row) for row in session.connection().execute(query)]
