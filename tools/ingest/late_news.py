"""Which stored sales news of an earlier time may change, and whom their customers belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import EarlierPayment, Sale, SaleSource, SubscriptionStarted
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.binding import origin_of_sale, origin_of_subscription
from rekomi_mcp.tools.ingest.known import CUSTOMER, EMAIL, SUBSCRIPTION, Origin, Ref, key_of, refs_of
from rekomi_mcp.tools.ingest.payments import SaleKey
from rekomi_mcp.tools.ingest.stored import binding_of, sale_of

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import BindingRow, SaleRow

Told = Sale | SubscriptionStarted | EarlierPayment
"""What may change how later sales are decided."""


@dataclass(slots=True)
class Bindings:
    """Whom customers and subscriptions belong to, each read once."""

    rows: dict[Ref, BindingRow] = field(default_factory=dict[Ref, "BindingRow"])
    _asked: set[Ref] = field(default_factory=set[Ref])

    def read(self, context: Context, refs: Iterable[Ref]) -> None:
        wanted = {ref for ref in refs if ref[0] != EMAIL} - self._asked
        self._asked |= wanted
        self.rows |= storage.sales.bindings(context.session, context.organization_id, wanted)

    def read_begun(self, context: Context, again: Iterable[Sale]) -> None:
        """How subscriptions began of customers whom one of these sales had bound: they have them when it has not."""
        of_customers = [(sale.customer_id, origin_of_sale(sale).name) for sale in again if sale.customer_id is not None]
        customers = {c for c, name in of_customers if (row := self.rows.get((CUSTOMER, c))) and row.origin == name}
        self.rows |= storage.sales.bindings_of_customers(context.session, context.organization_id, customers)


@dataclass(frozen=True, slots=True)
class _News:
    """Something told or stored that may change what is known of a subscription, customer or address."""

    origin: Origin
    refs: Sequence[Ref]
    is_counted: bool = False
    """Whether it is a payment that its subscription did not have before."""


def _news_of(sale: Sale, stored: SaleRow | None, *, corrects: bool = False) -> _News:
    """A sale changes what is known of an address only where it cost nothing: then it is a lead."""
    refs = refs_of(sale) if stored is None else list({*refs_of(sale), *refs_of(sale_of(stored))})
    is_turned = corrects and stored is not None and (stored.net_minor > 0) != (sale.net_minor > 0)
    is_lead = sale.net_minor <= 0 or is_turned
    is_counted = sale.is_counted and (stored is None or is_turned)
    return _News(origin_of_sale(sale), [ref for ref in refs if ref[0] != EMAIL or is_lead], is_counted)


def _news(facts: Sequence[Told], stored: Mapping[SaleKey, SaleRow], corrects: bool) -> Iterator[_News]:
    for fact in facts:
        match fact:
            case Sale():
                yield _news_of(fact, stored.get(key_of(fact)), corrects=corrects)
            case SubscriptionStarted():
                yield _News(origin_of_subscription(fact), refs_of(fact))
            case EarlierPayment():
                key = (SaleSource.Invoice.value, fact.invoice_id)
                if key not in stored:
                    origin = Origin(fact.occurred_at, 2, f"sale:{':'.join(key)}")
                    yield _News(origin, [(SUBSCRIPTION, fact.subscription_id)], is_counted=True)


def later_sales(
    context: Context, facts: Sequence[Told], stored: Mapping[SaleKey, SaleRow], bindings: Bindings, *, corrects: bool
) -> dict[SaleKey, SaleRow]:
    """Stored sales at or after the time of the facts whose decision these may change.

    In the order of time there are none. Else what they may change in turn is followed too, until nothing new is found.

    Args:
        stored: what is there of the sales that are told.
        corrects: whether the amounts that are told go before those that are recorded.
    """
    news = list(_news(facts, stored, corrects))
    found: dict[SaleKey, SaleRow] = {}
    seen: dict[Ref, datetime] = {}
    while new := _reached(context, news, seen, bindings):
        seen |= new
        rows = {
            (row.source, row.source_id): row
            for row in storage.sales.since(context.session, context.organization_id, new)
        }
        news = [_news_of(sale_of(row), row) for key, row in rows.items() if key not in found]
        found |= rows
    told = {key_of(fact) for fact in facts if isinstance(fact, Sale)}
    return {key: row for key, row in found.items() if key not in told or _is_after_news(row, facts)}


def _reached(
    context: Context, news: Sequence[_News], seen: Mapping[Ref, datetime], bindings: Bindings
) -> dict[Ref, datetime]:
    """What the news may change, and since when; a customer who belonged to somebody before stays whose they are."""
    bindings.read(context, (ref for each in news for ref in each.refs))
    reached: dict[Ref, datetime] = {}
    for each in news:
        at = each.origin.at
        for ref in each.refs:
            bound = bindings.rows.get(ref)
            is_settled = bound is not None and binding_of(bound).origin.precedes(each.origin)
            if is_settled and not (each.is_counted and ref[0] == SUBSCRIPTION):
                continue
            if ref not in seen or at < seen[ref]:
                reached[ref] = min(at, reached.get(ref, at))
    return reached


def _is_after_news(row: SaleRow, facts: Sequence[Told]) -> bool:
    """False for a sale that is only told again."""
    return any(
        f.earned_at <= row.occurred_at and (f.source, f.source_id) != (row.source, row.source_id)
        if isinstance(f, Sale)
        else f.occurred_at <= row.occurred_at
        for f in facts
    )
