"""All that a server keeps of a case, in the case's own names: what must be the same in whatever order the news came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, select

from rekomi_mcp.storage.tables import AffiliateCodeRow, BindingRow, ConversionRow, LeadRow, SaleRow
from tests.cases.play import Play

State = dict[tuple[str, ...], tuple[Any, ...]]


def state_of(play: Play) -> State:
    """Every decision with its losers, what became of it, who belongs to whom, leads and codes.

    A conversion that was taken back because the sale was another's after all is history, and differs.
    """
    names = {ours: name for name, ours in play.affiliates.items()}
    with play.server.app.open_store().reading() as session:
        return {
            **_sales(session, names),
            **_belongings(session, names),
            **{("code", str(c.stripe_promotion_code_id)): (c.status,) for c in session.exec(select(AffiliateCodeRow))},
        }


def _sales(session: Session, names: Mapping[str, str]) -> State:
    found: State = {}
    sales = {row.id: row for row in session.exec(select(SaleRow))}
    for sale in sales.values():
        claims = [(c["evidence"], names[c["affiliateId"]], c["reason"]) for c in sale.decision["candidates"]]
        terms: dict[str, Any] = sale.decision["terms"] or {}
        of_sale = sale.outcome, sale.net_minor, sale.gross_minor
        found["sale", sale.source_id] = (*of_sale, terms.get("invoice_index"), claims)
    for row in session.exec(select(ConversionRow)):
        if row.state == "Denied" and row.flag is None:
            continue
        earned = names[row.affiliate_id], row.method, row.code, row.commission_minor
        left = row.remaining_minor, row.on_hold_minor, row.state, row.flag
        found["conversion", sales[row.sale_id].source_id] = (*earned, *left)
    return found


def _belongings(session: Session, names: Mapping[str, str]) -> State:
    """Whose subscriptions and customers are since when, and whose signups. Those by hand are as old as the test."""
    bound: State = {
        (row.kind, row.ref): (names[row.affiliate_id], row.bound_at) for row in session.exec(select(BindingRow))
    }
    leads: State = {
        ("lead", row.email, names[row.affiliate_id]): (row.source, row.created_at if row.source == "Stripe" else None)
        for row in session.exec(select(LeadRow))
    }
    return bound | leads


def differences(wanted: State, found: State) -> list[str]:
    """Where two states differ, a line each."""
    keys = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    return [f"{' '.join(key)}: {found.get(key)} instead of {wanted.get(key)}" for key in keys]
