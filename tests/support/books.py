"""What events left in the books."""

from __future__ import annotations

from sqlmodel import select

from rekomi_mcp.storage.tables import LedgerEntryRow, SaleRow
from tests.support.shop import JsonObject, Shop


def sales_and_entries(shop: Shop) -> tuple[int, int]:
    with shop.app.open_store().reading() as session:
        sales = session.exec(select(SaleRow).where(SaleRow.organization_id == shop.id)).all()
        entries = session.exec(select(LedgerEntryRow).where(LedgerEntryRow.organization_id == shop.id)).all()
        return len(sales), len(entries)


async def remaining(shop: Shop, sold: JsonObject) -> int:
    conversion = await shop.conversion(sold)
    assert conversion is not None, "nobody earned"
    return conversion["remainingCommissionCents"]
