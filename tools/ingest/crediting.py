"""A sale becomes a decision, and when somebody earned: a conversion, its ledger entry and a binding.

A decision rests on what happened before the sale, not on what had arrived. So when news of an earlier time comes later,
the sales it may change are decided again, and what another affiliate had been credited is taken back.
"""

from __future__ import annotations

from dataclasses import replace

from rekomi_mcp.domain.attribution import NO_CLAIM, Candidate, Decision, decide
from rekomi_mcp.domain.sales import EarlierPayment, Payment, Sale, SaleSource
from rekomi_mcp.operation import Context
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.ingest.binding import bind, origin_of_sale, unbind
from rekomi_mcp.tools.ingest.claims import claims_on_sale
from rekomi_mcp.tools.ingest.earning import earn, retract
from rekomi_mcp.tools.ingest.known import Known, Lead, Recorded, as_of, key_of
from rekomi_mcp.tools.ingest.reversing import link_payment, settle_all, settle_shared
from rekomi_mcp.tools.ingest.terms import CREDITED, FREE, SELF_PURCHASE, Terms, outcome_of
from rekomi_mcp.tools.ingest.writes import Writes


def credit(context: Context, known: Known, writes: Writes, sale: Sale) -> None:
    """Record one sale, or what is new about a recorded one; another amount only where the batch corrects."""
    key = key_of(sale)
    recorded = known.recorded.get(key)
    if recorded is None:
        recorded = known.recorded[key] = Recorded(new_id(), sale, row=None)
        writes.new_sale(context, recorded)
        if known.count_as_sale(sale):
            writes.no_earlier_payment(sale)
        _note_double(known, recorded)
        _begin_as_its_checkout(known, recorded)
        _decide(context, known, writes, recorded)
        if sale.subscription_id is not None and sale.is_counted and sale.net_minor > 0:
            known.note_paid(sale.subscription_id, sale.occurred_at)
    else:
        _learn(context, known, writes, recorded, sale)
    for payment in sale.payments:
        link_payment(context, known, writes, payment, key)
    for invoice in known.doubles.get(key, ()):
        for payment_id in sorted(known.payments.of(key)):
            link_payment(context, known, writes, Payment(payment_id), invoice)
    settle_shared(context, known, writes, key)


def note_earlier_payment(context: Context, known: Known, writes: Writes, fact: EarlierPayment) -> None:
    """Count what was paid of a subscription before, unless it is counted already."""
    is_sale = (SaleSource.Invoice.value, fact.invoice_id) in known.recorded
    if not is_sale and fact.invoice_id not in known.paid_before:
        known.note_paid_before(fact.subscription_id, fact.invoice_id, fact.occurred_at)
        writes.earlier_payment(context, fact)


def _learn(context: Context, known: Known, writes: Writes, recorded: Recorded, told: Sale) -> None:
    """Decide a recorded sale again where more of it is told."""
    before, merged = recorded.sale, _merged(recorded.sale, told)
    if known.corrects:
        merged = _with_amounts_of(merged, told)
    is_double_now = _note_double(known, recorded)
    is_corrected = merged.amounts != before.amounts
    if merged != before or recorded.outcome == NO_CLAIM or is_double_now or _has_new_code(known, recorded):
        if merged.customer_email != before.customer_email and recorded.outcome == FREE and recorded.winner is not None:
            _take_lead_back(known, writes, before, recorded.winner["affiliateId"])
        recorded.sale = merged
        _begin_as_its_checkout(known, recorded)
        _decide(context, known, writes, recorded, is_corrected=is_corrected)
    if is_corrected:
        known.note_corrected(before, merged)


def _has_new_code(known: Known, recorded: Recorded) -> bool:
    """Whether it was redeemed with a code that has become an affiliate's since it was decided."""
    weighed = {claim["reference"] for claim in recorded.decision["candidates"]}
    return any(p in known.codes_by_promotion and p not in weighed for p in recorded.sale.promotion_code_ids)


def credit_again(context: Context, known: Known, writes: Writes, recorded: Recorded) -> None:
    """Decide a stored sale again, when the batch brought news of an earlier time."""
    if known.is_touched(recorded.sale):
        _decide(context, known, writes, recorded)


def _note_double(known: Known, recorded: Recorded) -> bool:
    """Whether it comes out now that the sale is an invoice's too. Once it has, it stays so.

    Of several invoices that its payment is put on one is named, whichever came first.
    """
    invoices = [source_id for _, source_id in known.doubles.get(key_of(recorded.sale), ())]
    first = min(filter(None, (*invoices, recorded.double_of)), default=None)
    if first == recorded.double_of:
        return False
    recorded.decision = {**recorded.decision, "doubleOf": first}
    return True


def _begin_as_its_checkout(known: Known, recorded: Recorded) -> None:
    """An invoice that nobody has won yet keeps what its checkout was decided for, and on which terms.

    Past terms are not known of a time before the affiliate or the program was here: then those of now counted.
    """
    key = key_of(recorded.sale)
    checkouts = [known.recorded[c] for c, invoices in known.doubles.items() if key in invoices and c in known.recorded]
    # Of several it is decided as of the first, and what was in force at another is nothing to it.
    won = [c for c in checkouts if c.winner is not None and c.sale.occurred_at == recorded.sale.earned_at]
    if won and recorded.winner is None:
        first = min(won, key=lambda checkout: checkout.sale.source_id)
        kept = {name: value for name, value in first.decision.items() if name != "doubleOf"}
        recorded.decision = {**kept, "asOf": as_of(recorded.sale)}


def _merged(known: Sale, told: Sale) -> Sale:
    """A sale with what any of its events said: the checkout knows codes and clicks that the invoice does not repeat."""
    # One that comes with all that is known of its checkouts goes first.
    first, other = (known, told) if told.begun_at is None else (told, known)
    codes = told.promotion_code_ids
    if first is told or not set(known.promotion_code_ids) < set(codes):
        codes = tuple(dict.fromkeys((*first.promotion_code_ids, *other.promotion_code_ids)))
    return replace(
        known,
        promotion_code_ids=codes,
        begun_at=min(filter(None, (known.begun_at, told.begun_at)), default=None),
        referral=told.referral.merged(known.referral) if told.referral is not None else known.referral,
        customer_id=known.customer_id or told.customer_id,
        customer_email=first.customer_email or other.customer_email,
    )


def _with_amounts_of(known: Sale, told: Sale) -> Sale:
    """A sale on the amounts that Stripe says now."""
    return replace(known, currency=told.currency, net_minor=told.net_minor, gross_minor=told.gross_minor)


def _decide(context: Context, known: Known, writes: Writes, recorded: Recorded, *, is_corrected: bool = False) -> None:
    sale, before = recorded.sale, recorded.winner
    decided_for = before["affiliateId"] if before is not None else None
    decision, seen = _decision(known, recorded, decided_for)
    outcome, terms = outcome_of(known, seen, decision, recorded)
    was_credited = recorded.outcome in (CREDITED, SELF_PURCHASE)
    is_same = bool(recorded.outcome) and _gist(decision.winner, outcome, terms) == _kept_gist(recorded)
    is_same = is_same and not is_corrected
    recorded.revision += bool(recorded.outcome) and not is_same
    if recorded.outcome == FREE and decided_for is not None and not is_same:
        _take_lead_back(known, writes, sale, decided_for)
    recorded.outcome, recorded.decision = outcome, _record(recorded, seen, decision, terms)
    # Also when it comes to the same: a later decision must know the codes and the customer that were told meanwhile.
    writes.sale(context, recorded)
    for promotion_code_id in _uncredited(sale, decision.winner):
        writes.sale_code(context, promotion_code_id, recorded.id)
    if decided_for is not None:
        unbind(context, known, writes, seen, is_won=decision.winner is not None)
    if decision.winner is not None:
        bind(context, known, writes, decision.winner, seen, origin_of_sale(seen))
        if outcome == FREE:
            _lead(context, known, writes, decision.winner, sale)
    if is_same:
        return
    if outcome in (CREDITED, SELF_PURCHASE):
        assert decision.winner is not None and terms is not None
        earn(context, known, writes, recorded, decision.winner, terms)
        settle_all(context, known, writes, key_of(sale))
    elif was_credited:
        retract(context, writes, recorded)


def _decision(known: Known, recorded: Recorded, decided_for: str | None) -> tuple[Decision, Sale]:
    """Who has a claim, and the sale as of the time at which they had it: of its checkout, or else of its own."""
    sale = recorded.sale
    decision = _decision_on(known, recorded, sale, decided_for)
    if decision.winner is not None or sale.begun_at is None:
        return decision, sale
    own = replace(sale, begun_at=None)
    return _decision_on(known, recorded, own, decided_for), own


def _decision_on(known: Known, recorded: Recorded, seen: Sale, decided_for: str | None) -> Decision:
    kept = decided_for if recorded.as_of == as_of(seen) else None
    return decide(list(claims_on_sale(known, seen, origin_of_sale(seen), kept)))


def _gist(winner: Candidate | None, outcome: str, terms: Terms | None) -> tuple[object, ...]:
    """What makes two decisions the same: who earns, by what, at which rate, and whether."""
    if winner is None or terms is None:
        return (outcome,)
    rate = terms.rate.type.value, terms.rate.value, terms.rate.currency
    return outcome, winner.affiliate_id, winner.evidence.value, winner.reference, winner.code_id, *rate


def _kept_gist(recorded: Recorded) -> tuple[object, ...]:
    winner, terms = recorded.winner, recorded.decision.get("terms")
    if winner is None or terms is None:
        return (recorded.outcome,)
    rate = terms["rate"]["type"], terms["rate"]["value"], terms["rate"]["currency"]
    claim = winner["affiliateId"], winner["evidence"], winner["reference"], winner["codeId"]
    return recorded.outcome, *claim, *rate


def _uncredited(sale: Sale, winner: Candidate | None) -> list[str]:
    """The codes it carried besides the one that won."""
    return [p for p in sale.promotion_code_ids if winner is None or p != winner.reference]


def _lead(context: Context, known: Known, writes: Writes, winner: Candidate, sale: Sale) -> None:
    """A signup that cost nothing yet is a lead of the affiliate who brought it."""
    if sale.customer_email is None:
        return
    email_key = sale.customer_email.lower()
    of_affiliate = [lead for lead in known.leads.get(email_key, ()) if lead.affiliate_id == winner.affiliate_id]
    if any(lead.is_of_sale and lead.since <= sale.occurred_at for lead in of_affiliate):
        return
    lead_id = of_affiliate[0].id if of_affiliate else new_id()
    lead = Lead(lead_id, winner.affiliate_id, winner.program_id, sale.occurred_at, is_of_sale=True)
    writes.lead(context, lead, sale, is_new=not of_affiliate)
    known.note_lead(email_key, lead)


def _take_lead_back(known: Known, writes: Writes, sale: Sale, affiliate_id: str) -> None:
    """The signup was another's after all. A later one of the same affiliate is found again, for it is decided again."""
    email_key = (sale.customer_email or "").lower()
    of_affiliate = [lead for lead in known.leads.get(email_key, ()) if lead.affiliate_id == affiliate_id]
    lead = next((lead for lead in of_affiliate if lead.is_of_sale), None)
    if lead is not None and lead.since == sale.occurred_at and not _has_twin(known, sale, email_key, affiliate_id):
        known.forget_lead(email_key, lead)
        writes.gone_lead(lead, is_recorded=len(of_affiliate) > 1)


def _has_twin(known: Known, sale: Sale, email_key: str, affiliate_id: str) -> bool:
    """Whether another sale of the same second is the same signup."""
    return any(
        each.outcome == FREE
        and each.winner is not None
        and each.winner["affiliateId"] == affiliate_id
        and each.sale.occurred_at == sale.occurred_at
        and (each.sale.customer_email or "").lower() == email_key
        for key, each in known.recorded.items()
        if key != key_of(sale)
    )


def _record(recorded: Recorded, seen: Sale, decision: Decision, terms: Terms | None) -> dict[str, object]:
    """The decision as it is kept: every claim, the rule, the evidence and the terms in force."""
    double = {"doubleOf": recorded.double_of} if recorded.double_of is not None else {}
    begun = {"begunAt": as_of(recorded.sale), "asOf": as_of(seen)} if recorded.sale.begun_at is not None else {}
    return {
        **double,
        **begun,
        "reason": decision.reason,
        "promotionCodeIds": list(recorded.sale.promotion_code_ids),
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
