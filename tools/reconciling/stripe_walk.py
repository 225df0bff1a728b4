"""Read what Stripe made in a span of time, as the facts that ingest would have made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from rekomi_mcp.domain.sales import Fact, Reversal, ReversalStatus, Sale, SaleReference, SaleSource
from rekomi_mcp.gateways import stripe_facts as shapes
from rekomi_mcp.gateways.stripe_lists import Listed, is_paid, made_between, sales_of_payment, with_all_lines
from rekomi_mcp.tools.reconciling.window import MOST_OF_OURS, WindowQuestion

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount

JsonObject = dict[str, Any]
SaleKey = tuple[SaleSource, str]
K = TypeVar("K")
V = TypeVar("V")

MOST_OBJECTS = 2000
"""Read in one call: twenty requests."""
MOST_LOOKUPS = 300
"""Further objects asked for one by one."""
CONCURRENT_REQUESTS = 8
SESSION_LIFE = timedelta(days=1)
"""A checkout may be completed for this long after it was made, so in the span."""
_TAKEN_BACK: dict[Listed, Callable[[JsonObject, str, datetime], Reversal | None]] = {
    Listed.Refunds: shapes.refund,
    Listed.Disputes: shapes.dispute,
    Listed.CreditNotes: shapes.credit_note,
}


@dataclass(slots=True)
class Walk:
    """What was read."""

    since: datetime
    """From here on everything was read; it is later than what was asked for when there was too much."""
    facts: list[Fact] = field(default_factory=list[Fact])
    code_texts: dict[str, str] = field(default_factory=dict[str, str])
    """By promotion code id."""
    gone: list[SaleKey] = field(default_factory=list[SaleKey])
    """Sales of ours that Stripe does not have."""
    notes: list[str] = field(default_factory=list[str])
    """What was left out, in words."""
    begun: set[str] = field(default_factory=set[str])
    """Subscriptions of which everything that was paid was read: they were made since `since`, and it was read up to now."""
    has_gaps: bool = False
    """Whether something since `since` was left out, which only a shorter span brings."""

    @property
    def sales(self) -> list[Sale]:
        return [fact for fact in self.facts if isinstance(fact, Sale)]

    @property
    def reversals(self) -> list[Reversal]:
        return [fact for fact in self.facts if isinstance(fact, Reversal)]


@dataclass(slots=True)
class _Stream:
    """One list of Stripe's, read page by page into the past."""

    kind: Listed
    since: datetime
    until: datetime
    reached: datetime
    """Everything made after this was read."""
    read: list[JsonObject] = field(default_factory=list[JsonObject])
    has_more: bool = True

    async def go_on(self, stripe: StripeAccount) -> int:
        after = str(self.read[-1]["id"]) if self.read else None
        page, more = await made_between(stripe, self.kind, self.since, self.until, after)
        self.read += page
        self.has_more = more and bool(page)
        if page:
            self.reached = shapes.at(page[-1]["created"])
        return len(page)


async def walk(stripe: StripeAccount, question: WindowQuestion) -> Walk:
    """Read the span, newest first in every list alike, until it or the budget ends."""
    begin = {Listed.Sessions: question.since - SESSION_LIFE}
    streams = [_Stream(k, begin.get(k, question.since), question.until, question.until) for k in Listed]
    budget = await _read(stripe, streams, MOST_OBJECTS)
    unread = [stream.reached for stream in streams if stream.has_more]
    # Of the second at which a list broke off only a part may have been read.
    found = Walk(since=max(unread) + timedelta(seconds=1) if unread else question.since)
    if unread:
        for stream in streams:
            stream.read = [each for each in stream.read if shapes.at(each["created"]) >= found.since]
    objects = {stream.kind: stream.read for stream in streams}
    await _translate(stripe, found, objects, question.asked_at)
    if question.is_open:
        found.begun = {str(subscription["id"]) for subscription in objects[Listed.Subscriptions]}
    else:
        await _read_what_came_after(stripe, found, question, budget)
    await _find_sales_of_reversals(stripe, found)
    await _look_for_ours(stripe, found, question)
    return found


async def _read(stripe: StripeAccount, streams: list[_Stream], budget: int) -> int:
    """Always go on with the list that is furthest behind; answers what is left of the budget."""
    while budget > 0 and (unread := [stream for stream in streams if stream.has_more]):
        budget -= max(1, await max(unread, key=lambda stream: stream.reached).go_on(stripe))
    return budget


async def _translate(
    stripe: StripeAccount, found: Walk, objects: dict[Listed, list[JsonObject]], asked_at: datetime
) -> None:
    invoices = {str(invoice["id"]): invoice for invoice in objects[Listed.Invoices]}
    sessions = objects[Listed.Sessions]
    for owner in (*invoices.values(), *sessions):
        _note_texts(found, owner)
    # The invoice of a checkout is made when it is completed, so it may lie outside of what was read.
    behind = {i: s for s in sessions if s.get("subscription") is None and (i := shapes.id_of(s.get("invoice")))}
    invoices |= await at_once(lambda i: stripe.invoice(i), [i for i in behind if i not in invoices], found)
    lacking = [i for i, invoice in invoices.items() if shapes.lacks_lines(invoice)]
    invoices |= await at_once(lambda i: with_all_lines(stripe, invoices[i]), lacking, found)
    for invoice_id, invoice in invoices.items():
        sale = shapes.invoice_sale(invoice, _event(invoice_id))
        if sale is not None:
            found.facts.append(shapes.at_checkout(sale, behind[invoice_id]) if invoice_id in behind else sale)
    for session in sessions:
        started = shapes.session_subscription(session, _event(session["id"]))
        sale = shapes.session_sale(session, _event(session["id"]), _completed_at(session))
        found.facts += [fact for fact in (started, sale) if fact is not None]
    for subscription in objects[Listed.Subscriptions]:
        found.facts += shapes.subscription_started(subscription, _event(subscription["id"]), asked_at)
        if subscription.get("ended_at"):
            found.facts.append(shapes.subscription_ended(subscription, _event(subscription["id"]), asked_at))
    found.facts += _reversals(objects, asked_at)


def _reversals(objects: dict[Listed, list[JsonObject]], asked_at: datetime) -> list[Reversal]:
    """What was taken back, as it stands now; when it came to that, only of a beginning Stripe says."""
    found: list[Reversal] = []
    for kind, translate in _TAKEN_BACK.items():
        for each in objects[kind]:
            reversal = translate(each, _event(each["id"]), asked_at)
            if reversal is not None and reversal.status in (ReversalStatus.Pending, ReversalStatus.Open):
                reversal = translate(each, _event(each["id"]), shapes.at(each["created"]))
            if reversal is not None:
                found.append(reversal)
    return found


async def _read_what_came_after(stripe: StripeAccount, found: Walk, question: WindowQuestion, budget: int) -> None:
    """What was taken back after the span of sales within it: without it they would be credited in full."""
    now = question.asked_at + timedelta(minutes=5)
    streams = [_Stream(kind, question.until, now, now) for kind in _TAKEN_BACK]
    await _read(stripe, streams, budget)
    if any(stream.has_more for stream in streams):
        found.notes.append(
            "Not all refunds and disputes since then could be read too: compare the time after this span as well."
        )
    sales = found.sales
    paid_by = {payment for sale in sales for payment in sale.payment_ids}
    keys = {(sale.source, sale.source_id) for sale in sales}
    for reversal in _reversals({stream.kind: stream.read for stream in streams}, question.asked_at):
        if reversal.sale in keys or paid_by & set(reversal.payment_ids):
            found.facts.append(reversal)


async def _find_sales_of_reversals(stripe: StripeAccount, found: Walk) -> None:
    """Which sales before the span the reversals take from."""
    paid_by = {payment for sale in found.sales for payment in sale.payment_ids}
    unknown = {
        reversal.payment_intent_id: reversal.event_id
        for reversal in found.reversals
        if reversal.payment_intent_id is not None and not paid_by & set(reversal.payment_ids)
    }

    async def references(payment_id: str) -> list[SaleReference]:
        return await sales_of_payment(stripe, payment_id, unknown[payment_id])

    answers = await at_once(references, unknown, found)
    found.facts += [each for of_payment in answers.values() for each in of_payment]


async def _look_for_ours(stripe: StripeAccount, found: Walk, question: WindowQuestion) -> None:
    """Sales of ours that were not listed: an invoice may have been made before the span and paid in it."""
    listed = {(sale.source, sale.source_id) for sale in found.sales}
    if len(question.ours) == MOST_OF_OURS:
        found.notes.append("Not every sale of ours was looked for in Stripe: ask about a shorter span.")
    unlisted = [
        (source, source_id)
        for source, source_id, at in question.ours
        if (source, source_id) not in listed and at >= found.since
    ]
    answers = await at_once(lambda key: is_paid(stripe, *key), unlisted, found)
    found.gone += [key for key, paid in answers.items() if not paid]


async def at_once(ask: Callable[[K], Awaitable[V]], wanted: Iterable[K], found: Walk) -> dict[K, V]:
    """The answers to single questions, some at a time; no more than are fair."""
    keys = list(wanted)
    answers: dict[K, V] = {}
    if len(keys) > MOST_LOOKUPS:
        found.has_gaps = True
        found.notes.append(
            f"{len(keys) - MOST_LOOKUPS} objects could not be looked up one by one: ask about a shorter span, or again after a "
            "repair."
        )
    limiter = anyio.CapacityLimiter(CONCURRENT_REQUESTS)

    async def one(key: K) -> None:
        async with limiter:
            answers[key] = await ask(key)

    trouble: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            for key in keys[:MOST_LOOKUPS]:
                group.start_soon(one, key)
    except BaseExceptionGroup as several:
        trouble = several.exceptions[0]
    if trouble is not None:  # a refusal must reach the caller as itself, not wrapped in its group
        raise trouble
    return {key: answers[key] for key in keys[:MOST_LOOKUPS]}


def _completed_at(session: JsonObject) -> datetime:
    """When a checkout was paid. A free one does not say, but it lives for a day at most."""
    intent: JsonObject = session["payment_intent"] if isinstance(session.get("payment_intent"), dict) else {}
    charge: JsonObject = intent["latest_charge"] if isinstance(intent.get("latest_charge"), dict) else {}
    return shapes.at((charge or intent or session)["created"])


def _note_texts(found: Walk, owner: JsonObject) -> None:
    found.code_texts |= shapes.code_texts(owner)


def _event(object_id: str) -> str:
    """Under which name the books keep what no event told."""
    return f"reconcile:{object_id}"
