"""A sale becomes a decision, and when somebody earned: a conversion, its ledger entry and a binding."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from rekomi_mcp.domain.attribution import NO_CLAIM, Candidate, Decision, Evidence, decide
from rekomi_mcp.domain.commission import Rate, RateSource, Renewals, choose_rate
from rekomi_mcp.domain.ledger import EntryKind
from rekomi_mcp.domain.sales import Sale, SubscriptionStarted
from rekomi_mcp.operation import Context
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.ingest.known import CUSTOMER, SUBSCRIPTION, Binding, Earning, Known, Undecided
from rekomi_mcp.tools.ingest.reversing import link_payment, settle_all
from rekomi_mcp.tools.ingest.writes import Writes
from rekomi_mcp.tools.rates import rate_of

CREDITED = "credited"


class ConversionNote(BaseModel):
    """What the audit log keeps of a new conversion."""

    sale: str
    affiliateId: str
    commissionCents: int
    currency: str
    method: str
    code: str | None


def credit(context: Context, known: Known, writes: Writes, sale: Sale) -> None:
    """Record one sale; news of a recorded one changes nothing, unless nobody had a claim on it and now somebody has."""
    key = (sale.source.value, sale.source_id)
    for payment_id in sale.payment_ids:
        link_payment(context, known, writes, payment_id, key)
    undecided = known.undecided.get(key)
    if key in known.earnings and undecided is None:
        return
    decision = decide(list(_candidates(known, sale)))
    if undecided is not None and decision.winner is None:
        return
    outcome, terms = _outcome(known, sale, decision)
    if decision.winner is not None:
        _bind(context, known, writes, decision.winner, sale)
        if outcome == "free":
            _lead(context, writes, decision.winner, sale)
    sale_id = _keep(context, known, writes, sale, outcome, _record(sale, decision, terms))
    if outcome == CREDITED:
        assert decision.winner is not None and terms is not None
        known.earnings[key] = _earn(context, known, writes, sale, sale_id, decision.winner, terms)
        settle_all(context, known, writes, key)


def _keep(context: Context, known: Known, writes: Writes, sale: Sale, outcome: str, decision: dict[str, Any]) -> str:
    """Write the sale with its decision, or a new decision onto the sale that is there; answers the sale's id."""
    key = (sale.source.value, sale.source_id)
    undecided = known.undecided.pop(key, None)
    if undecided is not None:
        if undecided.row is not None:
            undecided.row.update(outcome=outcome, decision=decision)
        else:
            writes.redecided.append({"sale_id": undecided.sale_id, "new_outcome": outcome, "new_decision": decision})
        return undecided.sale_id
    sale_id = new_id()
    row: dict[str, Any] = {
        "id": sale_id,
        "organization_id": context.organization_id,
        "source": sale.source.value,
        "source_id": sale.source_id,
        "event_id": sale.event_id,
        "currency": sale.currency,
        "net_minor": sale.net_minor,
        "gross_minor": sale.gross_minor,
        "customer_id": sale.customer_id,
        "customer_email": sale.customer_email,
        "subscription_id": sale.subscription_id,
        "outcome": outcome,
        "decision": decision,
        "occurred_at": sale.occurred_at,
        "recorded_at": context.now,
    }
    writes.sales.append(row)
    known.earnings[key] = None
    if outcome == NO_CLAIM:
        known.undecided[key] = Undecided(sale_id, row)
    if sale.subscription_id is not None and sale.net_minor > 0:
        known.note_paid(sale.subscription_id, sale.occurred_at)
    return sale_id


def bind_subscription(context: Context, known: Known, writes: Writes, fact: SubscriptionStarted) -> None:
    """A subscription that begins with an affiliate's code is theirs before any money comes."""
    if (SUBSCRIPTION, fact.subscription_id) in known.bindings:
        return
    decision = decide(list(_code_candidates(known, fact.promotion_code_ids)))
    if decision.winner is not None:
        _bind(context, known, writes, decision.winner, fact)


def _candidates(known: Known, sale: Sale) -> Iterator[Candidate]:
    if sale.subscription_id is not None:
        yield from _bound_candidate(known, Evidence.Subscription, SUBSCRIPTION, sale.subscription_id)
    yield from _code_candidates(known, sale.promotion_code_ids)
    if sale.customer_id is not None:
        yield from _bound_candidate(known, Evidence.Customer, CUSTOMER, sale.customer_id)
    if sale.customer_email is not None:
        for position, lead in enumerate(known.leads.get(sale.customer_email.lower(), ())):
            yield Candidate(
                Evidence.Lead,
                lead.affiliate_id,
                lead.program_id,
                lead.id,
                since=lead.created_at,
                position=position,
                obstacle=_obstacle(known, lead.affiliate_id, lead.program_id),
            )


def _code_candidates(known: Known, promotion_code_ids: tuple[str, ...]) -> Iterator[Candidate]:
    for position, promotion_code_id in enumerate(promotion_code_ids):
        row = known.codes_by_promotion.get(promotion_code_id)
        if row is not None:
            yield Candidate(
                Evidence.Code,
                row.affiliate_id,
                row.program_id,
                promotion_code_id,
                code_id=row.id,
                position=position,
                obstacle=_obstacle(known, row.affiliate_id, row.program_id),
            )


def _bound_candidate(known: Known, evidence: Evidence, kind: str, ref: str) -> Iterator[Candidate]:
    binding = known.bindings.get((kind, ref))
    if binding is not None:
        yield Candidate(
            evidence,
            binding.affiliate_id,
            binding.program_id,
            ref,
            since=binding.bound_at,
            code_id=binding.code_id,
            obstacle=_obstacle(known, binding.affiliate_id, binding.program_id),
        )


def _obstacle(known: Known, affiliate_id: str, program_id: str) -> str | None:
    """Why this affiliate cannot earn now."""
    status = known.affiliates[affiliate_id].status
    if status != "Approved":
        return f"affiliate_{status.lower()}"
    program = known.programs[program_id]
    if program.archived_at is not None:
        return "program_archived"
    return None if program.is_active else "program_inactive"


class Terms(BaseModel):
    """The rate in force for one sale, as it is copied onto the conversion."""

    rate: Rate
    source: RateSource
    version: int
    recurring_months: int | None
    recurring_delay_invoices: int
    invoice_index: int
    hold_days: int


def _outcome(known: Known, sale: Sale, decision: Decision) -> tuple[str, Terms | None]:
    """`credited`, or why nobody earns on this sale; and the terms that were looked at."""
    winner = decision.winner
    if winner is None:
        return decision.reason, None
    program = known.programs[winner.program_id]
    code = known.codes.get(winner.code_id) if winner.code_id else None
    program_rate = rate_of(program)
    assert program_rate is not None, "every program has a rate"
    rate, source = choose_rate(
        rate_of(code) if code is not None else None, rate_of(known.affiliates[winner.affiliate_id]), program_rate
    )
    index = known.invoice_index(sale.subscription_id, sale.occurred_at) if sale.subscription_id else 0
    terms = Terms(
        rate=rate,
        source=source,
        version=program.terms_version,
        recurring_months=program.recurring_months,
        recurring_delay_invoices=program.recurring_delay_invoices,
        invoice_index=index,
        hold_days=known.organization.payout_grace_days,
    )
    if sale.net_minor <= 0:
        return "free", terms
    renewals = Renewals(program.recurring_months, program.recurring_delay_invoices)
    refusal = renewals.refusal(index) if sale.subscription_id else None
    return refusal or CREDITED, terms


def _earn(
    context: Context, known: Known, writes: Writes, sale: Sale, sale_id: str, winner: Candidate, terms: Terms
) -> Earning:
    commission = terms.rate.commission_minor(sale.net_minor)
    currency = terms.rate.currency or sale.currency
    by_code = winner.evidence is Evidence.Code
    earning = Earning(
        conversion_id=new_id(),
        affiliate_id=winner.affiliate_id,
        commission_minor=commission,
        commission_currency=currency,
        gross_minor=sale.gross_minor,
        remaining_minor=commission,
        state="Open",
        refunded_at=None,
        sold_at=sale.occurred_at,
        held_until=sale.occurred_at + timedelta(days=terms.hold_days),
        reversed_minor={},
    )
    code = known.codes[winner.code_id].code if by_code and winner.code_id else None
    method = "coupon" if by_code else "metadata_or_customer"
    writes.conversions.append(
        {
            "id": earning.conversion_id,
            "organization_id": context.organization_id,
            "sale_id": sale_id,
            "program_id": winner.program_id,
            "affiliate_id": winner.affiliate_id,
            "code_id": winner.code_id if by_code else None,
            "code": code,
            "method": method,
            "type": "Recurring" if sale.subscription_id else "OneTime",
            "amount_minor": sale.net_minor,
            "currency": sale.currency,
            "commission_minor": commission,
            "commission_currency": currency,
            "remaining_minor": commission,
            "rate_type": terms.rate.type.value,
            "rate_value": terms.rate.value,
            "rate_source": terms.source.value,
            "terms_version": terms.version,
            "state": earning.state,
            "occurred_at": sale.occurred_at,
            "held_until": earning.held_until,
            "refunded_at": None,
        }
    )
    writes.entry(
        context,
        earning,
        kind=EntryKind.Accrual,
        amount_minor=commission,
        cause=("sale", sale.source_id, "paid"),
        cause_amount_minor=sale.net_minor,
        occurred_at=sale.occurred_at,
    )
    context.changed(
        "conversion",
        earning.conversion_id,
        after=ConversionNote(
            sale=sale.source_id,
            affiliateId=winner.affiliate_id,
            commissionCents=commission,
            currency=currency,
            method=method,
            code=code,
        ),
        action="conversion.created",
    )
    return earning


def _bind(context: Context, known: Known, writes: Writes, winner: Candidate, fact: Sale | SubscriptionStarted) -> None:
    """The customer and the subscription belong to the winner from now on, unless they belong to somebody already."""
    refs = [(SUBSCRIPTION, fact.subscription_id), (CUSTOMER, fact.customer_id)]
    for kind, ref in refs:
        if ref is None or (kind, ref) in known.bindings:
            continue
        binding = Binding(winner.affiliate_id, winner.program_id, winner.code_id, fact.occurred_at)
        known.bindings[kind, ref] = binding
        writes.bindings.append(
            {
                "organization_id": context.organization_id,
                "kind": kind,
                "ref": ref,
                "affiliate_id": binding.affiliate_id,
                "program_id": binding.program_id,
                "code_id": binding.code_id,
                "event_id": fact.event_id,
                "bound_at": binding.bound_at,
            }
        )


def _lead(context: Context, writes: Writes, winner: Candidate, sale: Sale) -> None:
    """A signup that cost nothing yet is a lead of the affiliate who brought it."""
    if sale.customer_email is not None:
        writes.leads.append(
            {
                "id": new_id(),
                "organization_id": context.organization_id,
                "program_id": winner.program_id,
                "affiliate_id": winner.affiliate_id,
                "email": sale.customer_email,
                "email_key": sale.customer_email.lower(),
                "name": sale.customer_name,
                "source": "Stripe",
                "external_event_id": None,
                "created_at": sale.occurred_at,
            }
        )


def _record(sale: Sale, decision: Decision, terms: Terms | None) -> dict[str, Any]:
    """The decision as it is kept: every claim, the rule, the evidence and the terms in force."""
    return {
        "reason": decision.reason,
        "promotionCodeIds": list(sale.promotion_code_ids),
        "candidates": [
            {
                "affiliateId": v.candidate.affiliate_id,
                "programId": v.candidate.program_id,
                "evidence": v.candidate.evidence.value,
                "reference": v.candidate.reference,
                "codeId": v.candidate.code_id,
                "since": v.candidate.since.isoformat() if v.candidate.since else None,
                "won": v.won,
                "reason": v.reason,
            }
            for v in decision.verdicts
        ],
        "terms": terms.model_dump(mode="json") if terms is not None else None,
    }
