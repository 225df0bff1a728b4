"""The ingest engine: verified, already fetched sales become decisions, commission, ledger entries and audit lines.

The floor writes the very rows that came of it once more, after they were deleted, with one Core statement a table and batch.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Insert, Table, Update, bindparam, delete, event, insert

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.sales import Fact, Payment, Sale, SaleSource
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
WRITTEN = set(
    "sale sale_code sale_payment binding subscription_start conversion ledger_entry reversal audit_line".split()
)

Batch = list[tuple[Insert | Update, list[dict[str, Any]]]]
"""Statements and their rows, in the order in which they were written."""


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
        return await beside_floor(app, filled, [_sales(filled, n, app.clock()) for n in range(BATCHES + 1)])


async def beside_floor(app: App, filled: Filled, batches: Sequence[Sequence[Fact]]) -> tuple[float, float]:
    """Events a second of ours, and of writing the same rows again. The first batch only warms up."""
    store = app.open_store()
    for batch in batches:
        receive(store, batch, app.clock())
    await work_off(app, filled, batches[0])  # Statements are compiled once.
    with recorded(store) as written:
        begun = time.perf_counter()
        for batch in batches[1:]:
            written.append([])
            await work_off(app, filled, batch)
        ours = time.perf_counter() - begun
    for batch in reversed(written):
        _delete(store, batch)
    begun = time.perf_counter()
    for batch in written:
        _write(store, batch)
    floor = time.perf_counter() - begun
    events = sum(len(batch) for batch in batches[1:])
    return events / ours, events / floor


@contextmanager
def recorded(store: Store) -> Generator[list[Batch]]:
    """What is written while the block lasts, in the last of these batches."""
    batches: list[Batch] = []

    def keep(_: Any, statement: Any, rows: Any, row: Any, *__: Any) -> None:
        if isinstance(statement, Insert | Update) and _table(statement).name in WRITTEN:
            batches[-1].append((statement, list(rows) or [row]))

    event.listen(store.engine, "before_execute", keep)
    try:
        yield batches
    finally:
        event.remove(store.engine, "before_execute", keep)


def _table(statement: Insert | Update) -> Table:
    return cast(Table, statement.table)


def _delete(store: Store, batch: Batch) -> None:
    """What was changed stays so: changing it to the same again costs the same."""
    with store.writing() as session:
        for statement, rows in reversed(batch):
            if isinstance(statement, Insert):
                table = _table(statement)
                key = [column.name for column in table.primary_key]
                wanted = [table.c[name] == bindparam(f"key_{name}") for name in key]
                keys = [{f"key_{name}": row[name] for name in key} for row in rows]
                session.connection().execute(delete(table).where(*wanted), keys)


def _write(store: Store, batch: Batch) -> None:
    """One transaction and one statement a table."""
    with store.writing() as session:
        for statement, rows in batch:
            again = insert(_table(statement)) if isinstance(statement, Insert) else statement
            session.connection().execute(again, rows)


async def work_off(app: App, filled: Filled, batch: Sequence[Fact]) -> None:
    """One batch of events that are in the inbox, each with one fact."""
    request = IngestInput.model_construct(
        account="self", event_ids=tuple(fact.event_id for fact in batch), facts=tuple(batch)
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
                payments=(Payment(f"pi_bench_{number}"),),
            )
        )
    return sales


def receive(store: Store, batch: Sequence[Fact], now: datetime) -> None:
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
        session.connection().execute(insert(InboxEventRow), [{**row, "event_id": fact.event_id} for fact in batch])
