"""Whom customers and subscriptions belong to: the first who won them, whenever the news of it comes."""

from __future__ import annotations

from dataclasses import replace

from rekomi_mcp.domain.attribution import Candidate, decide
from rekomi_mcp.domain.sales import Sale, SubscriptionStarted
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.claims import claims_on_subscription
from rekomi_mcp.tools.ingest.known import CUSTOMER, SUBSCRIPTION, Binding, Known, Origin
from rekomi_mcp.tools.ingest.writes import Writes


def origin_of_sale(sale: Sale) -> Origin:
    return Origin(sale.earned_at, 2, f"sale:{sale.source.value}:{sale.source_id}")


def bind_subscription(context: Context, known: Known, writes: Writes, fact: SubscriptionStarted) -> None:
    """A subscription that an affiliate brought is theirs before any money comes; nobody's code may become somebody's."""
    decision = decide(list(claims_on_subscription(known, fact)))
    if decision.winner is not None:
        bind(context, known, writes, decision.winner, fact, origin_of_subscription(fact))
    for promotion_code_id in fact.promotion_code_ids:
        if promotion_code_id not in known.codes_by_promotion:
            writes.subscription_start(context, promotion_code_id, fact, origin_of_subscription(fact).name)


def origin_of_subscription(fact: SubscriptionStarted) -> Origin:
    """Of several tellings of one beginning the first counts: a code that is used up is missing from later ones."""
    if fact.at_checkout:
        return Origin(fact.occurred_at, 0, f"checkout:{fact.subscription_id}")
    told = int((fact.told_at or fact.occurred_at).timestamp())
    return Origin(fact.occurred_at, 1, f"subscription:{fact.subscription_id}@{told:012d}:{fact.event_id}")


def bind(
    context: Context,
    known: Known,
    writes: Writes,
    winner: Candidate,
    fact: Sale | SubscriptionStarted,
    origin: Origin,
) -> None:
    """The customer and the subscription belong to the winner, unless they belonged to somebody before."""
    for kind, ref in ((SUBSCRIPTION, fact.subscription_id), (CUSTOMER, fact.customer_id)):
        if ref is None:
            continue
        by_itself = kind == SUBSCRIPTION and isinstance(fact, SubscriptionStarted)
        binding, before = (
            Binding(
                winner.affiliate_id,
                winner.program_id,
                winner.code_id,
                origin,
                fact.event_id,
                fact.customer_id if by_itself else None,
            ),
            known.bindings.get((kind, ref)),
        )
        if binding == before or not (before is None or _binds_anew(known, before, fact, origin)):
            continue
        known.bindings[kind, ref] = binding
        known.note_change((kind, ref), origin.at)
        writes.binding(context, (kind, ref), binding)


def unbind(context: Context, known: Known, writes: Writes, sale: Sale, *, is_won: bool) -> None:
    """What a sale bound when it was won, now or at its checkout, is nobody's when it was not, until something binds it.

    Later sales are decided again and bind what they win. Beginnings of subscriptions are not, so the customer goes with
    the first of theirs.
    """
    origin = origin_of_sale(sale)
    for ref in ((SUBSCRIPTION, sale.subscription_id or ""), (CUSTOMER, sale.customer_id or "")):
        binding = known.bindings.get(ref)
        if binding is None or binding.origin.name != origin.name or (is_won and binding.origin == origin):
            continue
        del known.bindings[ref]
        known.note_change(ref, binding.bound_at)
        writes.no_binding(ref)
        begun = [each for each in known.bindings.values() if ref == (CUSTOMER, each.customer_id)]
        if begun:
            first = min(begun, key=lambda each: each.origin.place)
            known.bindings[ref] = replace(first, customer_id=None)
            writes.binding(context, ref, known.bindings[ref])


def _binds_anew(known: Known, before: Binding, fact: Sale | SubscriptionStarted, origin: Origin) -> bool:
    """Whether an earlier origin is told, or more of the same one. What is put on a subscription later is a later origin."""
    if before.origin != origin:
        return origin.precedes(before.origin)
    # A coupon for once leaves its subscription when it is used up: then news of the subscription no longer knows its code.
    code = known.codes.get(before.code_id or "")
    told_less = code is not None and code.stripe_promotion_code_id not in fact.promotion_code_ids
    return not (told_less and isinstance(fact, SubscriptionStarted))
