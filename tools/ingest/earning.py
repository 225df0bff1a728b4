"""Conversions: what a decision gives an affiliate, and takes back when the sale was another's after all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from rekomi_mcp.domain.attribution import Candidate, Evidence
from rekomi_mcp.domain.ledger import NOT_PAYABLE, EntryKind
from rekomi_mcp.operation import Context
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.ingest.known import DENIED, Earning, Known, Recorded
from rekomi_mcp.tools.ingest.terms import SELF_PURCHASE, Terms
from rekomi_mcp.tools.ingest.writes import Writes

METHODS = {
    Evidence.Code: "coupon",
    Evidence.Click: "link",
    Evidence.Subscription: "customer",
    Evidence.Customer: "customer",
    Evidence.Lead: "lead",
    Evidence.Named: "server",
}


class ConversionNote(BaseModel):
    """What the audit log keeps of a conversion."""

    sale: str
    affiliateId: str
    commissionCents: int
    currency: str
    method: str
    code: str | None
    flag: str | None = None


def earn(context: Context, known: Known, writes: Writes, recorded: Recorded, winner: Candidate, terms: Terms) -> None:
    """Credit the winner. A conversion that is there already moves to the winner, and the books with it."""
    sale, before = recorded.sale, recorded.earning
    if before is not None:
        _take_back(context, writes, recorded, before)
    commission = terms.rate.commission_minor(sale.net_minor)
    flag = SELF_PURCHASE if recorded.outcome == SELF_PURCHASE else None
    earning = recorded.earning = Earning(
        conversion_id=before.conversion_id if before is not None else new_id(),
        affiliate_id=winner.affiliate_id,
        commission_minor=commission,
        commission_currency=terms.rate.currency or sale.currency,
        gross_minor=sale.gross_minor,
        remaining_minor=0 if flag else commission,
        state=DENIED if flag else "Open",
        refunded_at=None,
        sold_at=sale.occurred_at,
        held_until=before.held_until if before is not None else sale.occurred_at + timedelta(days=terms.hold_days),
        revision=recorded.revision,
    )
    note = _write(context, known, writes, recorded, winner, terms, flag, is_new=before is None)
    if flag is None:
        writes.entry(
            context,
            earning,
            kind=EntryKind.Accrual,
            amount_minor=commission,
            cause=("sale", sale.source_id, "paid"),
            cause_amount_minor=sale.net_minor,
            occurred_at=sale.occurred_at,
        )
    action = "conversion.flagged" if flag else "conversion.created" if before is None else "conversion.reassigned"
    context.changed("conversion", earning.conversion_id, after=note, action=action)


def retract(context: Context, writes: Writes, recorded: Recorded) -> None:
    """Nobody earns on this sale after all: its conversion stays, denied, with nothing on it."""
    earning = recorded.earning
    assert earning is not None, "a credited sale has a conversion"
    _take_back(context, writes, recorded, earning)
    earning.state, earning.refunded_at = DENIED, None
    writes.settle(earning)
    context.changed("conversion", earning.conversion_id, action="conversion.retracted")


def _take_back(context: Context, writes: Writes, recorded: Recorded, earning: Earning) -> None:
    """Take what is left of the commission out of the affiliate's balance, from where it lies."""
    sale, revision = recorded.sale, str(recorded.revision)
    payable, held = earning.remaining_minor - earning.on_hold_minor, earning.on_hold_minor
    for amount, available_at, side in ((payable, earning.held_until, "payable"), (held, NOT_PAYABLE, "held")):
        if amount:
            writes.entry(
                context,
                earning,
                kind=EntryKind.Retraction,
                amount_minor=-amount,
                cause=("decision", sale.source_id, f"{revision}:{side}"),
                cause_amount_minor=sale.net_minor,
                occurred_at=sale.occurred_at,
                available_at=available_at,
            )
    earning.remaining_minor = earning.on_hold_minor = 0


def _write(
    context: Context,
    known: Known,
    writes: Writes,
    recorded: Recorded,
    winner: Candidate,
    terms: Terms,
    flag: str | None,
    *,
    is_new: bool,
) -> ConversionNote:
    earning, sale = recorded.earning, recorded.sale
    assert earning is not None
    by_code = winner.evidence is Evidence.Code and winner.code_id is not None
    code = known.codes[winner.code_id].code if by_code and winner.code_id else None
    method = METHODS[winner.evidence]
    values: dict[str, Any] = {
        "program_id": winner.program_id,
        "affiliate_id": winner.affiliate_id,
        "code_id": winner.code_id if by_code else None,
        "code": code,
        "method": method,
        "commission_minor": earning.commission_minor,
        "commission_currency": earning.commission_currency,
        "remaining_minor": earning.remaining_minor,
        "rate_type": terms.rate.type.value,
        "rate_value": terms.rate.value,
        "rate_source": terms.source.value,
        "terms_version": terms.version,
        "state": earning.state,
        "refunded_at": None,
        "on_hold_minor": 0,
        "flag": flag,
        "click_id": winner.click_id,
        "amount_minor": sale.net_minor,
        "currency": sale.currency,
    }
    fixed: dict[str, Any] = {
        "sale_id": recorded.id,
        "type": "Recurring" if sale.subscription_id else "OneTime",
        "occurred_at": sale.occurred_at,
        "held_until": earning.held_until,
    }
    writes.conversion(context, earning, values, fixed, is_new)
    return ConversionNote(
        sale=sale.source_id,
        affiliateId=winner.affiliate_id,
        commissionCents=earning.commission_minor,
        currency=earning.commission_currency,
        method=method,
        code=code,
        flag=flag,
    )
