"""Beginnings of subscriptions that were kept while their code was nobody's, as the facts that they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Fact, Referral, Sale, SubscriptionStarted
from rekomi_mcp.operation import Context

if TYPE_CHECKING:
    from rekomi_mcp.storage.organizations import OrganizationView
    from rekomi_mcp.storage.tables import SubscriptionStartRow


def with_adopted_starts(context: Context, organization: OrganizationView, facts: Sequence[Fact]) -> Sequence[Fact]:
    """The facts, and how subscriptions of the same customers began with codes that were adopted afterwards.

    Adopting a code claims nothing by itself. But news of a customer is decided as if the code had always been theirs.
    """
    if not organization.has_adopted_starts:
        return facts
    customers = {fact.customer_id for fact in facts if isinstance(fact, Sale | SubscriptionStarted)}
    found = storage.subscription_starts.adopted(context.session, organization.id, filter(None, customers))
    return [*facts, *map(start_of, found)]


def start_of(row: SubscriptionStartRow) -> SubscriptionStarted:
    """A kept beginning as it was told."""
    return SubscriptionStarted(
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        promotion_code_ids=tuple(row.promotion_code_ids),
        referral=Referral(**row.referral) if row.referral else None,
        at_checkout=row.at_checkout,
        told_at=row.told_at,
    )
