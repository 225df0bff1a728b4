"""Work off a batch of one account's verified Stripe events in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import ConfigDict, SkipValidation

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Gate, Scope
from rekomi_mcp.domain.sales import (
    CodeChanged,
    CouponDeleted,
    Fact,
    Reversal,
    Sale,
    SaleReference,
    SubscriptionEnded,
    SubscriptionStarted,
)
from rekomi_mcp.operation import Context, Input, Operation, Output
from rekomi_mcp.tools.ingest.crediting import bind_subscription, credit
from rekomi_mcp.tools.ingest.known import Known, load
from rekomi_mcp.tools.ingest.reversing import link_payment, reverse
from rekomi_mcp.tools.ingest.writes import Writes


class IngestInput(Input):
    """Facts of one organization's events. Built by the inbox worker from translated events, never parsed."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    account: str
    event_ids: tuple[str, ...]
    facts: Annotated[tuple[Fact, ...], SkipValidation]


class IngestOutput(Output):
    events: int
    """Events of the batch that were still waiting and are worked off now."""


def _ingest(context: Context, request: IngestInput) -> IngestOutput:
    """Apply each event once: only those still waiting in the inbox, in the order in which they happened."""
    waiting = storage.inbox.finish(context.session, request.account, request.event_ids, context.now)
    apply_facts(context, [f for f in request.facts if f.event_id in waiting])
    return IngestOutput(events=len(waiting))


def apply_facts(context: Context, facts: Sequence[Fact]) -> None:
    """Bring the books to what these facts say, in the caller's transaction. A fact that is known changes nothing."""
    known, writes = load(context, facts), Writes()
    for fact in sorted(facts, key=_order):
        _apply(context, known, writes, fact)
    writes.flush(context)


def _order(fact: Fact) -> tuple[int, float, str]:
    """What payments belong to comes first, then everything by time; within a second, sales come before reversals."""
    if isinstance(fact, SaleReference):
        return 0, 0.0, fact.payment_id
    return 1 if not isinstance(fact, Reversal) else 2, fact.occurred_at.timestamp(), fact.event_id


def _apply(context: Context, known: Known, writes: Writes, fact: Fact) -> None:
    match fact:
        case Sale():
            credit(context, known, writes, fact)
        case Reversal():
            reverse(context, known, writes, fact)
        case SubscriptionStarted():
            bind_subscription(context, known, writes, fact)
        case SubscriptionEnded():
            writes.ended_subscriptions.append({"subscription_id": fact.subscription_id, "at": fact.occurred_at})
        case SaleReference():
            link_payment(context, known, writes, fact.payment_id, (fact.source.value, fact.source_id))
        case CodeChanged() | CouponDeleted():
            pass


INGEST_STRIPE_EVENTS = Operation(
    name="ingest_stripe_events",
    title="Ingest Stripe events",
    summary="Turn verified Stripe events into sales, commission and reversals.",
    usage="The inbox worker runs it; nothing exposes it.",
    toolset="internal",
    input=IngestInput,
    output=IngestOutput,
    handler=_ingest,
    route=None,
    scope=Scope.READ_WRITE,
    gate=Gate(survives_lapse=True),
    audit="stripe.events_ingested",
)
