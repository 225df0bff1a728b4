"""Brief reads: on SQLite they are over before a thread could begin, and where they would have to wait a thread waits."""

from __future__ import annotations

import sqlite3
from threading import get_ident
from typing import Any

import anyio
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, TokenKind
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.pipeline import Call
from rekomi_mcp.storage import prepared
from rekomi_mcp.tools import CATALOGUE
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The thread of each prepared question, in order."""
    asked: list[int] = []

    def fetch(*question: Any) -> Any:
        asked.append(get_ident())
        return driver(*question)

    driver = prepared.fetch
    monkeypatch.setattr(prepared, "fetch", fetch)
    return asked


def reader(world: World) -> BearerToken:
    return BearerToken(world.acme.mcp_token, TokenKind.MCP)


def briefs(world: World) -> list[tuple[str, dict[str, Any]]]:
    return [("whoami", {}), ("get_organization", {}), ("explain_attribution", {"code": "SARAH20"})]


async def test_every_brief_operation_is_tried_here(world: World) -> None:
    assert {name for name, _ in briefs(world)} == {operation.name for operation in CATALOGUE if operation.brief}


async def test_they_run_at_once_on_sqlite_and_in_a_thread_on_postgresql(
    app: App, world: World, threads: list[int]
) -> None:
    store = app.open_store()
    for name, arguments in briefs(world):
        await operate(app, name, arguments, reader(world))
    await app.pipeline.identify(reader(world))
    assert len(threads) == 6
    assert {thread == get_ident() for thread in threads} == {store.is_sqlite}


async def test_other_operations_run_in_a_thread_on_either(app: App, world: World, threads: list[int]) -> None:
    app.open_store()
    await operate(app, "list_conversions", {}, reader(world))
    await operate(app, "update_program", {"programId": world.acme.program, "name": "Partners"}, reader(world))
    assert len(threads) == 2
    assert get_ident() not in threads


async def test_the_first_call_of_all_opens_the_store_in_a_thread(app: App, world: World, threads: list[int]) -> None:
    await operate(app, "whoami", {}, reader(world))
    assert len(threads) == 1
    assert get_ident() not in threads


async def test_one_that_would_wait_waits_in_a_thread_and_counts_once(
    app: App, world: World, threads: list[int]
) -> None:
    store = app.open_store()
    if not store.is_sqlite:
        pytest.skip("PostgreSQL is always asked in a thread")
    operation = CATALOGUE.get("explain_attribution")
    assert operation is not None
    call = Call(operation=operation, credential=reader(world), arguments={"code": "SARAH20"})
    before = await app.pipeline.execute(call)
    threads.clear()
    with store.glancing_at_once():
        answer = await app.pipeline.execute(call)
    assert answer.body == before.body
    assert len(threads) == 3
    assert get_ident() not in threads
    assert answer.quota is not None and before.quota is not None
    assert answer.quota.remaining == before.quota.remaining - 1


async def test_one_that_must_wait_after_it_was_admitted_is_not_counted_again(
    app: App, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not app.open_store().is_sqlite:
        pytest.skip("PostgreSQL is always asked in a thread")
    operation = CATALOGUE.get("explain_attribution")
    assert operation is not None
    call = Call(operation=operation, credential=reader(world), arguments={"conversionId": world.acme.conversion})
    before = await app.pipeline.execute(call)
    driver, loop = prepared.fetch, get_ident()

    def fetch(lent: Any, text: str, values: Any) -> Any:
        if "FROM sale " in text and get_ident() == loop:
            raise sqlite3.OperationalError("database is locked")
        return driver(lent, text, values)

    monkeypatch.setattr(prepared, "fetch", fetch)
    answer = await app.pipeline.execute(call)
    assert answer.body == before.body
    assert answer.quota is not None and before.quota is not None
    assert answer.quota.remaining == before.quota.remaining - 1


@pytest.mark.parametrize("code", ["X" * 2000, [["X"] * 1000] * 1000, {"X": "X"}])
async def test_arguments_that_take_long_to_read_are_read_in_a_thread(
    app: App, world: World, threads: list[int], code: Any
) -> None:
    app.open_store()
    with pytest.raises(Refusal):
        await operate(app, "explain_attribution", {"code": code}, reader(world))
    with pytest.raises(Refusal):
        await operate(app, "whoami", dict.fromkeys(map(str, range(1000)), 1), reader(world))
    assert len(threads) == 2
    assert get_ident() not in threads


async def test_a_refusal_is_told_once_and_not_tried_again_in_a_thread(
    app: App, world: World, threads: list[int]
) -> None:
    app.open_store()
    with pytest.raises(Refusal, match="No code here has this text"):
        await operate(app, "explain_attribution", {"code": "NOBODYS"}, reader(world))
    assert len(threads) == 2


async def test_they_are_answered_while_ten_long_reads_hold_every_reading_connection(app: App, world: World) -> None:
    store = app.open_store()
    if not store.is_sqlite:
        pytest.skip("on PostgreSQL they wait for a connection")
    readers = [store.reading() for _ in range(10)]
    for each in readers:
        each.__enter__().connection()
    with anyio.fail_after(5):
        assert await operate(app, "whoami", {}, reader(world))
    for each in readers:
        each.__exit__(None, None, None)
