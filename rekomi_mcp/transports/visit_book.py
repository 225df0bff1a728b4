"""Write visits down, many to a commit: those that arrive while others are being written are written with the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from rekomi_mcp.tools.clicks import Recorded, Visit

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 200
MOST_WAITING = 5_000
"""Beyond these nothing more is taken: the store does not keep up, and visitors go on without being counted."""
PATIENCE_SECONDS = 2.0
"""How long a visitor is kept waiting for the store. What is written later counts all the same."""

Record = Callable[[str, Sequence[Visit]], Awaitable[Sequence[Recorded]]]
"""Writes visits of one organization's links in one transaction; answers a click for each, in the same order."""


@dataclass(slots=True)
class _Letter:
    organization_id: str
    visit: Visit
    done: anyio.Event = field(default_factory=anyio.Event)
    recorded: Recorded | None = None


class VisitBook:
    """A visitor never waits for long, and never learns of trouble here: the way on is worth more than the count."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._waiting: list[_Letter] = []
        self._writer: asyncio.Task[None] | None = None

    async def note(self, organization_id: str, visit: Visit) -> Recorded | None:
        """Record a visit; answers its click once it is committed, or None when that failed or takes too long."""
        if len(self._waiting) >= MOST_WAITING:
            return None
        letter = _Letter(organization_id, visit)
        self._waiting.append(letter)
        if self._writer is None or self._writer.done():
            # A task of its own: whoever happens to be first must be free to leave.
            self._writer = asyncio.create_task(self._write_all())
        with anyio.move_on_after(PATIENCE_SECONDS):
            await letter.done.wait()
        return letter.recorded

    async def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            await self._writer

    async def _write_all(self) -> None:
        while self._waiting:
            letters, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            for organization_id in dict.fromkeys(letter.organization_id for letter in letters):
                await self._write(organization_id, [x for x in letters if x.organization_id == organization_id])

    async def _write(self, organization_id: str, letters: Sequence[_Letter]) -> None:
        try:
            recorded = await self._record(organization_id, [letter.visit for letter in letters])
        except Exception:
            logger.exception("%d visits could not be recorded", len(letters))
        else:
            for letter, click in zip(letters, recorded, strict=True):
                letter.recorded = click
        finally:
            for letter in letters:
                letter.done.set()
