"""The ingest engine: verified, already fetched sales become decisions, commission, ledger entries and audit lines.

The floor writes the very rows that came of it once more, after they were deleted, with one Core insert a table and batch.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, delete, event, insert

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.sales import Sale, SaleSource
from rekomi_mcp.pipeline import Call
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import InboxEventRow
from rekomi_mcp.tools.ingest import INGEST_STRIPE_EVENTS
from rekomi_mcp.tools.ingest.operation import IngestInput
from rekomi_mcp.workers.inbox import BATCH
from tests.benchmarks.figures import Figure, cost, rate, reading
from tests.benchmarks.stores import Filled

BATCHES = 20
WANTED_A_SECOND = 1_500
WRITTEN = {"sale", "sale_payment", "binding", "conversion", "ledger_entry", "audit_line"}

Batch = list[tuple[Table, list[dict[str, Any]]]]
"""Tables and their new rows, in the order in which they were written."""


async def measure(few: Filled, many: Filled) -> list[Figure]:
    small, small_floor = await _ingest(few)
    large, large_floor = await _ingest(many)
    sales = f"{many.brand.sales:,}"
    return [
        reading(
            f"ingest, batches of {BATCH}",
            few.name,
            small,
            "sales/s",
            f">= {WANTED_A_SECOND:,}/s",
            small >= WANTED_A_SECOND,
        ),
        rate("ingest / Core insert of the same rows", few.name, small, small_floor, "sales/s", 1 / 3),
        rate(f"the same at {sales} sales", many.name, large, large_floor, "sales/s", 1 / 3),
        cost(f"ingest at 1,000 / at {sales} sales", many.name, small, large, "sales/s", 1.2),
        cost(f"Core insert at 1,000 / at {sales} sales", many.name, small_floor, large_floor, "sales/s", 1.2),
    ]


async def _ingest(filled: Filled) -> tuple[float, float]:
    """Sales a second of ours, and of writing the same rows again."""
    app = App(filled.settings)
    async with app.running():
        store = app.open_store()
        batches = [_sales(filled, number, app.clock()) for number in range(BATCHES + 1)]
        for batch in batches:
            _receive(store, batch, app.clock())
        await _work_off(app, filled, batches[0])  # Statements are compiled once.
        with recorded(store) as written:
            begun = time.perf_counter()
            for batch in batches[1:]:
                written.append([])
                await _work_off(app, filled, batch)
            ours = time.perf_counter() - begun
        for batch in written:
            _delete(store, batch)
        begun = time.perf_counter()
        for batch in written:
            _insert(store, batch)
        floor = time.perf_counter() - begun
    return BATCHES * BATCH / ours, BATCHES * BATCH / floor


@contextmanager
def recorded(store: Store) -> Generator[list[Batch]]:
    """The rows that are inserted while the block lasts, in the last of these batches."""
    batches: list[Batch] = []

    def keep(_: Any, statement: Any, rows: Any, *__: Any) -> None:
        if getattr(statement, "is_insert", False) and statement.table.name in WRITTEN:
            batches[-1].append((statement.table, list(rows)))

    event.listen(store.engine, "before_execute", keep)
    try:
        yield batches
    finally:
        event.remove(store.engine, "before_execute", keep)


def _delete(store: Store, batch: Batch) -> None:
    with store.writing() as session:
        for table, rows in reversed(batch):
            key = [column.name for column in table.primary_key]
            wanted = [table.c[name] == bindparam(f"key_{name}") for name in key]
            keys = [{f"key_{name}": row[name] for name in key} for row in rows]
            session.connection().execute(delete(table).where(*wanted), keys)


def _insert(store: Store, batch: Batch) -> None:
    """One transaction and one statement a table."""
    with store.writing() as session:
        for table, rows in batch:
            session.connection().execute(insert(table), rows)


async def _work_off(app: App, filled: Filled, batch: Sequence[Sale]) -> None:
    request = IngestInput.model_construct(
        account="self", event_ids=tuple(sale.event_id for sale in batch), facts=tuple(batch)
    )
    call = Call(operation=INGEST_STRIPE_EVENTS, credential=System(filled.brand.organization), arguments=request)
    answer = await app.pipeline.execute(call)
    assert answer.body == {"events": BATCH}


def _sales(filled: Filled, batch: int, now: datetime) -> list[Sale]:
    """Half of them first sales with a code, half of them renewals of those."""
    sales: list[Sale] = []
    for place in range(BATCH):
        number = batch * BATCH + place
        subscription = f"sub_bench_{number // 2}"
        sales.append(
            Sale(
                source=SaleSource.Invoice,
                source_id=f"in_bench_{number}",
                event_id=f"evt_bench_{number}",
                occurred_at=now + timedelta(seconds=number),
                currency="USD",
                net_minor=4000,
                gross_minor=4400,
                customer_id=f"cus_bench_{number // 2}",
                subscription_id=subscription,
                promotion_code_ids=() if number % 2 else (filled.brand.promotion_code(number),),
                payment_ids=(f"pi_bench_{number}",),
            )
        )
    return sales


def _receive(store: Store, batch: Sequence[Sale], now: datetime) -> None:
    row = {
        "account": "self",
        "type": "invoice.paid",
        "livemode": False,
        "source": "bench",
        "payload": "{}",
        "state": "pending",
        "attempts": 0,
        "stripe_created": now,
        "received_at": now,
        "next_attempt_at": now,
    }
    with store.writing() as session:
        session.connection().execute(insert(InboxEventRow), [{**row, "event_id": sale.event_id} for sale in batch])
