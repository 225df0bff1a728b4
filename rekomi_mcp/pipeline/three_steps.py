"""Operations that write to Stripe: commit the intent, call Stripe, commit the outcome.

No call to Stripe sits inside a transaction, and a process may die at any line: what it leaves behind is a pending call,
and the sweep finishes that with the same ticket, so with the same idempotency key, so with one object in Stripe.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import Conflict, Refusal, StripeMisconfigured, StripeTimeout, StripeUnavailable
from rekomi_mcp.operation import AnyOperation, Context, Input, ThreeSteps, Ticket
from rekomi_mcp.pipeline import trail
from rekomi_mcp.pipeline.admission import Admission, Deployment, Gatekeeper
from rekomi_mcp.pipeline.calls import Answer, Call
from rekomi_mcp.pipeline.replay import digest_of, first_answer, key_of

if TYPE_CHECKING:
    from sqlmodel import Session

    from rekomi_mcp.storage.audit import Actor
    from rekomi_mcp.storage.tables import OutboundCallRow

logger = logging.getLogger(__name__)
T = TypeVar("T")

SWEEP_AFTER = timedelta(seconds=90)
"""How long the process that began a call has it to itself; longer than the gateway's own timeout and retries."""


class InThread(Protocol):
    """Runs database work off the event loop."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call to Stripe that is committed here and not yet confirmed."""

    id: str
    operation: AnyOperation
    steps: ThreeSteps[Any, Any, Any, Any]
    ticket: Ticket
    admission: Admission
    actor: Actor
    idempotency_key: str | None
    first_attempt: bool
    """False when an earlier attempt may have reached Stripe."""
    swept: bool = False
    """True when nobody waits for the answer."""


class ThreeStepRunner:
    def __init__(self, deployment: Deployment, gatekeeper: Gatekeeper, in_thread: InThread) -> None:
        self._deployment = deployment
        self._gatekeeper = gatekeeper
        self._in_thread = in_thread

    async def execute(self, call: Call) -> Answer:
        """Prepare, call, confirm; a definite no from Stripe leaves nothing behind.

        Raises:
            StripeTimeout: the outcome is unknown; the sweep finishes it.
            Refusal: any other; nothing was changed here or in Stripe.
        """
        opened = await self._in_thread(lambda: self._prepare(call))
        return opened if isinstance(opened, Answer) else await self._finish(opened)

    async def sweep(self, limit: int) -> int:
        """Take up calls that nobody finished."""
        calls = await self._in_thread(lambda: self._take_due(limit))
        for opened in calls:
            try:
                await self._finish(opened)
            except Refusal as refusal:
                logger.warning("%s left unfinished in Stripe: %s", opened.operation.name, refusal.code)
        return len(calls)

    async def _finish(self, opened: OpenCall) -> Answer:
        account = self._deployment.stripe.account(opened.ticket.account)
        try:
            reply = await opened.steps.call(account, opened.ticket)
        except Refusal as refusal:
            await self._in_thread(partial(self._leave, opened, refusal))
            raise
        return await self._in_thread(lambda: self._confirm(opened, reply))

    def _prepare(self, call: Call) -> OpenCall | Answer:
        store, gatekeeper = self._deployment.open_store(), self._gatekeeper
        with store.reading() as session:
            admission = gatekeeper.admit(session, call)
        actor = trail.actor_of(admission.caller, call.origin)
        try:
            request = gatekeeper.check(admission, call)
            with store.writing() as session:
                context = gatekeeper.context(session, admission)
                key = key_of(call, admission.caller, request)
                if (first := first_answer(context, key)) is not None:
                    return Answer(first, replayed=True, quota=admission.quota)
                return self._open(context, admission, actor, call, request)
        except Refusal as refusal:
            gatekeeper.audit_refusal(admission, call.operation, call.origin, refusal)
            raise

    def _open(
        self, context: Context, admission: Admission, actor: Actor, call: Call, request: Input
    ) -> OpenCall | Answer:
        """A call for this request: a new one, or one of the same request that was left unfinished or unanswered."""
        steps, operation = call.operation.steps, call.operation
        assert steps is not None
        session, organization_id = context.session, context.organization_id
        digest = digest_of(request)
        earlier = storage.outbound.same_request(session, organization_id, operation.name, digest)
        if earlier is not None and earlier.response is not None:
            earlier.delivered = True
            self._remember(session, organization_id, operation, {call.idempotency_key}, earlier.response)
            return Answer(earlier.response, replayed=True, quota=admission.quota)
        row, ticket = earlier, None
        if row is None:
            ticket = steps.prepare(context, request)
            intent = storage.outbound.Intent(
                organization_id=organization_id,
                operation=operation.name,
                subject_id=ticket.subject_id,
                ticket=ticket.model_dump(mode="json"),
                actor=dataclasses.asdict(actor),
                idempotency_key=call.idempotency_key,
                request_sha256=digest,
            )
            row = storage.outbound.open_call(session, intent, context.now, context.now + SWEEP_AFTER)
        return OpenCall(
            id=row.id,
            operation=operation,
            steps=steps,
            ticket=ticket or steps.ticket.model_validate(row.ticket),
            admission=admission,
            actor=actor,
            idempotency_key=call.idempotency_key,
            first_attempt=earlier is None,
        )

    def _confirm(self, opened: OpenCall, reply: Any) -> Answer:
        with self._deployment.open_store().writing() as session:
            won = storage.outbound.close_call(session, opened.id)
            row = storage.outbound.get(session, opened.id)
            if row is None or not (won or row.response):
                raise Conflict("This request was given up by another process. Look at the list, then try again.")
            context = self._gatekeeper.context(session, opened.admission)
            keys = {opened.idempotency_key, row.idempotency_key}
            if won:
                body = opened.steps.confirm(context, opened.ticket, reply).model_dump(mode="json")
                trail.write_changes(context, opened.operation, opened.actor)
            else:  # another process was faster: its answer is the answer
                body = row.response or {}
            storage.outbound.store_response(session, opened.id, body, delivered=row.delivered or not opened.swept)
            self._remember(session, context.organization_id, opened.operation, keys, body)
        return Answer(body, quota=opened.admission.quota)

    def _remember(
        self,
        session: Session,
        organization_id: str,
        operation: AnyOperation,
        keys: set[str | None],
        body: dict[str, Any],
    ) -> None:
        """Keep the answer under every key that asked for it."""
        for key in keys - {None}:
            storage.idempotency.remember(session, organization_id, operation.name, str(key), body)

    def _leave(self, opened: OpenCall, refusal: Refusal) -> None:
        """After a refusal: undo the first step when Stripe holds nothing for certain, else leave it to the sweep."""
        refusal.quota = opened.admission.quota
        # Not being reached, or not being let in, says nothing about what an earlier attempt did.
        says_nothing = isinstance(refusal, StripeUnavailable | StripeMisconfigured) and not opened.first_attempt
        unknown = says_nothing or isinstance(refusal, StripeTimeout)
        with self._deployment.open_store().writing() as session:
            context = self._gatekeeper.context(session, opened.admission)
            if unknown:
                storage.outbound.note_error(session, opened.id, refusal.code)
            elif storage.outbound.drop_call(session, opened.id):
                opened.steps.abandon(context, opened.ticket)
                if opened.idempotency_key is not None:
                    storage.idempotency.forget(
                        session, context.organization_id, opened.operation.name, opened.idempotency_key
                    )
            if not (unknown and opened.swept):
                trail.write_refusal(context, opened.operation, opened.actor, refusal)

    def _take_due(self, limit: int) -> list[OpenCall]:
        now = self._deployment.clock()
        with self._deployment.open_store().writing() as session:
            rows = storage.outbound.take_due(session, now, now + SWEEP_AFTER, limit)
            return [opened for row in rows if (opened := self._reopen(session, row)) is not None]

    def _reopen(self, session: Session, row: OutboundCallRow) -> OpenCall | None:
        operation = self._deployment.catalogue.get(row.operation)
        if operation is None or operation.steps is None:
            logger.error("outbound call %s names an unknown operation", row.id)
            return None
        now = self._deployment.clock()
        caller = storage.identity.identify(session, System(row.organization_id), now)
        return OpenCall(
            id=row.id,
            operation=operation,
            steps=operation.steps,
            ticket=operation.steps.ticket.model_validate(row.ticket),
            admission=Admission(caller, now, None),
            actor=storage.audit.Actor(**row.actor),
            idempotency_key=row.idempotency_key,
            first_attempt=False,
            swept=True,
        )
