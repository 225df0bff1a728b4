"""What postbacks tell, and what is left of it."""

from __future__ import annotations

from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.storage.tables import ConversionRow, SaleRow
from tests.support.contents import audit_lines
from tests.support.world import World

ORDER: dict[str, str] = {
    "offer_id": "creators",
    "coupon": "sarah20",
    "transaction_id": "order-1",
    "amount": "49.90",
}


def conversions(app: App) -> list[ConversionRow]:
    """Of the sales that servers told."""
    with app.open_store().reading() as session:
        query = select(ConversionRow).join(SaleRow).where(SaleRow.source == "server")
        return list(session.exec(query).all())


def sales(app: App) -> list[SaleRow]:
    with app.open_store().reading() as session:
        return list(session.exec(select(SaleRow).where(SaleRow.source == "server")).all())


def lines_of(app: App, world: World) -> list[tuple[str, str]]:
    return [(action, outcome) for brand, action, outcome in audit_lines(app) if brand == world.acme.id]
