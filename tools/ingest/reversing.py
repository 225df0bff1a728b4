"""Money going back takes its share of the commission with it, exactly once, in whatever order the news arrives."""

from __future__ import annotations

from pydantic import BaseModel

from rekomi_mcp.domain.ledger import EntryKind, reversal_steps
from rekomi_mcp.domain.sales import Reversal, ReversalStatus
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.known import Known, SaleKey
from rekomi_mcp.tools.ingest.writes import Writes

_RANK = {ReversalStatus.Pending: 0, ReversalStatus.Succeeded: 1, ReversalStatus.Failed: 2}
"""A reversal only moves up: late news of an earlier stage changes nothing."""


class ReversalNote(BaseModel):
    """What the audit log keeps of a step."""

    reversal: str
    status: str
    amountCents: int
    remainingCommissionCents: int


def reverse(context: Context, known: Known, writes: Writes, fact: Reversal) -> None:
    """Take notice of a refund, and settle its sale when the sale is known."""
    before = known.reversals.get(fact.id)
    if before is not None and _RANK[fact.status] <= _RANK[before.status]:
        return
    known.note_reversal(fact)
    writes.reversal(context, fact, is_new=before is None)
    key = next((known.sale_of_payment[p] for p in fact.payment_ids if p in known.sale_of_payment), None)
    if key is not None:
        _settle(context, known, writes, key, fact)


def link_payment(context: Context, known: Known, writes: Writes, payment_id: str, key: SaleKey) -> None:
    """Remember what paid a sale. Refunds of it that came before anybody knew are settled now."""
    if known.note_payment(payment_id, key):
        writes.payment(context, payment_id, key)
        settle_all(context, known, writes, key)


def settle_all(context: Context, known: Known, writes: Writes, key: SaleKey) -> None:
    """Settle every reversal of a sale that is known; those settled before move nothing."""
    for reversal in known.reversals_of(key):
        _settle(context, known, writes, key, reversal)


def _settle(context: Context, known: Known, writes: Writes, key: SaleKey, reversal: Reversal) -> None:
    """Bring the sale's commission to where this reversal leaves it."""
    earning = known.earnings.get(key)
    if earning is None:
        return
    steps = reversal_steps(earning.commission_minor, earning.gross_minor, earning.reversed_minor, [reversal])
    earning.reversed_minor[reversal.id] = reversal.effective_minor
    for step in steps:
        earning.remaining_minor = step.remaining_minor
        restored = step.kind is EntryKind.Restoration
        writes.entry(
            context,
            earning,
            kind=step.kind,
            amount_minor=step.amount_minor,
            cause=(reversal.kind.value, reversal.id, reversal.status.value),
            cause_amount_minor=reversal.amount_minor,
            occurred_at=reversal.occurred_at,
        )
        context.changed(
            "conversion",
            earning.conversion_id,
            after=ReversalNote(
                reversal=reversal.id,
                status=reversal.status.value,
                amountCents=step.amount_minor,
                remainingCommissionCents=step.remaining_minor,
            ),
            action="conversion.restored" if restored else "conversion.reversed",
        )
    whole = sum(earning.reversed_minor.values()) >= earning.gross_minor > 0
    if whole and earning.state == "Open":
        earning.state, earning.refunded_at = "Refunded", reversal.occurred_at
    elif not whole and earning.state == "Refunded":
        earning.state, earning.refunded_at = "Open", None
    writes.settle(earning)
