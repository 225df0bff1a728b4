"""Walk the road: admit a caller, run the operation in its transaction, remember and audit what it did.

A read runs in one read-only transaction, or, if it is brief, in none; a write in one writing transaction, after the
gates, and an organization's writes run one after the other: what a handler has read stays true until it commits. A refusal
of a write rolls everything back and leaves one audit line. (A caller that was not identified has no organization to write
it to, and one over its rate limit would only fill the log.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Caller, Credential
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.pipeline import trail
from rekomi_mcp.pipeline.admission import Admission, Deployment, Gatekeeper, Looking
from rekomi_mcp.pipeline.arguments import are_plain
from rekomi_mcp.pipeline.calls import Answer, Call
from rekomi_mcp.pipeline.inquiries import InquiryRunner
from rekomi_mcp.pipeline.replay import first_answer, key_of
from rekomi_mcp.pipeline.three_steps import ThreeStepRunner

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Reader

T = TypeVar("T")

THREADS = 10
"""Operations in flight a process; one database connection each."""


class Pipeline:
    """Runs operations. The only code that calls a handler, and the only maker of a handler's context."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._gatekeeper = Gatekeeper(deployment)
        self._three_steps = ThreeStepRunner(deployment, self._gatekeeper, self._in_thread)
        self._inquiries = InquiryRunner(deployment, self._gatekeeper, self._in_thread)
        self._threads = CapacityLimiter(THREADS)

    async def execute(self, call: Call) -> Answer:
        """Run one operation for one caller.

        Raises:
            Refusal: any of `domain.errors`; nothing was changed, apart from the refusal's audit line.
        """
        if call.operation.steps is not None:
            return await self._three_steps.execute(call)
        if call.operation.inquiry is not None:
            return await self._inquiries.execute(call)
        if call.operation.brief:
            return await self._look(call)
        run = self._read if call.operation.reads else self._write
        return await self._in_thread(lambda: run(call))

    async def identify(self, credential: Credential) -> Caller:
        """Only the first step, for a transport that must answer 401 before it reads a request.

        Raises:
            Unauthenticated: the credential does not hold.
        """
        return await self._briefly(credential, lambda looking: self._identify(credential, looking))

    async def sweep_outbound(self, limit: int = 20) -> int:
        """Finish writes to Stripe that a crash or a timeout left behind; answers how many were taken up."""
        return await self._three_steps.sweep(limit)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)

    async def _briefly(self, credential: Credential, look: Callable[[Looking], T], is_short: bool = True) -> T:
        """Do what takes a few look-ups by key at once where the database is a file of ours, and else in a thread."""
        if is_short and (at_once := self._gatekeeper.at_once(credential)) is not None:
            try:
                return look(at_once)
            except storage.engine.BusyError:
                pass  # a thread may wait
        return await self._in_thread(lambda: look(lambda: self._gatekeeper.looking(credential)))

    def _identify(self, credential: Credential, looking: Looking) -> Caller:
        with looking() as session:
            return self._gatekeeper.identify(session, credential, self._deployment.clock())

    async def _look(self, call: Call) -> Answer:
        """A brief read. Where it must be begun again, its caller was admitted, and counted, before."""
        admission: Admission | None = None

        def look(looking: Looking) -> Answer:
            nonlocal admission
            with looking() as session:
                admission = admission or self._gatekeeper.admit(session, call)
                if not call.operation.asks_nothing:
                    return self._answer(session, admission, call)
            return self._answer(session, admission, call)

        # Megabytes that make no sense would hold up everybody while they are looked at.
        return await self._briefly(call.credential, look, is_short=are_plain(call.arguments))

    def _read(self, call: Call) -> Answer:
        with self._deployment.open_store().reading() as session:
            return self._answer(session, self._gatekeeper.admit(session, call), call)

    def _answer(self, session: Reader, admission: Admission, call: Call) -> Answer:
        """What a read answers to a caller who was admitted."""
        handler = call.operation.handler
        assert handler is not None
        try:
            request = self._gatekeeper.check(admission, call)
            output = handler(self._gatekeeper.context(session, admission), request)
        except Refusal as refusal:
            refusal.quota = admission.quota
            raise
        return Answer(output.model_dump(mode="json"), quota=admission.quota)

    def _write(self, call: Call) -> Answer:
        handler = call.operation.handler
        assert handler is not None
        gatekeeper = self._gatekeeper
        with gatekeeper.looking(call.credential) as session:
            admission = gatekeeper.admit(session, call)
        try:
            request = gatekeeper.check(admission, call)
            with gatekeeper.writing(admission) as context:
                key = key_of(call, admission.caller, request)
                if key is not None and (first := first_answer(context, key)) is not None:
                    return Answer(first, replayed=True, quota=admission.quota)
                body = handler(context, request).model_dump(mode="json")
                if key is not None:
                    storage.idempotency.remember(context.session, key.organization_id, key.operation, key.key, body)
                trail.write_changes(context, call.operation, trail.actor_of(admission.caller, call.origin))
        except Refusal as refusal:
            gatekeeper.audit_refusal(admission, call.operation, call.origin, refusal)
            raise
        return Answer(body, quota=admission.quota)
