"""Work off a batch of one account's verified Stripe events in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, SkipValidation

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Gate, Scope
from rekomi_mcp.domain.sales import (
    CodeChanged,
    CouponDeleted,
    EarlierPayment,
    Fact,
    Reversal,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionEnded,
    SubscriptionStarted,
)
from rekomi_mcp.operation import Context, Input, Operation, Output
from rekomi_mcp.tools.ingest.binding import bind_subscription
from rekomi_mcp.tools.ingest.coupons import note_code, note_coupon
from rekomi_mcp.tools.ingest.crediting import credit, credit_again, note_earlier_payment
from rekomi_mcp.tools.ingest.known import Known, Recorded, key_of
from rekomi_mcp.tools.ingest.loading import load
from rekomi_mcp.tools.ingest.payments import SaleKey
from rekomi_mcp.tools.ingest.reversing import link_payment, reverse, settle_shared
from rekomi_mcp.tools.ingest.starts import start_of
from rekomi_mcp.tools.ingest.stored import sale_of
from rekomi_mcp.tools.ingest.writes import Writes

AT_ONCE = 500
"""Facts told again in one go: a database takes only so many parameters in a statement."""


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


def apply_facts(context: Context, facts: Sequence[Fact], *, corrects: bool = False) -> None:
    """Bring the books to what these facts say, in the caller's transaction. A fact that is known changes nothing."""
    known, writes = decide_facts(context, facts, corrects=corrects)
    writes.flush(context, known.stored_bindings)


def decide_facts(context: Context, facts: Sequence[Fact], *, corrects: bool = False) -> tuple[Known, Writes]:
    """What `apply_facts` would write. Of sales, reversals and subscriptions nothing is written before the flush.

    Args:
        corrects: whether the amounts of sales are what Stripe says now, and go before those that are recorded. An event
            may be old, so by itself it corrects nothing.
    """
    known, writes = load(context, facts, corrects=corrects), Writes()
    for step in sorted((*known.facts, *known.later, *_own_times(known)), key=_order):
        if isinstance(step, Recorded):
            credit_again(context, known, writes, step)
        elif isinstance(step, _OwnTime):
            credit_again(context, known, writes, known.recorded[step.key])
        else:
            _apply(context, known, writes, step)
    return known, writes


@dataclass(frozen=True, slots=True)
class _OwnTime:
    """The second turn of a sale that is decided as of its checkout: at its own time there may be more claims."""

    key: SaleKey
    at: datetime


def _own_times(known: Known) -> Iterator[_OwnTime]:
    sales = (fact for fact in known.facts if isinstance(fact, Sale))
    for sale in (*sales, *(recorded.sale for recorded in known.later)):
        if sale.begun_at is not None:
            yield _OwnTime(key_of(sale), sale.occurred_at)


def reconsider(context: Context, promotion_code_ids: Iterable[str]) -> int:
    """Decide again what nobody could claim when these codes were nobody's; answers how many sales carried one.

    The subscriptions that began with them become whose they are from then on.
    """
    session, organization_id, codes = context.session, context.organization_id, set(promotion_code_ids)
    sales = list(map(sale_of, storage.sales.with_codes(session, organization_id, codes)))
    started = list(map(start_of, storage.subscription_starts.with_codes(session, organization_id, codes)))
    facts = sorted((*sales, *started), key=_order)
    for first in range(0, len(facts), AT_ONCE):
        apply_facts(context, facts[first : first + AT_ONCE])
        session.expire_all()
    return len(sales)


def _order(step: Fact | Recorded | _OwnTime) -> tuple[int, float, int, str]:
    """What payments belong to comes first, then everything by time, and what was taken back at last.

    What happened within one second has an order too, so that the news may come in any.
    """
    match step:
        case SaleReference():
            return 0, 0.0, 0, step.payment_id
        case Reversal():
            return 2, step.occurred_at.timestamp(), 0, step.event_id
        case Sale():
            return 1, step.earned_at.timestamp(), 2, _name(key_of(step))
        case Recorded():
            return 1, step.sale.earned_at.timestamp(), 2, _name(key_of(step.sale))
        case _OwnTime():
            return 1, step.at.timestamp(), 2, _name(step.key)
        case EarlierPayment():
            return 1, step.occurred_at.timestamp(), 2, _name((SaleSource.Invoice.value, step.invoice_id))
        case SubscriptionStarted():
            return 1, step.occurred_at.timestamp(), 0 if step.at_checkout else 1, step.subscription_id
        case _:
            return 1, step.occurred_at.timestamp(), 3, step.event_id


def _name(key: SaleKey) -> str:
    return ":".join(key)


def _apply(context: Context, known: Known, writes: Writes, fact: Fact) -> None:
    match fact:
        case Sale():
            credit(context, known, writes, fact)
        case Reversal():
            reverse(context, known, writes, fact)
        case SubscriptionStarted():
            bind_subscription(context, known, writes, fact)
        case EarlierPayment():
            note_earlier_payment(context, known, writes, fact)
        case SubscriptionEnded():
            writes.ended_subscriptions.append({"subscription_id": fact.subscription_id, "at": fact.occurred_at})
        case SaleReference():
            key = (fact.source.value, fact.source_id)
            link_payment(context, known, writes, fact.payment, key)
            settle_shared(context, known, writes, key)
        case CodeChanged():
            note_code(context, known, fact)
        case CouponDeleted():
            note_coupon(context, known, fact)


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
