"""The loops that run beside the transports for as long as the server does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.pipeline import Pipeline
from rekomi_mcp.workers.inbox import InboxWorker
from rekomi_mcp.workers.poller import EventPoller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rekomi_mcp.storage.engine import Store

logger = logging.getLogger(__name__)

KEEP_ANSWERS = timedelta(hours=48)
"""How long a keyed write can be repeated and receive its first answer."""
KEEP_EVENTS = timedelta(days=45)
"""Longer than Stripe lists events, so that polling never brings one twice."""
PURGE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between the turns of each loop."""

    inbox: float = 1.0
    poll: float = 60.0
    sweep: float = 15.0


class Background:
    """Starts and stops the loops; `wake()` makes the inbox look at once."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        pipeline: Pipeline,
        inbox: InboxWorker,
        poller: EventPoller,
        clock: Callable[[], datetime],
        pace: Pace,
    ) -> None:
        self._open_store = open_store
        self._pipeline = pipeline
        self._inbox = inbox
        self._poller = poller
        self._clock = clock
        self._pace = pace
        self._news = anyio.Event()

    def wake(self) -> None:
        """There is something in the inbox. Call it on the event loop."""
        self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._inbox_loop)
            group.start_soon(self._repeat, self._poll, self._pace.poll)
            group.start_soon(self._repeat, self._pipeline.sweep_outbound, self._pace.sweep)
            group.start_soon(self._repeat, self._purge, PURGE_SECONDS)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    async def _inbox_loop(self) -> None:
        while True:
            await self._guarded(self._inbox.work_off)
            with anyio.move_on_after(self._pace.inbox):
                await self._news.wait()
            self._news = anyio.Event()

    async def _poll(self) -> int:
        try:
            return await self._poller.poll()
        except Refusal:
            return 0  # logged by account; the next turn tries again
        finally:
            self.wake()

    async def _purge(self) -> int:
        def purge() -> int:
            with self._open_store().writing() as session:
                now = self._clock()
                answers = storage.idempotency.purge(session, now - KEEP_ANSWERS)
                calls = storage.outbound.purge(session, now - KEEP_ANSWERS)
                return answers + calls + storage.inbox.purge(session, now - KEEP_EVENTS)

        return await to_thread.run_sync(purge)

    async def _repeat(self, turn: Callable[[], Awaitable[int]], seconds: float) -> None:
        while True:
            await self._guarded(turn)
            await anyio.sleep(seconds)

    async def _guarded(self, turn: Callable[[], Awaitable[int]]) -> None:
        """A turn that fails is logged; the loop goes on."""
        try:
            await turn()
        except Exception:
            logger.exception("a background turn failed")
