"""The letterbox: one commit for all that waits, and each sender is told of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import anyio
import pytest
from anyio import to_thread

from rekomi_mcp.transports.letterbox import MOST_AT_ONCE, Letterbox, Row

pytestmark = pytest.mark.anyio


def event(name: str) -> Row:
    return {"account": "self", "event_id": name}


class Store:
    """Keeps rows when told to, and remembers which came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.known: set[tuple[str, str]] = set()
        self.may_write = threading.Event()

    def keep(self, rows: Sequence[Row]) -> set[tuple[str, str]]:
        assert self.may_write.wait(10)
        if any(row["event_id"] == "bad" for row in rows):
            raise ValueError("bad")
        self.batches.append([row["event_id"] for row in rows])
        new = {(row["account"], row["event_id"]) for row in rows} - self.known
        self.known |= new
        return new


async def posted(letterbox: Letterbox, store: Store, names: Sequence[str]) -> list[bool | str]:
    """Post the first, and the others while it is being written; what each is told."""
    told: list[bool | str] = ["nothing"] * len(names)

    async def post(place: int) -> None:
        try:
            told[place] = await letterbox.post(event(names[place]))
        except ValueError as error:
            told[place] = str(error)

    async with anyio.create_task_group() as group:
        group.start_soon(post, 0)
        await anyio.wait_all_tasks_blocked()
        for place in range(1, len(names)):
            group.start_soon(post, place)
        await anyio.wait_all_tasks_blocked()
        await to_thread.run_sync(store.may_write.set)
    return told


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    store = Store()
    assert await posted(Letterbox(store.keep), store, ["a", "b", "c", "d"]) == [True] * 4
    assert store.batches == [["a"], ["b", "c", "d"]]


async def test_an_event_that_is_known_or_comes_twice_at_once_is_new_once() -> None:
    store = Store()
    assert await posted(Letterbox(store.keep), store, ["a", "a", "b", "b"]) == [True, False, True, False]


async def test_an_event_that_cannot_be_kept_does_not_keep_the_others_out() -> None:
    store = Store()
    assert await posted(Letterbox(store.keep), store, ["a", "b", "bad", "c"]) == [True, True, "bad", True]
    assert store.batches == [["a"], ["b"], ["c"]]


async def test_no_commit_grows_without_end() -> None:
    store = Store()
    names = [f"evt_{number}" for number in range(2 * MOST_AT_ONCE)]
    assert await posted(Letterbox(store.keep), store, names) == [True] * len(names)
    assert max(map(len, store.batches)) == MOST_AT_ONCE


async def test_a_sender_that_hangs_up_does_not_stop_the_others() -> None:
    store = Store()
    letterbox = Letterbox(store.keep)
    with anyio.CancelScope() as hung_up:
        async with anyio.create_task_group() as group:
            group.start_soon(letterbox.post, event("a"))
            await anyio.wait_all_tasks_blocked()
            await to_thread.run_sync(store.may_write.set)
            hung_up.cancel()
    assert await letterbox.post(event("b"))
    assert await letterbox.post(event("a")) is False
