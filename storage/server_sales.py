"""What sellers' servers told of sales and refunds, as far as their next telling needs it."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from rekomi_mcp.domain.sales import SaleSource
from rekomi_mcp.storage.tables import LedgerEntryRow, ProgramRow, ReversalRow, SaleRow

SOURCE = SaleSource.Server.value


def program_by_slug(session: Session, organization_id: str, slug: str) -> ProgramRow | None:
    query = select(ProgramRow).where(ProgramRow.organization_id == organization_id, ProgramRow.slug == slug)
    return session.exec(query).first()


def have_come(session: Session, organization_id: str) -> bool:
    """Whether a server has ever told of a sale."""
    query = select(SaleRow.id).where(SaleRow.organization_id == organization_id, SaleRow.source == SOURCE).limit(1)
    return session.exec(query).first() is not None


def refund(session: Session, organization_id: str, reversal_id: str) -> ReversalRow | None:
    return session.get(ReversalRow, (organization_id, reversal_id))


def refunds_of(session: Session, organization_id: str, external_event_id: str) -> Sequence[ReversalRow]:
    """Money of the sale that went back, told before the sale or after."""
    query = select(ReversalRow).where(
        ReversalRow.organization_id == organization_id,
        ReversalRow.sale_source == SOURCE,
        ReversalRow.sale_source_id == external_event_id,
    )
    return session.exec(query).all()


def commission_taken(session: Session, conversion_id: str, reversal_id: str) -> int:
    """What a refund took of a conversion's commission, in its minor unit."""
    query = select(LedgerEntryRow.amount_minor).where(
        LedgerEntryRow.conversion_id == conversion_id, col(LedgerEntryRow.cause_id) == reversal_id
    )
    return -sum(session.exec(query))
