"""The payout preview over every sale, against the one aggregate it needs."""

from __future__ import annotations

from datetime import UTC, datetime

from anyio import to_thread

from rekomi_mcp.app import App
from rekomi_mcp.pipeline import Call
from rekomi_mcp.tools import CATALOGUE
from tests.benchmarks.figures import Figure, cost, medians
from tests.benchmarks.raw import Raw
from tests.benchmarks.stores import Filled

AGGREGATE = """
    SELECT affiliate_id, currency,
           sum(CASE WHEN available_at <= :now THEN amount_minor ELSE 0 END),
           sum(CASE WHEN available_at > :now THEN amount_minor ELSE 0 END),
           sum(CASE WHEN available_at <= :now AND kind = 'accrual' THEN 1 ELSE 0 END)
    FROM ledger_entry WHERE organization_id = :organization GROUP BY affiliate_id, currency
"""
ROUNDS = 7


async def measure(filled: Filled) -> list[Figure]:
    operation = CATALOGUE.get("run_payout_preview")
    assert operation is not None
    app, raw = App(filled.settings), Raw(filled.settings.store_url)
    now = datetime.now(UTC)
    values = {
        "organization": filled.brand.organization,
        "now": now.strftime("%Y-%m-%d %H:%M:%S.%f") if filled.is_sqlite else now,
    }

    async def ours() -> None:
        from rekomi_mcp.domain.access import System

        call = Call(operation=operation, credential=System(filled.brand.organization), arguments={})
        answer = await app.pipeline.execute(call)
        assert answer.body["eligibleCount"] + answer.body["ineligibleCount"] == filled.brand.affiliates

    async def floor() -> None:
        assert len(await to_thread.run_sync(raw.rows, AGGREGATE, values)) == filled.brand.affiliates

    async with app.running():
        mine, least = await medians(ours, floor, ROUNDS)
    raw.close()
    what = f"payout preview over {filled.brand.sales:,} sales / its SQL aggregate"
    return [cost(what, filled.name, mine, least, "ms", 1.5)]
