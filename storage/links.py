"""Affiliates' links, and every slug that ever led to one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import AffiliateLinkRow, AffiliateRow, LinkSlugRow, ProgramRow


@dataclass(frozen=True, slots=True)
class LinkFilter:
    affiliate_id: str | None = None
    text: str | None = None
    """Part of the slug."""


def get(session: Session, organization_id: str, link_id: str) -> AffiliateLinkRow | None:
    row = session.get(AffiliateLinkRow, link_id)
    return row if row is not None and row.organization_id == organization_id else None


def by_slugs(session: Session, organization_id: str, slugs: Iterable[str]) -> dict[str, AffiliateLinkRow]:
    """The organization's links by the slugs asked for, whether a link has the slug now or had it once."""
    if not (wanted := set(slugs)):
        return {}
    query = (
        select(LinkSlugRow.slug, AffiliateLinkRow)
        .join(AffiliateLinkRow, col(AffiliateLinkRow.id) == LinkSlugRow.link_id)
        .where(LinkSlugRow.organization_id == organization_id, col(LinkSlugRow.slug).in_(wanted))
    )
    return dict(session.exec(query).all())


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a slug leads to, and where."""

    organization_id: str
    program_id: str
    affiliate_id: str
    link_id: str
    slug: str
    """As the link is called now."""
    destination_url: str | None
    website_url: str | None
    cookie_window_days: int
    attribution_model: str


_COLUMNS: tuple[Any, ...] = (
    LinkSlugRow.slug,
    AffiliateLinkRow.organization_id,
    AffiliateRow.program_id,
    AffiliateLinkRow.affiliate_id,
    AffiliateLinkRow.id,
    AffiliateLinkRow.slug,
    AffiliateLinkRow.destination_url,
    ProgramRow.website_url,
    ProgramRow.cookie_window_days,
    ProgramRow.attribution_model,
)
_TARGET = (
    select_columns(*_COLUMNS)
    .select_from(LinkSlugRow)
    .join(AffiliateLinkRow, col(AffiliateLinkRow.id) == LinkSlugRow.link_id)
    .join(AffiliateRow, col(AffiliateRow.id) == AffiliateLinkRow.affiliate_id)
    .join(ProgramRow, col(ProgramRow.id) == AffiliateRow.program_id)
)
"""Run for every visit, so it reads columns: entities would cost several times as much."""


def targets(session: Session, slugs: Iterable[str], *, of_program: str | None = None) -> dict[str, Target]:
    """Where these slugs lead, of whichever organization: the doors for visitors know nobody else.

    Args:
        of_program: only links of the organization that this program belongs to.
    """
    query = _TARGET.where(col(LinkSlugRow.slug).in_(set(slugs)))
    if of_program is not None:
        owner = select(ProgramRow.organization_id).where(ProgramRow.id == of_program).scalar_subquery()
        query = query.where(col(LinkSlugRow.organization_id) == owner)
    return {row[0]: Target(*row[1:]) for row in session.connection().execute(query)}


def owner_of_slug(session: Session, slug: str) -> str | None:
    """The id of the link that has or had this slug, of whichever organization; None when it is free."""
    return session.exec(select(LinkSlugRow.link_id).where(LinkSlugRow.slug == slug)).first()


def taken_slugs(session: Session, slugs: Iterable[str]) -> set[str]:
    """Those that some link of the deployment has or had."""
    return set(session.exec(select(LinkSlugRow.slug).where(col(LinkSlugRow.slug).in_(set(slugs)))))


def claim_slug(session: Session, link: AffiliateLinkRow, slug: str, now: datetime) -> bool:
    """Have the slug lead to the link from now on; False when it leads, or led, to another."""
    row = {"slug": slug, "organization_id": link.organization_id, "link_id": link.id, "created_at": now}
    return bool(add_missing(session, LinkSlugRow, [row])) or owner_of_slug(session, slug) == link.id


def slugs_of(session: Session, organization_id: str, link_ids: Iterable[str]) -> dict[str, str]:
    """What each link is called now."""
    query = select(AffiliateLinkRow.id, AffiliateLinkRow.slug).where(
        AffiliateLinkRow.organization_id == organization_id, col(AffiliateLinkRow.id).in_(set(link_ids))
    )
    return dict(session.exec(query).all())


def count_slugs(session: Session, link_id: str) -> int:
    """How many slugs a link has or had."""
    return session.exec(select(func.count()).where(LinkSlugRow.link_id == link_id)).one()


def of_affiliates(
    session: Session, organization_id: str, affiliate_ids: Iterable[str]
) -> dict[str, list[AffiliateLinkRow]]:
    """The links of these affiliates, default first."""
    if not (wanted := set(affiliate_ids)):
        return {}
    query = select(AffiliateLinkRow).where(
        AffiliateLinkRow.organization_id == organization_id, col(AffiliateLinkRow.affiliate_id).in_(wanted)
    )
    found: dict[str, list[AffiliateLinkRow]] = {}
    # Sorted here: to get them in order a database may walk all links of the organization instead.
    for row in sorted(session.exec(query), key=lambda row: (not row.is_default, row.id)):
        found.setdefault(row.affiliate_id, []).append(row)
    return found


def page(session: Session, organization_id: str, wanted: LinkFilter, window: Window) -> Page[AffiliateLinkRow]:
    query = select(AffiliateLinkRow).where(AffiliateLinkRow.organization_id == organization_id)
    if wanted.affiliate_id is not None:
        query = query.where(AffiliateLinkRow.affiliate_id == wanted.affiliate_id)
    if wanted.text is not None:
        query = query.where(col(AffiliateLinkRow.slug).contains(wanted.text.lower(), autoescape=True))
    return newest_first(session, query, "links", col(AffiliateLinkRow.created_at), col(AffiliateLinkRow.id), window)
