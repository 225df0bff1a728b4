"""Keyset pages: every row once, in order, for any page size and while rows arrive."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlmodel import Session

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.paging import encode_cursor
from rekomi_mcp.storage.audit import Actor, Line, LineFilter
from rekomi_mcp.storage.conversions import ConversionFilter
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.leads import LeadFilter
from rekomi_mcp.storage.pages import Page, Window
from rekomi_mcp.storage.tables import LeadRow
from tests.storage.support import add_conversion, at
from tests.support.world import World

Read = Callable[[Session, Window], Page[Any]]
Add = Callable[[Session, Sequence[int]], None]
"""Adds one row for each of these minutes."""

TAKES = [1, 2, 3, 7, 50]
MOST_PAGES = 200
MINUTES = [0, 0, 0, 1, 2, 2, 2, 2, 3, 5, 8, 8, 9]
"""With equal times, which only the id tells apart."""


def leads(world: World) -> tuple[Add, Read]:
    acme = world.acme

    def add(session: Session, minutes: Sequence[int]) -> None:
        session.add_all(
            LeadRow(
                organization_id=acme.id,
                program_id=acme.program,
                affiliate_id=acme.affiliate,
                email=(address := f"{random.getrandbits(64)}@example.com"),
                email_key=address,
                source="Manual",
                created_at=at(minute),
            )
            for minute in minutes
        )
        session.flush()

    return add, lambda session, window: storage.leads.page(session, acme.id, LeadFilter(), window)


def conversions(world: World) -> tuple[Add, Read]:
    """The list that is a query of columns over three tables."""
    acme = world.acme

    def add(session: Session, minutes: Sequence[int]) -> None:
        for minute in minutes:
            add_conversion(session, acme, f"in_{random.getrandbits(64)}", minute)

    def read(session: Session, window: Window) -> Page[Any]:
        return storage.conversions.page(session, acme.id, ConversionFilter(), at(0), window)

    return add, read


def audit_lines(world: World) -> tuple[Add, Read]:
    """The list that is walked by number."""
    acme = world.acme

    def add(session: Session, minutes: Sequence[int]) -> None:
        lines = [Line("test.done", "ok", "test", str(minute), None, None) for minute in minutes]
        storage.audit.append(session, acme.id, Actor("system", None), lines, at(0))

    return add, lambda session, window: storage.audit.page(session, acme.id, LineFilter(), window)


LISTS = {"leads": leads, "conversions": conversions, "audit_log": audit_lines}


@pytest.fixture(params=LISTS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def walk(store: Store, read: Read, take: int) -> Iterator[Page[Any]]:
    """Page by page, each read in a transaction of its own, as callers do."""
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        with store.reading() as session:
            page = read(session, Window(take, cursor))
            session.expunge_all()
        yield page
        if (cursor := page.next_cursor) is None:
            return
    pytest.fail("the list does not end")


def ids(pages: Sequence[Page[Any]]) -> list[str]:
    return [row.id for page in pages for row in page.rows]


@pytest.mark.parametrize("take", TAKES)
def test_every_row_is_on_exactly_one_page_for_any_page_size(store: Store, world: World, kind: str, take: int) -> None:
    add, read = LISTS[kind](world)
    with store.writing() as session:
        add(session, random.Random(take).sample(MINUTES, len(MINUTES)))
    [whole] = walk(store, read, 200)
    pages = list(walk(store, read, take))
    assert len(whole.rows) > len(MINUTES)
    assert ids(pages) == ids([whole])
    assert len(set(ids(pages))) == len(whole.rows)
    assert all(len(page.rows) == take for page in pages[:-1])
    assert 0 < len(pages[-1].rows) <= take


def test_rows_come_newest_first_and_equal_times_by_falling_id(store: Store, world: World) -> None:
    for name, time in (("leads", "created_at"), ("conversions", "occurred_at")):
        add, read = LISTS[name](world)
        with store.writing() as session:
            add(session, MINUTES)
        keys = [(getattr(row, time), row.id) for page in walk(store, read, 3) for row in page.rows]
        assert keys == sorted(keys, reverse=True)


def test_a_page_that_ends_with_the_list_has_no_cursor(store: Store, world: World, kind: str) -> None:
    add, read = LISTS[kind](world)
    with store.writing() as session:
        add(session, MINUTES)
    with store.reading() as session:
        number = len(read(session, Window(200)).rows)
        assert read(session, Window(number)).next_cursor is None
        assert read(session, Window(number - 1)).next_cursor is not None


def test_an_empty_list_is_one_page_without_a_cursor(store: Store, world: World) -> None:
    with store.reading() as session:
        page = storage.leads.page(session, world.acme.id, LeadFilter(email="nobody@example.com"), Window(5))
    assert (list(page.rows), page.next_cursor) == ([], None)


@pytest.mark.parametrize("take", [1, 3, 5])
def test_rows_that_arrive_meanwhile_neither_hide_nor_repeat_a_row(
    store: Store, world: World, kind: str, take: int
) -> None:
    add, read = LISTS[kind](world)
    with store.writing() as session:
        add(session, MINUTES)
    [before] = walk(store, read, 200)
    seen: list[str] = []
    for page in walk(store, read, take):
        seen += ids([page])
        with store.writing() as session:
            add(session, [10**7])  # newer than everything
            if kind != "audit_log":
                add(session, [-(10**4)] if len(seen) % 2 else [4])  # reported late
    assert len(set(seen)) == len(seen)
    assert [row_id for row_id in seen if row_id in set(ids([before]))] == ids([before])


def test_a_cursor_still_holds_when_its_row_is_gone(store: Store, world: World) -> None:
    add, read = leads(world)
    with store.writing() as session:
        add(session, MINUTES)
    [whole] = walk(store, read, 200)
    with store.writing() as session:
        first = read(session, Window(4))
        session.delete(first.rows[-1])
        session.flush()
        rest = read(session, Window(200, first.next_cursor))
        assert ids([rest]) == ids([whole])[4:]


def test_a_cursor_of_another_list_is_refused(store: Store, world: World) -> None:
    for name, other in (("leads", "conversions"), ("conversions", "audit_log"), ("audit_log", "leads")):
        (add, read), (_, read_other) = LISTS[name](world), LISTS[other](world)
        with store.writing() as session:
            add(session, MINUTES)
        with store.reading() as session:
            cursor = read(session, Window(1)).next_cursor
            with pytest.raises(InvalidInput):
                read_other(session, Window(1, cursor))


@pytest.mark.parametrize("row_id", ["\x00", "\ud800"], ids=ascii)
def test_a_forged_cursor_is_refused_before_it_reaches_the_database(store: Store, world: World, row_id: str) -> None:
    _, read = leads(world)
    with store.reading() as session, pytest.raises(InvalidInput):
        read(session, Window(1, encode_cursor("leads", at(0), row_id)))
