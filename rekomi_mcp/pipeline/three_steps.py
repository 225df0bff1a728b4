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

NOT_REACHED_THIS_TIME = (
    "Stripe could not be reached this time, and whether an earlier attempt did is not known yet. The server finds out and "
    "finishes this by itself; look at the list in a few minutes, or repeat the same request."
)


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
            except Exception:
                logger.exception("%s of %s failed", opened.operation.name, opened.ticket.subject_id)
        return len(calls)

    async def _finish(self, opened: OpenCall) -> Answer:
        account = self._deployment.stripe.account(opened.ticket.account)
        try:
            reply = await opened.steps.call(account, opened.ticket)
        except Refusal as refusal:
            raise await self._in_thread(partial(self._leave, opened, refusal)) from refusal
        return await self._in_thread(lambda: self._confirm(opened, reply))

    def _prepare(self, call: Call) -> OpenCall | Answer:
        gatekeeper = self._gatekeeper
        with gatekeeper.looking(call.credential) as session:
            admission = gatekeeper.admit(session, call)
        actor = trail.actor_of(admission.caller, call.origin)
        try:
            request = gatekeeper.check(admission, call)
            with gatekeeper.writing(admission) as context:
                key = key_of(call, admission.caller, request)
                if key is not None and (first := first_answer(context, key)) is not None:
                    assert key is not None
                    storage.outbound.note_delivered(context.session, key.organization_id, key.operation, key.key)
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
        session, organization_id, key = context.session, context.organization_id, call.idempotency_key
        digest = digest_of(request)
        row, ticket = storage.outbound.same_request(session, organization_id, operation.name, digest, key), None
        if row is not None:
            storage.outbound.join(row, key)
            if row.response is not None:
                row.delivered = True
                self._remember(session, row, row.response)
                return Answer(row.response, replayed=True, quota=admission.quota)
        else:
            ticket = steps.prepare(context, request)
            intent = storage.outbound.Intent(
                organization_id=organization_id,
                operation=operation.name,
                subject_id=ticket.subject_id,
                ticket=ticket.model_dump(mode="json"),
                actor=dataclasses.asdict(actor),
                idempotency_key=key,
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
        )

    def _confirm(self, opened: OpenCall, reply: Any) -> Answer:
        with self._gatekeeper.writing(opened.admission) as context:
            session = context.session
            won = storage.outbound.close_call(session, opened.id)
            row = storage.outbound.get(session, opened.id)
            if row is None or not (won or row.response):
                raise Conflict("This request was given up by another process. Look at the list, then try again.")
            if won:
                row.response = opened.steps.confirm(context, opened.ticket, reply).model_dump(mode="json")
                trail.write_changes(context, opened.operation, opened.actor)
            body = row.response or {}  # when another process was faster, its answer
            row.delivered = row.delivered or not opened.swept
            self._remember(session, row, body)
        return Answer(body, quota=opened.admission.quota)

    def _remember(self, session: Session, row: OutboundCallRow, body: dict[str, Any]) -> None:
        """Keep the answer for the key that asked for it."""
        if row.idempotency_key is not None:
            storage.idempotency.remember(session, row.organization_id, row.operation, row.idempotency_key, body)

    def _leave(self, opened: OpenCall, refusal: Refusal) -> Refusal:
        """Undo the first step when Stripe holds nothing for certain, else leave it to the sweep; answers what to say."""
        with self._gatekeeper.writing(opened.admission) as context:
            session = context.session
            row = storage.outbound.get(session, opened.id)
            others_tried = row is not None and row.attempts > 1
            if others_tried and isinstance(refusal, StripeUnavailable):
                refusal = StripeTimeout(NOT_REACHED_THIS_TIME)
            # Not being let in says as little about what another attempt did as not being reached.
            unknown = isinstance(refusal, StripeTimeout) or (others_tried and isinstance(refusal, StripeMisconfigured))
            if unknown:
                storage.outbound.note_error(session, opened.id, refusal.code)
            elif row is not None and storage.outbound.drop_call(session, row.id):
                opened.steps.abandon(context, opened.ticket)
                if row.idempotency_key is not None:
                    storage.idempotency.forget(session, row.organization_id, row.operation, row.idempotency_key)
            if not (unknown and opened.swept):
                trail.write_refusal(context, opened.operation, opened.actor, refusal)
        refusal.quota = opened.admission.quota
        return refusal

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
            swept=True,
        )
