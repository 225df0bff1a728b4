"""Stored sales, reversals and bindings as what they were told as, or decided to be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Referral, Reversal, ReversalKind, ReversalStatus, Sale, SaleSource
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.known import Binding, Earning, Origin, Recorded
from rekomi_mcp.tools.ingest.payments import SaleKey

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import BindingRow, ConversionRow, ReversalRow, SaleRow

RANKS = {"checkout": 0, "subscription": 1, "sale": 2}
"""By the first word of a stored origin."""


def sale_of(row: SaleRow) -> Sale:
    """A stored sale as it was told. What paid it is kept apart, and its customer's name not at all."""
    referral = Referral(**row.referral) if row.referral else None
    return Sale(
        source=SaleSource(row.source),
        source_id=row.source_id,
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        currency=row.currency,
        net_minor=row.net_minor,
        gross_minor=row.gross_minor,
        customer_id=row.customer_id,
        customer_email=row.customer_email,
        subscription_id=row.subscription_id,
        promotion_code_ids=tuple(row.decision["promotionCodeIds"]),
        referral=referral,
        is_counted=row.is_counted,
        begun_at=datetime.fromisoformat(row.decision["begunAt"]) if "begunAt" in row.decision else None,
    )


def recorded_of(context: Context, rows: Mapping[SaleKey, SaleRow]) -> dict[SaleKey, Recorded]:
    conversions = storage.sales.conversions_of(context.session, (row.id for row in rows.values()))
    return {
        key: Recorded(
            id=row.id,
            sale=sale_of(row),
            row=None,
            outcome=row.outcome,
            decision=row.decision,
            revision=row.revision,
            earning=_earning(conversions.get(row.id), row),
        )
        for key, row in rows.items()
    }


def _earning(row: ConversionRow | None, sale: SaleRow) -> Earning | None:
    return row and Earning(
        conversion_id=row.id,
        affiliate_id=row.affiliate_id,
        commission_minor=row.commission_minor,
        commission_currency=row.commission_currency,
        gross_minor=sale.gross_minor,
        remaining_minor=row.remaining_minor,
        state=row.state,
        refunded_at=row.refunded_at,
        sold_at=row.occurred_at,
        held_until=row.held_until,
        on_hold_minor=row.on_hold_minor,
        revision=sale.revision,
    )


def binding_of(row: BindingRow) -> Binding:
    origin = row.origin or "sale:"
    rank = RANKS[origin.partition(":")[0]]
    at = Origin(row.bound_at, rank, origin)
    return Binding(row.affiliate_id, row.program_id, row.code_id, at, row.event_id, row.customer_id)


def reversal_of(row: ReversalRow) -> Reversal:
    """A stored refund, dispute or credit note as it was told."""
    sale = (SaleSource(row.sale_source), row.sale_source_id) if row.sale_source and row.sale_source_id else None
    return Reversal(
        id=row.id,
        kind=ReversalKind(row.kind),
        event_id=row.event_id,
        occurred_at=row.occurred_at,
        currency=row.currency,
        amount_minor=row.amount_minor,
        status=ReversalStatus(row.status),
        payment_intent_id=row.payment_intent_id,
        charge_id=row.charge_id,
        told_at=row.told_at,
        sale=sale,
    )
