"""Leads: signups that tie an e-mail address to an affiliate before any money."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.rows import parts
from rekomi_mcp.storage.tables import LeadRow

OF_SALE = "Stripe"
"""The source of a lead that nothing but a sale made."""


@dataclass(frozen=True, slots=True)
class LeadFilter:
    affiliate_id: str | None = None
    program_id: str | None = None
    email: str | None = None


def of_affiliate(session: Session, organization_id: str, affiliate_id: str, email: str) -> LeadRow | None:
    query = select(LeadRow).where(
        LeadRow.organization_id == organization_id,
        LeadRow.affiliate_id == affiliate_id,
        LeadRow.email_key == email.lower(),
    )
    return session.exec(query).first()


def by_external_id(session: Session, organization_id: str, external_event_id: str) -> LeadRow | None:
    query = select(LeadRow).where(
        LeadRow.organization_id == organization_id, LeadRow.external_event_id == external_event_id
    )
    return session.exec(query).first()


def by_emails(session: Session, organization_id: str, emails: Iterable[str]) -> dict[str, list[LeadRow]]:
    """Leads by lower-case address, oldest first."""
    query = select(LeadRow).where(LeadRow.organization_id == organization_id)
    found: dict[str, list[LeadRow]] = {}
    for wanted in parts(email.lower() for email in emails):
        rows = session.exec(query.where(col(LeadRow.email_key).in_(wanted)))
        # Sorted here: to get them in order a database may walk all leads by time instead.
        for row in sorted(rows, key=lambda row: (row.created_at, row.affiliate_id)):
            found.setdefault(row.email_key, []).append(row)
    return found


def remove(session: Session, organization_id: str, ids: Sequence[str]) -> None:
    for gone in parts(ids):
        session.exec(delete(LeadRow).where(col(LeadRow.organization_id) == organization_id, col(LeadRow.id).in_(gone)))


def set_free_sales(session: Session, organization_id: str, times: Mapping[str, datetime | None]) -> None:
    """Set when the earliest sale that cost nothing was made, by the id of the lead; None: there is none after all."""
    for lead_id, at in times.items():
        query = update(LeadRow).where(col(LeadRow.organization_id) == organization_id, col(LeadRow.id) == lead_id)
        session.exec(query.values(free_sale_at=at))
        session.exec(query.where(col(LeadRow.source) == OF_SALE).values(created_at=at))


def page(session: Session, organization_id: str, wanted: LeadFilter, window: Window) -> Page[LeadRow]:
    query = select(LeadRow).where(LeadRow.organization_id == organization_id)
    if wanted.affiliate_id is not None:
        query = query.where(LeadRow.affiliate_id == wanted.affiliate_id)
    if wanted.program_id is not None:
        query = query.where(LeadRow.program_id == wanted.program_id)
    if wanted.email is not None:
        query = query.where(LeadRow.email_key == wanted.email.lower())
    return newest_first(session, query, "leads", col(LeadRow.created_at), col(LeadRow.id), window)
