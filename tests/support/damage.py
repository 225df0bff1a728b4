"""Books that are not what Stripe says: a sale is missing, one has another amount, one was credited twice."""

from __future__ import annotations

from functools import partial
from typing import Any

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import Sale, SaleSource
from tests.support.stage import Stage
from tests.support.world import sale, sell

JsonObject = dict[str, Any]


def books_differ(stage: Stage) -> None:
    """The events of it are never read: only a repair can bring the books to what they should be."""
    happen = stage.stripe.happen
    once = happen("checkout", amount=12_000, code="SARAH20", email="max@example.com")
    happen("checkout", amount=5_000, code="SARAH20", email="kim@example.com", interval="month")
    happen("refund", payment_intent=once["payment_intent"], amount=2_400)
    misread = happen("checkout", amount=10_000, code="SARAH20", email="ned@example.com")
    happen("refund", payment_intent=misread["payment_intent"], amount=4_000)
    twice = _with_invoice(stage)
    told = [
        _sale(misread, misread["session"], SaleSource.CheckoutSession, net=50_000, gross=50_000),
        _sale(twice, twice["session"], SaleSource.CheckoutSession, net=8_000, gross=8_000),
        _sale(twice, twice["invoice"], SaleSource.Invoice, net=8_000, gross=8_000),
    ]
    stage.act(partial(_tell, stage.cast.organization, told))


def _with_invoice(stage: Stage) -> JsonObject:
    wanted = {
        "mode": "payment",
        "allow_promotion_codes": "true",
        "invoice_creation[enabled]": "true",
        "line_items[0][quantity]": 1,
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": 10_000,
        "line_items[0][price_data][product_data][name]": "Course",
        "success_url": "https://example.com/success",
    }
    session = stage.stripe.create("checkout/sessions", **wanted)
    return stage.stripe.happen(f"checkout/sessions/{session['id']}/complete", code="SARAH20", email="lou@example.com")


def _sale(sold: JsonObject, source_id: str, source: SaleSource, *, net: int, gross: int) -> Sale:
    """As books may have it that were kept under an older rule: without a word of what paid it."""
    codes = (sold["promotion_code"],)
    return sale(source_id, source=source, codes=codes, customer_id=sold["customer"], net=net, gross=gross)


async def _tell(organization: str, told: list[Sale], app: App) -> None:
    await sell(app, organization, *told)
