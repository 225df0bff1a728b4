"""What was paid of subscriptions that are new here, also outside of the span: a renewal does not say which it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Fact, Payment, Sale, SaleReference
from rekomi_mcp.gateways.stripe_lists import paid_with
from rekomi_mcp.operation import Context, FollowUp, Question
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.reconciling.differences import MISSING, Comparison, compare
from rekomi_mcp.tools.reconciling.stripe_walk import Walk, at_once

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount


class EarlierPaymentsQuestion(Question):
    subscriptions: tuple[str, ...]
    """Those that somebody has a claim to a missing sale of, that with the newest sale first."""


def _ask(context: Context, found: Walk) -> EarlierPaymentsQuestion | None:
    account = lookups.stripe_account(context)
    # Of what was lost, payments of any subscription may be missing here.
    has_lost = storage.inbox.lost(context.session, account) is not None
    sales = _partly_read(found) if has_lost else _new(context, found)
    wanted = _claimed(sales, compare(context, found)) if sales else ()
    return EarlierPaymentsQuestion(account=account, subscriptions=wanted) if wanted else None


async def _call(stripe: StripeAccount, question: EarlierPaymentsQuestion, found: Walk) -> Walk:
    """The walk with all their payments, and without the sales of subscriptions that there were too many of to ask about."""
    newest = {str(sale.subscription_id): sale for sale in sorted(found.sales, key=lambda sale: sale.occurred_at)}
    whole = replace(found, notes=list(found.notes))
    before = await at_once(lambda each: paid_with(stripe, newest[each]), question.subscriptions, whole)
    unread = set(question.subscriptions) - before.keys()
    whole.facts = _without_sales_of(unread, found.facts)
    whole.facts += [payment for payments in before.values() for payment in payments]
    return whole


def facts_to_record(context: Context, found: Walk, comparison: Comparison) -> list[Fact]:
    """All but the sales of new subscriptions that nobody has a claim to, which nothing was asked about.

    With a sale here a subscription is not new any more, and its next renewal, which may be somebody's, would be counted
    without what was paid before.
    """
    new = _new(context, found)
    left = {str(sale.subscription_id) for sale in new} - set(_claimed(new, comparison))
    return _without_sales_of(left, found.facts)


def _without_sales_of(subscriptions: set[str], facts: Iterable[Fact]) -> list[Fact]:
    """The facts, with what their payments paid in place of these sales: a payment may have paid others as well."""
    kept: list[Fact] = []
    for fact in facts:
        if isinstance(fact, Sale) and fact.subscription_id in subscriptions:
            kept += [_reference(fact, payment) for payment in fact.payments]
        else:
            kept.append(fact)
    return kept


def _reference(sale: Sale, payment: Payment) -> SaleReference:
    return SaleReference(payment.id, sale.source, sale.source_id, sale.event_id, payment.amount_minor)


def _new(context: Context, found: Walk) -> Sequence[Sale]:
    """The sales of subscriptions that have no sale here, newest first."""
    sales = _partly_read(found)
    subscriptions = {str(sale.subscription_id) for sale in sales}
    known = storage.sales.sold_subscriptions(context.session, context.organization_id, subscriptions)
    return [sale for sale in sales if sale.subscription_id not in known]


def _partly_read(found: Walk) -> Sequence[Sale]:
    """The sales of subscriptions that were perhaps paid outside of the span too, newest first."""
    sales = [s for s in found.sales if s.subscription_id is not None and s.subscription_id not in found.begun]
    return sorted(sales, key=lambda sale: (sale.occurred_at, sale.source_id), reverse=True)


def _claimed(sales: Sequence[Sale], comparison: Comparison) -> tuple[str, ...]:
    missing = {each.stripe_id for each in comparison.differences if each.kind == MISSING}
    return tuple(dict.fromkeys(str(sale.subscription_id) for sale in sales if sale.source_id in missing))


EARLIER_PAYMENTS: FollowUp[EarlierPaymentsQuestion, Walk] = FollowUp(ask=_ask, call=_call)
