"""The ingest engine: verified, already fetched sales become decisions, commission, ledger entries and audit lines.

The floor writes the very rows that came of it, into an equal store, with one hand-written Core insert a table and batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.sales import Sale, SaleSource
from rekomi_mcp.pipeline import Call
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import (
    AuditLineRow,
    BindingRow,
    ConversionRow,
    InboxEventRow,
    LedgerEntryRow,
    SalePaymentRow,
    SaleRow,
)
from rekomi_mcp.tools.ingest import INGEST_STRIPE_EVENTS
from rekomi_mcp.tools.ingest.operation import IngestInput
from rekomi_mcp.workers.inbox import BATCH
from tests.benchmarks.figures import Figure, cost, rate, reading
from tests.benchmarks.stores import Filled

BATCHES = 20
WANTED_A_SECOND = 1_500
WRITTEN: Sequence[Any] = (SaleRow, SalePaymentRow, BindingRow, ConversionRow, LedgerEntryRow, AuditLineRow)


async def measure(few: Filled, twin: Filled, many: Filled) -> list[Figure]:
    """`twin` is another store like `few`, for the floor."""
    ours, rows = await _ingest(few)
    floor = _insert(twin, rows)
    on_many, _ = await _ingest(many)
    kept = ours >= WANTED_A_SECOND
    return [
        reading(f"ingest, batches of {BATCH}", few.name, ours, "sales/s", f">= {WANTED_A_SECOND:,}/s", kept),
        rate("ingest / Core insert of the same rows", few.name, ours, floor, "sales/s", 1 / 3),
        cost(f"ingest at 1,000 / at {many.brand.sales:,}", few.name, ours, on_many, "sales/s", 1.2),
    ]


async def _ingest(filled: Filled) -> tuple[float, list[list[list[dict[str, Any]]]]]:
    """Sales a second, and the rows that each batch wrote, by table."""
    app = App(filled.settings)
    async with app.running():
        store = app.open_store()
        batches = [_sales(filled, number, app.clock()) for number in range(BATCHES + 1)]
        for batch in batches:
            _receive(store, batch, app.clock())
        await _work_off(app, filled, batches[0])  # Statements are compiled once.
        before = {table: _keys(store, table) for table in WRITTEN} if filled.brand.sales < 10_000 else {}
        begun = time.perf_counter()
        for batch in batches[1:]:
            await _work_off(app, filled, batch)
        taken = time.perf_counter() - begun
        rows = _batches_of(store, before) if before else []
    return BATCHES * BATCH / taken, rows


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


def _keys(store: Store, table: Any) -> set[tuple[Any, ...]]:
    with store.reading() as session:
        return {tuple(key) for key in session.connection().execute(select(*table.__table__.primary_key))}


def _batches_of(store: Store, before: dict[Any, set[tuple[Any, ...]]]) -> list[list[list[dict[str, Any]]]]:
    """The rows written since, cut into as many batches."""
    new: list[list[dict[str, Any]]] = []
    with store.reading() as session:
        for table, known in before.items():
            names = [column.name for column in table.__table__.primary_key]
            rows = session.connection().execute(select(*table.__table__.columns)).mappings()
            new.append([dict(row) for row in rows if tuple(row[name] for name in names) not in known])
    sizes = [-(-len(rows) // BATCHES) for rows in new]
    return [[rows[n * size : (n + 1) * size] for rows, size in zip(new, sizes, strict=True)] for n in range(BATCHES)]


def _insert(twin: Filled, batches: list[list[list[dict[str, Any]]]]) -> float:
    """Sales a second of the floor. (The twin's own organization and people stand in for the originals.)"""
    store = Store(twin.settings.store_url)
    moved = [[[_moved(row, twin) for row in rows] for rows in batch] for batch in batches]
    begun = time.perf_counter()
    for batch in moved:
        with store.writing() as session:
            connection = session.connection()
            for table, rows in zip(WRITTEN, batch, strict=True):
                if rows:
                    connection.execute(insert(table), rows)
    taken = time.perf_counter() - begun
    store.close()
    return BATCHES * BATCH / taken


def _moved(row: dict[str, Any], twin: Filled) -> dict[str, Any]:
    moved = {**row, "organization_id": twin.brand.organization}
    return moved | ({"program_id": twin.brand.program} if "program_id" in row else {})
