"""Affiliates' links, and every slug that ever led to one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.rows import add_missing
from rekomi_mcp.storage.tables import AffiliateLinkRow, LinkSlugRow


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


def anywhere(session: Session, slug: str) -> AffiliateLinkRow | None:
    """The link a slug leads to, of whichever organization: for doors that a slug is all the credential for."""
    query = (
        select(AffiliateLinkRow)
        .join(LinkSlugRow, col(LinkSlugRow.link_id) == AffiliateLinkRow.id)
        .where(LinkSlugRow.slug == slug)
    )
    return session.exec(query).first()


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
