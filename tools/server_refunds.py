"""Refunds of sales that a seller's own server told: they take their share of the commission back, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import IdempotencyConflict, InvalidInput
from rekomi_mcp.domain.money import display
from rekomi_mcp.domain.sales import Reversal, ReversalKind, ReversalStatus
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools.fields import Moment, OwnId, SaleCurrency
from rekomi_mcp.tools.ingest import apply_facts
from rekomi_mcp.tools.server_sales import SOURCE, Amount, find, moment_told, note_once, require_own

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import ReversalRow, SaleRow


class RecordRefundInput(Input):
    external_event_id: OwnId = Field(description="The id under which the sale was recorded, or will be.")
    refund_id: OwnId = Field(description="Your own id of the refund: the same id counts once.")
    amount_cents: Amount | None = Field(
        default=None, description="What went back, tax and all, in minor units; all that is left when left out."
    )
    currency: SaleCurrency | None = Field(
        default=None, description="The sale's; needed only before the sale is recorded."
    )
    occurred_at: Moment | None = Field(default=None, description="When it went back; now when left out.")


class RecordedRefund(Output):
    ok: Literal[True] = True
    deduped: bool = Field(description="True when the refund was known already and nothing was taken again.")
    external_event_id: str
    refund_id: str
    amount_cents: int = Field(description="What counts of it.")
    currency: str
    amount_left_cents: int | None = Field(default=None, description="What is left of the sale, gross.")
    conversion_id: str | None = None
    affiliate: str | None = Field(default=None, description="Whose commission it was.")
    commission_taken: str | None = Field(default=None, description="What this refund took back.")
    commission_taken_cents: int | None = None
    commission_left: str | None = Field(default=None, description="What the affiliate keeps.")
    commission_left_cents: int | None = None
    commission_currency: str | None = None
    note: str | None = Field(default=None, description="What is out of the ordinary, in words.")


def _record(context: Context, request: RecordRefundInput) -> RecordedRefund:
    sale = find(context, request.external_event_id)
    if sale is None:
        require_own(context, request.external_event_id, "externalEventId")
    if sale is not None and request.currency not in (None, sale.currency):
        raise InvalidInput(f"The sale was in {sale.currency}; a refund is in the same currency.", field="currency")
    known = storage.server_sales.refund(context.session, context.organization_id, _id_of(request))
    if known is not None:
        _require_same(context, known, request, sale)
    else:
        apply_facts(context, [_fact(context, request, sale)])
        context.session.expire_all()
    row = storage.server_sales.refund(context.session, context.organization_id, _id_of(request))
    assert row is not None, "it was just recorded"
    answer = _answer(context, request, row, find(context, request.external_event_id), deduped=known is not None)
    note_once(context, answer.conversion_id)
    context.changed("refund", row.id, after=answer)
    return answer


def _id_of(request: RecordRefundInput) -> str:
    """No id of Stripe's holds a colon, so neither can be taken for the other."""
    return f"server:{request.refund_id}"


def _fact(context: Context, request: RecordRefundInput, sale: SaleRow | None) -> Reversal:
    if sale is not None:
        left = _left_without(context, sale, _id_of(request))
        amount, currency = min(request.amount_cents or left, left), sale.currency
    elif request.amount_cents is not None and request.currency is not None:
        amount, currency = request.amount_cents, request.currency
    else:
        raise InvalidInput(
            "No sale is recorded under this externalEventId yet. To have the refund wait for it, give amountCents and "
            "currency.",
            field="amountCents" if request.amount_cents is None else "currency",
        )
    return Reversal(
        id=_id_of(request),
        kind=ReversalKind.Refund,
        event_id=_id_of(request),
        occurred_at=moment_told(context, request.occurred_at),
        currency=currency,
        amount_minor=amount,
        status=ReversalStatus.Succeeded,
        sale=(SOURCE, request.external_event_id),
    )


def _left_without(context: Context, sale: SaleRow, reversal_id: str) -> int:
    """What of the sale its other refunds leave."""
    refunds = storage.server_sales.refunds_of(context.session, context.organization_id, sale.source_id)
    return max(0, sale.gross_minor - sum(refund.amount_minor for refund in refunds if refund.id != reversal_id))


def _counted(context: Context, sale: SaleRow, row: ReversalRow) -> int:
    """What of a refund was still there to go back when it was told, or, told before the sale, in the order of telling."""
    refunds = storage.server_sales.refunds_of(context.session, context.organization_id, sale.source_id)
    earlier = (r.amount_minor for r in refunds if (r.recorded_at, r.id) < (row.recorded_at, row.id))
    return min(row.amount_minor, max(0, sale.gross_minor - sum(earlier)))


def _require_same(context: Context, known: ReversalRow, request: RecordRefundInput, sale: SaleRow | None) -> None:
    if known.sale_source_id != request.external_event_id:
        raise IdempotencyConflict(
            "This refundId was used for a refund of another sale. Use the id of this refund.", field="refundId"
        )
    if request.amount_cents == known.amount_minor and request.currency in (None, known.currency):
        return
    # What was left then: a refund that took the rest, or more than there was, left nothing to those after it.
    left = _left_without(context, sale, known.id) if sale is not None else None
    if left is None or min(request.amount_cents or left, left) != known.amount_minor:
        raise IdempotencyConflict(
            "This refundId was used for a refund of another amount. Use the id of this refund.", field="refundId"
        )


def _answer(
    context: Context, request: RecordRefundInput, row: ReversalRow, sale: SaleRow | None, *, deduped: bool
) -> RecordedRefund:
    told: dict[str, object] = {
        "deduped": deduped,
        "external_event_id": request.external_event_id,
        "refund_id": request.refund_id,
        "amount_cents": row.amount_minor,
        "currency": row.currency,
    }
    if sale is None:
        note = "No sale is recorded under this id yet. The refund is kept, and counts as soon as the sale is."
        return RecordedRefund.model_validate({**told, "note": note})
    counted = _counted(context, sale, row)
    told |= {
        "amount_cents": counted,
        "amount_left_cents": max(0, _left_without(context, sale, row.id) - row.amount_minor),
    }
    notes: list[str] = []
    if (request.amount_cents or 0) > counted:
        notes.append(
            f"Only {display(counted, sale.currency)} of it was left of the sale, and more than that cannot go back."
        )
    conversion = storage.sales.conversions_of(context.session, [sale.id]).get(sale.id)
    if conversion is None:
        notes.append("Nobody earned on this sale, so there is no commission to take back.")
        return RecordedRefund.model_validate({**told, "note": " ".join(notes)})
    names = storage.affiliates.names(context.session, context.organization_id, [conversion.affiliate_id])
    taken = storage.server_sales.commission_taken(context.session, conversion.id, row.id)
    currency = conversion.commission_currency
    return RecordedRefund.model_validate(
        {
            **told,
            "conversion_id": conversion.id,
            "affiliate": names[conversion.affiliate_id],
            "commission_taken": display(taken, currency),
            "commission_taken_cents": taken,
            "commission_left": display(conversion.remaining_minor, currency),
            "commission_left_cents": conversion.remaining_minor,
            "commission_currency": currency,
            "note": " ".join(notes) or None,
        }
    )


RECORD_REFUND = Operation(
    name="record_refund",
    title="Record refund",
    summary="Record money that went back to the customer of a sale from record_sale; its share of the commission goes too.",
    usage="Not for refunds in Stripe, which arrive by themselves. A refund may be told before its sale.",
    toolset="server",
    input=RecordRefundInput,
    output=RecordedRefund,
    handler=_record,
    route=Route("POST", "/api/v1/refunds", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="refund.recorded",
    idempotent=True,
)
