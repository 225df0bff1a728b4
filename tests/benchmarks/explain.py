"""explain_attribution in a large store, against the rows it needs, asked for by hand, through the same door."""

from __future__ import annotations

from typing import Any

from rekomi_mcp.app import App
from tests.benchmarks.figures import Figure
from tests.benchmarks.raw import Raw
from tests.benchmarks.stores import Filled
from tests.benchmarks.tool_calls import beside_sql

SALE = """
    s.source, s.source_id, s.event_id, s.currency, s.net_minor, s.customer_id, s.subscription_id, s.outcome, s.decision,
    s.occurred_at, c.id, c.commission_minor, c.commission_currency, c.remaining_minor, c.on_hold_minor, a.full_name, k.code
"""
ITS_OWN = """
    LEFT JOIN affiliate a ON a.id = c.affiliate_id LEFT JOIN affiliate_code k ON k.id = c.code_id
"""
BY_CONVERSION = f"""
    SELECT {SALE} FROM conversion c JOIN sale s ON s.id = c.sale_id {ITS_OWN}
    WHERE c.organization_id = :organization AND c.id = :wanted
"""
BY_SOURCE = f"""
    SELECT {SALE} FROM sale s LEFT JOIN conversion c ON c.sale_id = s.id {ITS_OWN}
    WHERE s.organization_id = :organization AND s.source_id = :wanted
        AND s.source IN ('invoice', 'checkout_session', 'server')
"""
BY_EMAIL = f"""
    SELECT {SALE} FROM sale s LEFT JOIN conversion c ON c.sale_id = s.id {ITS_OWN}
    WHERE s.organization_id = :organization AND s.email_key = :wanted ORDER BY s.occurred_at DESC LIMIT 21
"""
BY_CODE = f"""
    SELECT {SALE} FROM conversion c JOIN sale s ON s.id = c.sale_id {ITS_OWN}
    WHERE c.organization_id = :organization AND c.code = :wanted ORDER BY c.occurred_at DESC LIMIT 21
"""
SIGNUPS = """
    SELECT l.created_at, a.full_name FROM lead l JOIN affiliate a ON a.id = l.affiliate_id
    WHERE l.organization_id = :organization AND l.email_key = :wanted
"""
CODES = """
    SELECT k.code, k.status, k.created_at, k.deactivated_at, a.full_name, p.overrides_click_attribution
    FROM affiliate_code k JOIN affiliate a ON a.id = k.affiliate_id JOIN campaign_coupon p ON p.id = k.campaign_coupon_id
    WHERE k.organization_id = :organization AND k.code = :wanted
"""
LOST = """
    SELECT l.sale_id FROM sale_code l JOIN affiliate_code k ON k.stripe_promotion_code_id = l.promotion_code_id
    WHERE l.organization_id = :organization AND k.organization_id = :organization AND k.code = :wanted LIMIT 21
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
        # What an answer says of the customer or the code itself is not in the rows of the sales.
        "customerEmail": (f"customer-{middle // 10}@example.com", BY_EMAIL, SIGNUPS),
        "code": (f"CODE{middle % filled.brand.affiliates}", BY_CODE, CODES, LOST),
    }
    app = App(filled.settings)
    async with app.running():
        figures = [figure for name, each in asked.items() for figure in await _one(app, filled, raw, name, *each)]
    raw.close()
    return figures


async def _one(app: App, filled: Filled, raw: Raw, argument: str, wanted: str, *queries: str) -> list[Figure]:
    values: dict[str, Any] = {"organization": filled.brand.organization, "wanted": wanted}
    assert raw.rows(queries[0], values), f"nothing is found by {argument}"

    def by_hand() -> None:
        for query in queries:
            raw.rows(query, values)

    what = f"explain_attribution by {argument}, {filled.brand.sales:,} sales"
    return await beside_sql(app, filled, what, "explain_attribution", {argument: wanted}, by_hand)
