"""Money going back takes its share of the commission with it, exactly once, in whatever order the news arrives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from rekomi_mcp.domain.ledger import NOT_PAYABLE, EntryKind, reversal_steps
from rekomi_mcp.domain.sales import Reversal, ReversalKind, ReversalStatus
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.known import DENIED, Earning, Known, SaleKey
from rekomi_mcp.tools.ingest.writes import Writes


class ReversalNote(BaseModel):
    """What the audit log keeps of a step."""

    reversal: str
    status: str
    amountCents: int
    remainingCommissionCents: int


def reverse(context: Context, known: Known, writes: Writes, fact: Reversal) -> None:
    """Take notice of a refund, dispute or credit note, and settle its sale when the sale is known."""
    before = known.reversals.get(fact.id)
    if before is not None and not fact.supersedes(before):
        return
    known.note_reversal(fact)
    writes.reversal(context, fact, is_new=before is None)
    key = known.sale_of(fact)
    if key is not None:
        _settle(context, known, writes, key, [fact])


def link_payment(context: Context, known: Known, writes: Writes, payment_id: str, key: SaleKey) -> None:
    """Remember what paid a sale. Refunds of it that came before anybody knew are settled now."""
    is_new = payment_id not in known.sale_of_payment
    if known.note_payment(payment_id, key):
        writes.payment(context, payment_id, key, is_new=is_new)
        settle_all(context, known, writes, key)


def settle_all(context: Context, known: Known, writes: Writes, key: SaleKey) -> None:
    """Settle every reversal of a sale that is known; those settled before move nothing."""
    _settle(context, known, writes, key, known.reversals_of(key))


def _settle(context: Context, known: Known, writes: Writes, key: SaleKey, reversals: Sequence[Reversal]) -> None:
    """Bring the sale's commission to where these reversals leave it, and have payable what is not in dispute."""
    recorded = known.recorded.get(key)
    earning = recorded.earning if recorded is not None else None
    if earning is None or earning.state == DENIED or not reversals:
        return
    moving = [reversal for reversal in reversals if _take(context, writes, earning, reversal)]
    wanted = earning.remaining_minor if known.is_disputed(key) else 0
    # The dispute that holds, and not one that has held before: an entry has one cause, and a cause one such entry.
    opened = [reversal for reversal in reversals if reversal.status is ReversalStatus.Open]
    by = max(opened, key=_told, default=None) if wanted > earning.on_hold_minor else None
    if hold(context, writes, earning, wanted, by or (moving or reversals)[-1]) or moving:
        writes.settle(earning)


def _told(reversal: Reversal) -> tuple[datetime, str]:
    return reversal.told_at or reversal.occurred_at, reversal.id


def _take(context: Context, writes: Writes, earning: Earning, reversal: Reversal) -> bool:
    """Take what the reversal takes from the commission, or give it back; False when that is done."""
    steps = reversal_steps(earning.commission_minor, earning.gross_minor, earning.reversed_minor, [reversal])
    earning.reversed_minor[reversal.id] = reversal.effective_minor
    for step in steps:
        earning.remaining_minor = step.remaining_minor
        writes.entry(
            context,
            earning,
            kind=step.kind,
            amount_minor=step.amount_minor,
            cause=_cause(reversal),
            cause_amount_minor=reversal.amount_minor,
            occurred_at=reversal.occurred_at,
        )
        restored = step.kind is EntryKind.Restoration
        action = "conversion.restored" if restored else "conversion.reversed"
        _note(context, earning, reversal, step.amount_minor, action)
    whole = sum(earning.reversed_minor.values()) >= earning.gross_minor > 0
    before = earning.state
    if whole and earning.state == "Open":
        earning.state, earning.refunded_at = "Refunded", reversal.occurred_at
    elif not whole and earning.state == "Refunded":
        earning.state, earning.refunded_at = "Open", None
    return bool(steps) or earning.state != before


def hold(context: Context, writes: Writes, earning: Earning, wanted_minor: int, reversal: Reversal) -> bool:
    """Have exactly this much of the commission not payable; False when that is so already."""
    moved = wanted_minor - earning.on_hold_minor
    if moved == 0:
        return False
    cause = _cause(reversal)
    kind = EntryKind.Hold if moved > 0 else EntryKind.Release
    for amount, available_at, side in ((-moved, earning.held_until, "payable"), (moved, NOT_PAYABLE, "held")):
        writes.entry(
            context,
            earning,
            kind=kind,
            amount_minor=amount,
            cause=(cause[0], cause[1], f"{cause[2]}:{side}"),
            cause_amount_minor=reversal.amount_minor,
            occurred_at=reversal.occurred_at,
            available_at=available_at,
        )
    earning.on_hold_minor = wanted_minor
    _note(context, earning, reversal, 0, "conversion.held" if moved > 0 else "conversion.released")
    return True


def _cause(reversal: Reversal) -> tuple[str, str, str]:
    """What happened, as an entry names it. An appeal or a correction may bring a dispute or note to the same end twice."""
    state = reversal.status.value
    if reversal.kind is ReversalKind.CreditNote:
        state += f"@{reversal.amount_minor}"
    if reversal.kind is not ReversalKind.Refund and reversal.told_at is not None:
        state += f"@{int(reversal.told_at.timestamp())}"
    return reversal.kind.value, reversal.id, state


def _note(context: Context, earning: Earning, reversal: Reversal, amount_minor: int, action: str) -> None:
    context.changed(
        "conversion",
        earning.conversion_id,
        after=ReversalNote(
            reversal=reversal.id,
            status=reversal.status.value,
            amountCents=amount_minor,
            remainingCommissionCents=earning.remaining_minor,
        ),
        action=action,
    )
