"""Money going back takes its share of the commission with it, exactly once, in whatever order the news arrives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from rekomi_mcp.domain.ledger import NOT_PAYABLE, EntryKind, Share, reversal_steps
from rekomi_mcp.domain.money import half_up
from rekomi_mcp.domain.sales import Payment, Reversal, ReversalKind, ReversalStatus
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest.known import DENIED, Earning, Known, Recorded, SaleKey
from rekomi_mcp.tools.ingest.writes import Writes

_Borne = tuple[Reversal, Share]
"""What goes back, and the part of it that a sale bears."""


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
    for key, share in known.shares_of(fact).items():
        _settle(context, known, writes, key, [(fact, share)])


def link_payment(context: Context, known: Known, writes: Writes, payment: Payment, key: SaleKey) -> None:
    """Remember what paid a sale."""
    is_new = not known.payments.is_known(payment.id, key)
    if known.payments.note(payment, key):
        writes.payment(context, payment, key, is_new=is_new)


def settle_shared(context: Context, known: Known, writes: Writes, key: SaleKey) -> None:
    """Settle the reversals that a sale bears, now that it or its payments are known, and what it leaves to others."""
    if known.reversals:
        for other in known.sharing(key):
            settle_all(context, known, writes, other)


def settle_all(context: Context, known: Known, writes: Writes, key: SaleKey) -> None:
    """Settle every reversal of a sale that is known, but for those it bears no more and no less of than before."""
    recorded = known.recorded.get(key)
    if recorded is None or recorded.earning is None:
        return
    borne = [(reversal, known.shares_of(reversal).get(key, 0)) for reversal in known.reversals_of(key)]
    settled = recorded.earning.borne
    _settle(context, known, writes, key, [each for each in borne if settled.get(each[0].id, 0) != each[1]])


def _settle(context: Context, known: Known, writes: Writes, key: SaleKey, borne: Sequence[_Borne]) -> None:
    """Bring the sale's commission to where these reversals leave it, and have payable what is not in dispute."""
    recorded = known.recorded.get(key)
    earning = recorded.earning if recorded is not None else None
    if recorded is None or earning is None or earning.state == DENIED or not borne:
        return
    if any(earning.borne.get(reversal.id, 0) not in (0, share) for reversal, share in borne):
        _begin_anew(context, writes, recorded, earning)
    moving = [each for each in borne if _take(context, writes, earning, *each)]
    wanted = earning.remaining_minor if known.is_disputed(key) else 0
    # The dispute that holds, and not one that has held before: an entry has one cause, and a cause one such entry.
    opened = [each for each in borne if each[0].status is ReversalStatus.Open]
    by = max(opened, key=_told, default=None) if wanted > earning.on_hold_minor else None
    if _hold(context, writes, earning, wanted, *(by or (moving or borne)[-1])) or moving:
        writes.settle(earning)


def _begin_anew(context: Context, writes: Writes, recorded: Recorded, earning: Earning) -> None:
    """What it bears is shared out otherwise now, perhaps as it was once before: its entries are of another time."""
    recorded.revision += 1
    earning.revision = recorded.revision
    writes.sale(context, recorded)


def _told(borne: _Borne) -> tuple[datetime, str]:
    reversal = borne[0]
    return reversal.told_at or reversal.occurred_at, reversal.id


def _take(context: Context, writes: Writes, earning: Earning, reversal: Reversal, share: Share) -> bool:
    """Take what the reversal takes from the commission, or give it back; False when that is done."""
    steps = reversal_steps(earning.commission_minor, earning.gross_minor, earning.reversed_minor, [reversal], share)
    earning.reversed_minor[reversal.id] = reversal.effective_minor * share
    earning.borne[reversal.id] = share
    for step in steps:
        earning.remaining_minor = step.remaining_minor
        writes.entry(
            context,
            earning,
            kind=step.kind,
            amount_minor=step.amount_minor,
            cause=_cause(reversal, share),
            cause_amount_minor=part_of(reversal, share),
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


def _hold(
    context: Context, writes: Writes, earning: Earning, wanted_minor: int, reversal: Reversal, share: Share
) -> bool:
    """Have exactly this much of the commission not payable; False when that is so already."""
    moved = wanted_minor - earning.on_hold_minor
    if moved == 0:
        return False
    cause = _cause(reversal, share)
    kind = EntryKind.Hold if moved > 0 else EntryKind.Release
    for amount, available_at, side in ((-moved, earning.held_until, "payable"), (moved, NOT_PAYABLE, "held")):
        writes.entry(
            context,
            earning,
            kind=kind,
            amount_minor=amount,
            cause=(cause[0], cause[1], f"{cause[2]}:{side}"),
            cause_amount_minor=part_of(reversal, share),
            occurred_at=reversal.occurred_at,
            available_at=available_at,
        )
    earning.on_hold_minor = wanted_minor
    _note(context, earning, reversal, 0, "conversion.held" if moved > 0 else "conversion.released")
    return True


def part_of(reversal: Reversal, share: Share) -> int:
    """What of it the sale bears, in whole minor units."""
    part = reversal.amount_minor * share
    return half_up(part.numerator, part.denominator)


def _cause(reversal: Reversal, share: Share) -> tuple[str, str, str]:
    """What happened, as an entry names it. An appeal or a correction may bring a dispute or note to the same end twice.

    A part of it is named too: the sale bears another one when more of what the payment paid becomes known. That it was
    shared out anew the revision tells.
    """
    state = reversal.status.value
    if reversal.kind is ReversalKind.CreditNote:
        state += f"@{reversal.amount_minor}"
    if reversal.kind is not ReversalKind.Refund and reversal.told_at is not None:
        state += f"@{int(reversal.told_at.timestamp())}"
    if share != 1:
        state += f"*{share}"
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
