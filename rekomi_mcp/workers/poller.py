"""Read Stripe's event list into the inbox: the same events as the webhook, for a server without a public address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe import StripeGateway
from rekomi_mcp.gateways.stripe_inbox import HANDLED_EVENTS, inbox_row

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Store

logger = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=15)
"""Read this much again each time: Stripe may list an event late, and clocks differ."""
RETENTION = timedelta(days=30)
"""Stripe keeps events for this long."""


class EventPoller:
    def __init__(
        self, open_store: Callable[[], Store], stripe: StripeGateway, clock: Callable[[], datetime], live: bool
    ) -> None:
        self._open_store = open_store
        self._stripe = stripe
        self._clock = clock
        self._live = live
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
        since = await to_thread.run_sync(self._begin, account, started)
        new, page = 0, list[dict[str, Any]]()
        async for event in self._stripe.account(account).events(HANDLED_EVENTS, since):
            # Whose it is, the account that was asked says: a listed event need not repeat it.
            page.append(inbox_row(event, source="poll", live=self._live, now=started) | {"account": account})
            if len(page) == 100:
                new += await to_thread.run_sync(self._store_page, page)
                page = []
        new += await to_thread.run_sync(self._store_page, page)
        await to_thread.run_sync(self._advance, account, started)
        return new

    def _accounts(self) -> Sequence[str]:
        with self._open_store().reading() as session:
            return storage.organizations.stripe_accounts(session)

    def _begin(self, account: str, now: datetime) -> datetime:
        """From when on to read. The first time this moment is kept, so that a reading that fails loses nothing after it."""
        with self._open_store().writing() as session:
            read_until = storage.inbox.begin_reading(session, account, now)
        if read_until < now - RETENTION:
            logger.warning(
                "account %s was last read on %s, and Stripe keeps events for %d days only: run find_missed_sales since then",
                account,
                read_until.date(),
                RETENTION.days,
            )
        return max(read_until - OVERLAP, now - RETENTION)

    def _store_page(self, rows: Sequence[dict[str, Any]]) -> int:
        with self._open_store().writing() as session:
            return len(storage.inbox.store(session, rows))

    def _advance(self, account: str, at: datetime) -> None:
        """Move the cursor, after everything up to it is stored."""
        with self._open_store().writing() as session:
            storage.inbox.set_read_until(session, account, at)
