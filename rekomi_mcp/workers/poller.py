"""Read Stripe's event list into the inbox: the same events as the webhook, for a server without a public address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe import StripeGateway
from rekomi_mcp.gateways.stripe_inbox import HANDLED_EVENTS, inbox_row

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.storage.inbox import Span

logger = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=15)
"""Read this much again each time: Stripe may list an event late, and clocks differ."""
RETENTION = timedelta(days=30)
"""Stripe keeps events for this long."""


class EventPoller:
    def __init__(
        self,
        open_store: Callable[[], Store],
        stripe: StripeGateway,
        clock: Callable[[], datetime],
        live: bool,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._open_store = open_store
        self._stripe = stripe
        self._clock = clock
        self._live = live
        self._wall = wall
        self._read_at: dict[str, datetime] = {}
        """When each account was last read to its end, by the wall: a sandbox's clock can have been advanced since."""
        self._trouble: dict[str, str] = {}
        """What was said last of each account that cannot be read: it is tried every few seconds, and said once."""

    async def poll(self) -> int:
        """Read every account's new events once; answers how many were new to the inbox.

        An account that cannot be read does not keep the others from being read.

        Raises:
            Refusal: the last account that could not be read, after all; its cursor has not moved.
        """
        new, trouble = 0, None
        for account in await to_thread.run_sync(self._accounts):
            try:
                new += await self._poll_account(account)
            except Refusal as refusal:
                if self._trouble.get(account) != refusal.code:
                    logger.warning("the events of account %s cannot be read: %s", account, refusal.code)
                self._trouble[account] = refusal.code
                trouble = refusal
            else:
                if self._trouble.pop(account, None) is not None:
                    logger.warning("the events of account %s can be read again", account)
        if trouble is not None:
            raise trouble
        return new

    async def _poll_account(self, account: str) -> int:
        started = self._clock()
        read_until = await to_thread.run_sync(self._begin, account, started)
        lost = self._lost(account, read_until, started)
        since = lost.until if lost is not None else read_until - OVERLAP
        new, page = 0, list[dict[str, Any]]()
        async for event in self._stripe.account(account).events(HANDLED_EVENTS, since):
            # Whose it is, the account that was asked says: a listed event need not repeat it.
            page.append(inbox_row(event, source="poll", live=self._live, now=started) | {"account": account})
            if len(page) == 100:
                new += await to_thread.run_sync(self._store_page, page)
                page = []
        new += await to_thread.run_sync(self._store_page, page)
        await to_thread.run_sync(self._advance, account, started, lost)
        self._read_at[account] = self._wall()
        return new

    def _accounts(self) -> Sequence[str]:
        with self._open_store().reading() as session:
            return storage.organizations.stripe_accounts(session)

    def _begin(self, account: str, now: datetime) -> datetime:
        """How far it was read. The first time this moment is kept, so that a reading that fails loses nothing after it."""
        with self._open_store().writing() as session:
            return storage.inbox.begin_reading(session, account, now)

    def _lost(self, account: str, read_until: datetime, now: datetime) -> Span | None:
        """What was not read while Stripe kept it.

        That the clock says so is not enough: a sandbox's may have been advanced. The sandbox keeps its events for good, so
        for this server, which has read it a moment ago, nothing is lost; one that was off stands for one that was away.
        """
        oldest = (now - RETENTION).replace(microsecond=0)
        read_at = self._read_at.get(account)
        was_away = read_at is None or self._wall() - read_at >= RETENTION
        return storage.inbox.Span(read_until, oldest) if read_until < oldest and was_away else None

    def _store_page(self, rows: Sequence[dict[str, Any]]) -> int:
        with self._open_store().writing() as session:
            return len(storage.inbox.store(session, rows))

    def _advance(self, account: str, at: datetime, lost: Span | None) -> None:
        """Move the cursor, after everything up to it is stored, and keep what it moves over."""
        with self._open_store().writing() as session:
            storage.inbox.set_read_until(session, account, at, lost)
        if lost is not None:
            logger.warning(
                "account %s was last read on %s, and Stripe keeps events for %d days only: run find_missed_sales since then",
                account,
                lost.since.date(),
                RETENTION.days,
            )
