"""Programs: the terms affiliates work under."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from rekomi_mcp.storage.pages import Page, Window, newest_first
from rekomi_mcp.storage.tables import ProgramRow


def get(session: Session, organization_id: str, program_id: str) -> ProgramRow | None:
    row = session.get(ProgramRow, program_id)
    return row if row is not None and row.organization_id == organization_id else None


def live(session: Session, organization_id: str, limit: int) -> Sequence[ProgramRow]:
    """Programs that are neither archived nor switched off, newest first."""
    query = (
        select(ProgramRow)
        .where(
            ProgramRow.organization_id == organization_id,
            col(ProgramRow.archived_at).is_(None),
            col(ProgramRow.is_active).is_(True),
        )
        .order_by(col(ProgramRow.created_at).desc(), col(ProgramRow.id).desc())
        .limit(limit)
    )
    return session.exec(query).all()


def by_ids(session: Session, organization_id: str, ids: Sequence[str]) -> dict[str, ProgramRow]:
    query = select(ProgramRow).where(ProgramRow.organization_id == organization_id, col(ProgramRow.id).in_(ids))
    return {row.id: row for row in session.exec(query)}


def page(session: Session, organization_id: str, include_archived: bool, window: Window) -> Page[ProgramRow]:
    query = select(ProgramRow).where(ProgramRow.organization_id == organization_id)
    if not include_archived:
        query = query.where(col(ProgramRow.archived_at).is_(None))
    return newest_first(session, query, "programs", col(ProgramRow.created_at), col(ProgramRow.id), window)
