"""The visit book: one transaction for all that waits, and nobody kept waiting for trouble."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest

from rekomi_mcp.tools.clicks import Recorded, Visit
from rekomi_mcp.transports import visit_book
from rekomi_mcp.transports.visit_book import VisitBook

pytestmark = pytest.mark.anyio


def visit(name: str) -> Visit:
    return Visit(
        id=name,
        program_id="p",
        affiliate_id="a",
        link_id="l",
        visitor_id="v",
        device="Mobile",
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


class Store:
    """Records when told to, and remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.may_write = anyio.Event()

    async def record(self, organization_id: str, visits: Sequence[Visit]) -> Sequence[Recorded]:
        await self.may_write.wait()
        self.batches.append((organization_id, [visit.id for visit in visits]))
        if any(visit.id == "bad" for visit in visits):
            raise ValueError("bad")
        return [Recorded(click_id=visit.id, visitor_id=visit.visitor_id) for visit in visits]


async def noted(book: VisitBook, store: Store, *names: tuple[str, str]) -> list[str | None]:
    """Note the first, and the others while it is being written; the click that each is told."""
    told: list[str | None] = ["nothing"] * len(names)

    async def note(place: int) -> None:
        recorded = await book.note(names[place][0], visit(names[place][1]))
        told[place] = recorded.click_id if recorded else None

    async with anyio.create_task_group() as group:
        group.start_soon(note, 0)
        await anyio.wait_all_tasks_blocked()
        for place in range(1, len(names)):
            group.start_soon(note, place)
        await anyio.wait_all_tasks_blocked()
        store.may_write.set()
    return told


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    store = Store()
    told = await noted(VisitBook(store.record), store, ("acme", "a"), ("acme", "b"), ("other", "c"), ("acme", "d"))
    assert told == ["a", "b", "c", "d"]
    assert store.batches == [("acme", ["a"]), ("acme", ["b", "d"]), ("other", ["c"])]


async def test_a_visit_that_cannot_be_recorded_is_answered_all_the_same() -> None:
    store = Store()
    told = await noted(VisitBook(store.record), store, ("acme", "a"), ("acme", "bad"), ("other", "c"))
    assert told == ["a", None, "c"]


async def test_no_visitor_waits_for_a_slow_store_and_the_visit_counts_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visit_book, "PATIENCE_SECONDS", 0.01)
    store = Store()
    book = VisitBook(store.record)
    assert await book.note("acme", visit("a")) is None
    store.may_write.set()
    await book.close()
    assert store.batches == [("acme", ["a"])]


async def test_a_store_that_stands_still_is_not_waited_for_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit_book, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(visit_book, "MOST_WAITING", 3)
    monkeypatch.setattr(visit_book, "MOST_AT_ONCE", 2)
    store = Store()
    book = VisitBook(store.record)
    for number in range(9):
        assert await book.note("acme", visit(str(number))) is None
        await anyio.wait_all_tasks_blocked()
    store.may_write.set()
    await book.close()
    kept = [name for _, names in store.batches for name in names]
    assert kept == ["0", "1", "2", "3"]
    assert max(len(names) for _, names in store.batches) <= 2
    await VisitBook(store.record).close()
