"""Operations that ask Stripe before they act: ask in one transaction, look it up in none, answer in another.

Where the reply leaves something open they ask once more, in the same way.

Nothing is written to Stripe, so there is nothing to finish after a crash: what fails has changed nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Conflict, Refusal, StripeTimeout, StripeUnavailable
from rekomi_mcp.operation import Context, FollowUp, Input, Inquiry, Question
from rekomi_mcp.pipeline import trail
from rekomi_mcp.pipeline.admission import Admission, Deployment, Gatekeeper
from rekomi_mcp.pipeline.calls import Answer, Call
from rekomi_mcp.pipeline.replay import earlier_answer, first_answer, key_of
from rekomi_mcp.pipeline.three_steps import InThread

if TYPE_CHECKING:
    from rekomi_mcp.storage.idempotency import Key


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for Stripe's word."""

    request: Input
    key: Key | None
    question: Question


@dataclass(frozen=True, slots=True)
class Replied:
    """Stripe's word."""

    first: Any
    more: Question | None
    """What was asked then."""
    whole: Any


class InquiryRunner:
    def __init__(self, deployment: Deployment, gatekeeper: Gatekeeper, in_thread: InThread) -> None:
        self._deployment = deployment
        self._gatekeeper = gatekeeper
        self._in_thread = in_thread

    async def execute(self, call: Call) -> Answer:
        """Ask, call, answer.

        Raises:
            Refusal: any but StripeTimeout; nothing was changed, apart from a write's audit line.
        """
        inquiry = call.operation.inquiry
        assert inquiry is not None
        admission = await self._in_thread(lambda: self._admit(call))
        try:
            asked = await self._in_thread(lambda: self._ask(call, inquiry, admission))
            if isinstance(asked, Answer):
                return asked
            replied = await self._look_up(inquiry, admission, asked)
            return await self._in_thread(lambda: self._answer(call, inquiry, admission, asked, replied))
        except Refusal as refusal:
            refusal.quota = admission.quota
            if not call.operation.reads:
                noted = refusal
                await self._in_thread(
                    lambda: self._gatekeeper.audit_refusal(admission, call.operation, call.origin, noted)
                )
            raise

    def _admit(self, call: Call) -> Admission:
        with self._deployment.open_store().reading() as session:
            return self._gatekeeper.admit(session, call)

    def _ask(self, call: Call, inquiry: Inquiry[Any, Any, Any, Any], admission: Admission) -> Asked | Answer:
        request = self._gatekeeper.check(admission, call)
        key = None if call.operation.reads else key_of(call, admission.caller, request)
        with self._deployment.open_store().reading() as session:
            context = self._gatekeeper.context(session, admission)
            if key is not None and (first := earlier_answer(context, key)) is not None:
                return Answer(first, replayed=True, quota=admission.quota)
            return Asked(request, key, inquiry.ask(context, request))

    async def _look_up(self, inquiry: Inquiry[Any, Any, Any, Any], admission: Admission, asked: Asked) -> Replied:
        account, follow_up = self._deployment.stripe.account(asked.question.account), inquiry.follow_up
        try:
            reply = await inquiry.call(account, asked.question)
            if follow_up is None:
                return Replied(reply, None, reply)
            more = await self._in_thread(lambda: self._ask_more(follow_up, admission, reply))
            return Replied(reply, more, reply if more is None else await follow_up.call(account, more, reply))
        except StripeTimeout:  # the outcome of a reading is never in doubt
            raise StripeUnavailable(
                "Stripe did not answer in time, and nothing was changed. Try again in a minute."
            ) from None

    def _ask_more(self, follow_up: FollowUp[Any, Any], admission: Admission, reply: Any) -> Question | None:
        with self._reading(admission) as context:
            return follow_up.ask(context, reply)

    def _answer(
        self, call: Call, inquiry: Inquiry[Any, Any, Any, Any], admission: Admission, asked: Asked, replied: Replied
    ) -> Answer:
        key, reads = asked.key, call.operation.reads
        with self._reading(admission) if reads else self._gatekeeper.writing(admission) as context:
            if key is not None and (first := first_answer(context, key)) is not None:
                return Answer(first, replayed=True, quota=admission.quota)
            if not _is_as_asked(context, inquiry, asked, replied):
                raise Conflict("What this rests on was changed while Stripe was asked. Try again.")
            body = inquiry.answer(context, asked.request, replied.whole).model_dump(mode="json")
            if key is not None:
                storage.idempotency.remember(context.session, key.organization_id, key.operation, key.key, body)
            if not reads:
                trail.write_changes(context, call.operation, trail.actor_of(admission.caller, call.origin))
        return Answer(body, quota=admission.quota)

    @contextmanager
    def _reading(self, admission: Admission) -> Generator[Context]:
        with self._deployment.open_store().reading() as session:
            yield self._gatekeeper.context(session, admission)


def _is_as_asked(context: Context, inquiry: Inquiry[Any, Any, Any, Any], asked: Asked, replied: Replied) -> bool:
    """Whether the same would be asked now."""
    if inquiry.ask(context, asked.request) != asked.question:
        return False
    return inquiry.follow_up is None or inquiry.follow_up.ask(context, replied.first) == replied.more
