"""Whom customers and subscriptions belong to: the first who won them, whenever the news of it comes."""

from __future__ import annotations

from rekomi_mcp.domain.attribution import Candidate, decide
from rekomi_mcp.domain.sales import Sale, SubscriptionStarted
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.claims import claims_on_subscription
from rekomi_mcp.tools.ingest.known import CUSTOMER, SUBSCRIPTION, Binding, Known, Origin
from rekomi_mcp.tools.ingest.writes import Writes


def origin_of_sale(sale: Sale) -> Origin:
    return Origin(sale.occurred_at, 2, f"sale:{sale.source.value}:{sale.source_id}")


def bind_subscription(context: Context, known: Known, writes: Writes, fact: SubscriptionStarted) -> None:
    """A subscription that an affiliate brought is theirs before any money comes."""
    decision = decide(list(claims_on_subscription(known, fact)))
    if decision.winner is not None:
        bind(context, known, writes, decision.winner, fact, origin_of_subscription(fact))


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
        binding, before = (
            Binding(winner.affiliate_id, winner.program_id, winner.code_id, origin),
            known.bindings.get((kind, ref)),
        )
        # The same origin told again binds anew: its news may have been incomplete. A code put on a running subscription
        # is another origin of that subscription, and a later one.
        if binding == before or not (before is None or before.origin == origin or origin.precedes(before.origin)):
            continue
        known.bindings[kind, ref] = binding
        known.note_change((kind, ref), origin.at)
        writes.bindings[kind, ref] = {
            "organization_id": context.organization_id,
            "kind": kind,
            "ref": ref,
            "affiliate_id": binding.affiliate_id,
            "program_id": binding.program_id,
            "code_id": binding.code_id,
            "event_id": fact.event_id,
            "bound_at": binding.bound_at,
            "origin": origin.name,
        }
