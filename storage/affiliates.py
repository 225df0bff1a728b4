"""Affiliates: who sells."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.rows import parts
from rekomi_mcp.storage.tables import AffiliateRow

APPROVED = "Approved"


@dataclass(frozen=True, slots=True)
class AffiliateFilter:
    program_id: str | None = None
    status: str | None = None
    text: str | None = None
    """Part of the name or e-mail address."""


def get(session: Session, organization_id: str, affiliate_id: str) -> AffiliateRow | None:
    row = session.get(AffiliateRow, affiliate_id)
    return row if row is not None and row.organization_id == organization_id else None


class AffiliateTerms(NamedTuple):
    """What a decision on a sale reads of an affiliate: a batch of sales reads many."""

    id: str
    program_id: str
    email: str
    status: str
    commission_type: str | None
    commission_value: int | None
    commission_currency: str | None
    created_at: datetime


def terms(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, AffiliateTerms]:
    """The terms of affiliates, by id."""
    columns = [getattr(AffiliateRow, name) for name in AffiliateTerms._fields]
    query = select_columns(*columns).where(col(AffiliateRow.organization_id) == organization_id)
    found: dict[str, AffiliateTerms] = {}
    for wanted in parts(ids):
        rows = session.connection().execute(query.where(col(AffiliateRow.id).in_(wanted)))
        found |= {row.id: AffiliateTerms(*row) for row in rows}
    return found


def by_ids(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, AffiliateRow]:
    query = select(AffiliateRow).where(AffiliateRow.organization_id == organization_id)
    return {row.id: row for wanted in parts(ids) for row in session.exec(query.where(col(AffiliateRow.id).in_(wanted)))}


def names(session: Session, organization_id: str, ids: Iterable[str]) -> dict[str, str]:
    """What to call each affiliate: the full name, or the e-mail address when there is none."""
    if not (wanted := set(ids)):
        return {}
    query = select(AffiliateRow.id, AffiliateRow.full_name, AffiliateRow.email).where(
        AffiliateRow.organization_id == organization_id, col(AffiliateRow.id).in_(wanted)
    )
    return {row_id: full_name or email for row_id, full_name, email in session.exec(query)}


def unapproved(session: Session, organization_id: str) -> dict[str, str]:
    """The status of every affiliate that is not approved, by id: the few among the many."""
    query = select(AffiliateRow.id, AffiliateRow.status).where(
        AffiliateRow.organization_id == organization_id, AffiliateRow.status != APPROVED
    )
    return dict(session.exec(query).all())


def page(session: Session, organization_id: str, wanted: AffiliateFilter, window: Window) -> Page[AffiliateRow]:
    query = select(AffiliateRow).where(AffiliateRow.organization_id == organization_id)
    if wanted.program_id is not None:
        query = query.where(AffiliateRow.program_id == wanted.program_id)
    if wanted.status is not None:
        query = query.where(AffiliateRow.status == wanted.status)
    if wanted.text is not None:
        query = query.where(col(AffiliateRow.search_key).contains(wanted.text.lower(), autoescape=True))
    return newest_first(session, query, "affiliates", col(AffiliateRow.created_at), col(AffiliateRow.id), window)
