"""Work off the inbox: translate events, several at a time, and hand them to the pipeline in batches."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import Refusal, StripeRefused
from rekomi_mcp.domain.sales import Fact
from rekomi_mcp.gateways.stripe import StripeGateway
from rekomi_mcp.gateways.stripe_facts import id_of, subscription_of_invoice
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.tools.ingest import INGEST_STRIPE_EVENTS
from rekomi_mcp.tools.ingest.operation import IngestInput
from rekomi_mcp.workers.translate import Event, Stored, facts_of

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.storage.tables import InboxEventRow

logger = logging.getLogger(__name__)
JsonObject = dict[str, Any]

BATCH = 200
CONCURRENT_REQUESTS = 8
"""Stripe allows many more a second; this keeps a burst of events from starving the owner's own calls."""
LEASE = timedelta(minutes=5)
MAX_ATTEMPTS = 12
"""With the pauses between them about two days; then the event is kept as failed, with its error."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """The events of one account that this worker has leased."""

    account: str
    organization_id: str | None
    events: list[Event]
    attempts: dict[str, int]


class InboxWorker:
    def __init__(
        self,
        open_store: Callable[[], Store],
        pipeline: Pipeline,
        stripe: StripeGateway,
        clock: Callable[[], datetime],
    ) -> None:
        self._open_store = open_store
        self._pipeline = pipeline
        self._stripe = stripe
        self._clock = clock
        self._requests = anyio.CapacityLimiter(CONCURRENT_REQUESTS)

    async def work_off(self) -> int:
        """Work off everything that is due; answers how many events were taken up."""
        total = 0
        while batches := await to_thread.run_sync(self._take):
            for taken in batches:
                total += len(taken.events)
                await self._process(taken)
        return total

    def _take(self) -> list[_Taken]:
        now = self._clock()
        with self._open_store().writing() as session:
            rows = storage.inbox.take_due(session, now, now + LEASE, BATCH)
            accounts = {row.account for row in rows}
            organizations = {a: storage.organizations.by_stripe_account(session, a) for a in accounts}
            return [
                _Taken(
                    account=account,
                    organization_id=organization.id if organization else None,
                    events=[_event(row) for row in rows if row.account == account],
                    attempts={row.event_id: row.attempts for row in rows if row.account == account},
                )
                for account, organization in sorted(organizations.items())
            ]

    async def _process(self, taken: _Taken) -> None:
        if taken.organization_id is None:
            await self._set_aside(taken, taken.events, storage.inbox.IGNORED, storage.inbox.NOT_LINKED)
            return
        translated = await self._translate(taken)
        try:
            await self._ingest(taken, [e for e, _ in translated], [f for _, facts in translated for f in facts])
        except Exception:
            # One bad event must not hold up the others: find it by going through them one by one.
            logger.exception("a batch of %d events failed; trying them one by one", len(translated))
            for event, facts in translated:
                await self._ingest_alone(taken, event, facts)

    async def _translate(self, taken: _Taken) -> list[tuple[Event, list[Fact]]]:
        """The facts of each event; an event Stripe could not be asked about is put off."""
        account = self._stripe.account(taken.account)
        stored = await to_thread.run_sync(self._stored, taken)
        facts: dict[str, list[Fact]] = {}

        async def translate(event: Event) -> None:
            async with self._requests:
                try:
                    facts[event.id] = await facts_of(event, account, stored)
                except Exception as error:  # noqa: BLE001 - one bad event must not stop the others
                    await self._put_off(taken, event, error)

        async with anyio.create_task_group() as group:
            for event in taken.events:
                group.start_soon(translate, event)
        return [(event, facts[event.id]) for event in taken.events if event.id in facts]

    def _stored(self, taken: _Taken) -> Stored:
        payments = {
            str(event.payload[name])
            for event in taken.events
            if event.type.startswith(("refund.", "charge."))
            for name in ("payment_intent", "charge", "id")
            if event.payload.get(name)
        }
        of_invoices = (_subscription_of(event.payload) for event in taken.events if event.type.startswith("invoice."))
        subscriptions = set(filter(None, of_invoices))
        if not payments and not subscriptions:
            return Stored(payments=(), subscriptions=())
        organization_id = str(taken.organization_id)
        with self._open_store().reading() as session:
            # While news is lost, a payment of any subscription may be among it.
            complete = subscriptions if storage.inbox.lost(session, taken.account) is None else ()
            return Stored(
                payments=storage.sale_payments.settled(session, organization_id, payments),
                subscriptions=storage.sales.sold_subscriptions(session, organization_id, complete),
            )

    async def _ingest(self, taken: _Taken, events: Sequence[Event], facts: Sequence[Fact]) -> None:
        if events:
            request = IngestInput.model_construct(
                account=taken.account, event_ids=tuple(e.id for e in events), facts=tuple(facts)
            )
            credential = System(str(taken.organization_id))
            await self._pipeline.execute(Call(operation=INGEST_STRIPE_EVENTS, credential=credential, arguments=request))

    async def _ingest_alone(self, taken: _Taken, event: Event, facts: Sequence[Fact]) -> None:
        try:
            await self._ingest(taken, [event], facts)
        except Exception as error:  # noqa: BLE001 - kept with the event, and logged
            await self._put_off(taken, event, error)

    async def _put_off(self, taken: _Taken, event: Event, error: Exception) -> None:
        """Try again later, or keep the event as failed with its error."""
        reason = f"{error.code if isinstance(error, Refusal) else type(error).__name__}: {error}"
        if not isinstance(error, Refusal):
            logger.error("event %s (%s) failed", event.id, event.type, exc_info=error)
        attempts = taken.attempts[event.id]
        if attempts >= MAX_ATTEMPTS or isinstance(error, StripeRefused):
            await self._set_aside(taken, [event], storage.inbox.FAILED, reason)
            return
        until = self._clock() + timedelta(seconds=min(10 * 3**attempts, 6 * 3600))

        def postpone() -> None:
            with self._open_store().writing() as session:
                storage.inbox.postpone(session, (taken.account, event.id), until, reason)

        await to_thread.run_sync(postpone)

    async def _set_aside(self, taken: _Taken, events: Sequence[Event], state: str, note: str) -> None:
        def set_aside() -> None:
            with self._open_store().writing() as session:
                event_ids = [event.id for event in events]
                storage.inbox.set_aside(session, taken.account, event_ids, state, note, self._clock())

        await to_thread.run_sync(set_aside)


def _subscription_of(invoice: JsonObject) -> str | None:
    """The subscription of an invoice of any version of the API."""
    return subscription_of_invoice(invoice) or id_of(invoice.get("subscription"))


def _event(row: InboxEventRow) -> Event:
    return Event(
        id=row.event_id,
        type=row.type,
        api_version=row.api_version,
        created=row.stripe_created,
        payload=json.loads(row.payload)["data"]["object"],
    )
