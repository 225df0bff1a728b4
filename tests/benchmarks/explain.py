"""explain_attribution in a large store, against the rows it needs, asked for by hand, through the same door."""

from __future__ import annotations

from functools import partial
from typing import Any

from rekomi_mcp.app import App
from tests.benchmarks.figures import Figure, cost, medians
from tests.benchmarks.raw import Raw
from tests.benchmarks.stores import Filled
from tests.benchmarks.tool_calls import clients

ROUNDS = 200
SALE = """
    s.source, s.source_id, s.event_id, s.currency, s.net_minor, s.customer_id, s.customer_email, s.subscription_id,
    s.outcome, s.decision, s.occurred_at, c.id, c.commission_minor, c.commission_currency, c.remaining_minor,
    a.full_name, k.code
"""
ITS_OWN = """
    JOIN affiliate a ON a.id = c.affiliate_id LEFT JOIN affiliate_code k ON k.id = c.code_id
"""
BY_CONVERSION = f"""
    SELECT {SALE} FROM conversion c JOIN sale s ON s.id = c.sale_id {ITS_OWN}
    WHERE c.organization_id = :organization AND c.id = :wanted
"""
BY_SOURCE = f"""
    SELECT {SALE} FROM sale s LEFT JOIN conversion c ON c.sale_id = s.id {ITS_OWN}
    WHERE s.organization_id = :organization AND s.source_id = :wanted AND s.source = 'invoice'
"""
BY_EMAIL = f"""
    SELECT {SALE} FROM sale s LEFT JOIN conversion c ON c.sale_id = s.id {ITS_OWN}
    WHERE s.organization_id = :organization AND s.email_key = :wanted ORDER BY s.occurred_at DESC LIMIT 21
"""
BY_CODE = f"""
    SELECT {SALE} FROM conversion c JOIN sale s ON s.id = c.sale_id {ITS_OWN}
    WHERE c.organization_id = :organization AND c.code = :wanted ORDER BY c.occurred_at DESC LIMIT 21
"""


async def measure(filled: Filled) -> list[Figure]:
    """By each of the four things one may ask after."""
    raw = Raw(filled.settings.store_url)
    owner = {"organization": filled.brand.organization}
    middle = filled.brand.sales // 2
    source = f"in_{middle}"
    find = "SELECT c.id FROM conversion c JOIN sale s ON s.id = c.sale_id WHERE s.organization_id = :organization"
    [[conversion]] = raw.rows(f"{find} AND s.source_id = :wanted AND s.source = 'invoice'", owner | {"wanted": source})
    asked = {
        "conversionId": (str(conversion), BY_CONVERSION),
        "sourceId": (source, BY_SOURCE),
        "customerEmail": (f"customer-{middle // 10}@example.com", BY_EMAIL),
        "code": (f"CODE{middle % filled.brand.affiliates}", BY_CODE),
    }
    app = App(filled.settings)
    async with app.running():
        figures = [await _one(app, filled, raw, name, *each) for name, each in asked.items()]
    raw.close()
    return figures


async def _one(app: App, filled: Filled, raw: Raw, argument: str, wanted: str, query: str) -> Figure:
    name, arguments = "explain_attribution", {argument: wanted}
    values: dict[str, Any] = {"organization": filled.brand.organization, "wanted": wanted}
    assert raw.rows(query, values), f"nothing is found by {argument}"
    by_hand = partial(raw.rows, query, values)
    async with clients(app, filled.brand.credential, name, arguments, by_hand) as (client, bare):
        ours, floor = await medians(
            partial(client.call_tool, name, arguments), partial(bare.call_tool, name, arguments), ROUNDS
        )
    what = f"explain_attribution by {argument}, {filled.brand.sales:,} sales / bare SDK + SQL"
    return cost(what, filled.name, ours, floor, "ms", 2)
