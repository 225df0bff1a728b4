"""What a sale earns: the rate in force, whether its invoice is one that earns, and whether it is an own purchase."""

from __future__ import annotations

from pydantic import BaseModel

from rekomi_mcp.domain.attribution import Candidate, Decision, is_same_person
from rekomi_mcp.domain.commission import Rate, RateSource, Renewals, choose_rate
from rekomi_mcp.domain.sales import Sale
from rekomi_mcp.tools.ingest.known import Known, Recorded, as_of
from rekomi_mcp.tools.rates import rate_of

CREDITED, FREE, SELF_PURCHASE = "credited", "free", "self_purchase"
NOTHING_PAID = "nothing_paid"
"""A customer who has paid before got something for nothing, or money back: no signup."""
DUPLICATE = "duplicate"
"""The sale is told by an invoice as well, and earns there."""


class Terms(BaseModel):
    """The rate in force for one sale, as it is copied onto the conversion."""

    rate: Rate
    source: RateSource
    version: int
    recurring_months: int | None
    recurring_delay_invoices: int
    invoice_index: int
    hold_days: int


def outcome_of(known: Known, sale: Sale, decision: Decision, before: Recorded) -> tuple[str, Terms | None]:
    """`credited`, or why nobody earns on this sale; and the terms that were looked at."""
    winner = decision.winner
    if winner is None:
        return decision.reason, None
    program = known.program(winner.program_id, sale.earned_at)
    terms = _terms(known, sale, winner, before)
    if sale.net_minor <= 0:
        return FREE if sale.net_minor == 0 and terms.invoice_index == 0 else NOTHING_PAID, terms
    renewals = Renewals(terms.recurring_months, terms.recurring_delay_invoices)
    refusal = renewals.refusal(terms.invoice_index) if sale.subscription_id else None
    if refusal is not None:
        return refusal, terms
    if before.double_of is not None:
        return DUPLICATE, terms
    is_own_purchase = is_same_person(sale.customer_email, known.affiliates[winner.affiliate_id].email)
    if is_own_purchase and not program.allow_self_purchases:
        return SELF_PURCHASE, terms
    return CREDITED, terms


def _terms(known: Known, sale: Sale, winner: Candidate, before: Recorded) -> Terms:
    index = known.invoice_index(sale.subscription_id, sale.occurred_at) if sale.subscription_id else 0
    kept = _kept_terms(winner, before) if before.as_of == as_of(sale) else None
    if kept is not None:
        return kept.model_copy(update={"invoice_index": index})
    program = known.program(winner.program_id, sale.earned_at)
    code = known.codes.get(winner.code_id) if winner.code_id else None
    affiliate = known.affiliate(winner.affiliate_id, sale.earned_at)
    program_rate = rate_of(program)
    assert program_rate is not None, "every program has a rate"
    rate, source = choose_rate(rate_of(code) if code is not None else None, rate_of(affiliate), program_rate)
    return Terms(
        rate=rate,
        source=source,
        version=program.terms_version,
        recurring_months=program.recurring_months,
        recurring_delay_invoices=program.recurring_delay_invoices,
        invoice_index=index,
        hold_days=known.organization.payout_grace_days,
    )


def _kept_terms(winner: Candidate, before: Recorded) -> Terms | None:
    """The terms of an earlier decision for the same affiliate by the same code: a change of terms rewrites nothing."""
    kept = before.winner
    if kept is None or (kept["affiliateId"], kept["codeId"]) != (winner.affiliate_id, winner.code_id):
        return None
    terms = before.decision["terms"]
    return Terms.model_validate(terms) if terms is not None else None
