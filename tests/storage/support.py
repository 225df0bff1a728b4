"""What the storage tests share: times, sales, threads that start together, and transactions that overlap."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

from sqlmodel import Session

from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import ConversionRow, SaleRow
from tests.support.world import Brand

T = TypeVar("T")

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLL_BACK = object()


def at(minutes: float, microseconds: int = 0) -> datetime:
    """A moment of these tests."""
    return EPOCH + timedelta(minutes=minutes, microseconds=microseconds)


def add_conversion(session: Session, brand: Brand, source_id: str, minute: float) -> str:
    """A credited sale and its conversion; answers the conversion's id."""
    sale = SaleRow(
        organization_id=brand.id,
        source="invoice",
        source_id=source_id,
        event_id=f"evt_{source_id}",
        currency="USD",
        net_minor=100,
        gross_minor=100,
        outcome="credited",
        decision={},
        occurred_at=at(minute),
        recorded_at=at(minute),
    )
    session.add(sale)
    session.flush()
    conversion = ConversionRow(
        organization_id=brand.id,
        sale_id=sale.id,
        program_id=brand.program,
        affiliate_id=brand.affiliate,
        method="coupon",
        type="OneTime",
        amount_minor=100,
        currency="USD",
        commission_minor=20,
        commission_currency="USD",
        remaining_minor=20,
        rate_type="Percentage",
        rate_value=2000,
        rate_source="program",
        terms_version=1,
        state="Open",
        occurred_at=at(minute),
        held_until=at(minute),
    )
    session.add(conversion)
    session.flush()
    return conversion.id


def together(number: int, work: Callable[[int], T]) -> list[T]:
    """Run `work(0)` to `work(number - 1)` in threads that begin at the same moment; answers their results in order."""
    barrier = Barrier(number)

    def begin(index: int) -> T:
        barrier.wait(timeout=20)
        return work(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(begin, range(number)))


def overlapping(store: Store, first: Callable[[Session], object], second: Callable[[Session], T]) -> T:
    """Begin `second` while the transaction of `first` is still open, then commit that; answers what `second` answers.

    When `first` answers ROLL_BACK, its transaction is rolled back instead.
    """

    def work() -> T:
        with store.writing() as session:
            return second(session)

    with ThreadPoolExecutor(1) as threads:
        with store.writing() as session:
            outcome = first(session)
            session.flush()
            waiting = threads.submit(work)
            # Long enough for the other to come as far as it can before this one ends.
            wait([waiting], timeout=0.25)
            if outcome is ROLL_BACK:
                session.rollback()
        return waiting.result(timeout=20)
