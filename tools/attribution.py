"""Why a sale was credited as it was, or to nobody: told from the decision kept with the sale."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.commission import CommissionType, Rate
from rekomi_mcp.domain.errors import InvalidInput, NotFound
from rekomi_mcp.domain.money import display
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools.fields import Id, Mode, StripeId
from rekomi_mcp.tools.rates import in_words

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import ConversionRow, SaleRow

_EVIDENCE = {
    "named": "your own server named them",
    "code": "their code was redeemed on this sale",
    "click": "the customer had come by their link",
    "subscription": "the subscription was theirs before",
    "customer": "an earlier sale to the same customer was theirs",
    "lead": "they had brought a signup with the same e-mail address",
}
WHY_NOBODY = {
    "no_claim": "No affiliate had a claim: no code of yours was redeemed, and neither the subscription, the customer nor "
    "the e-mail address belonged to an affiliate.",
    "free": "Nothing was charged yet; the signup was kept as a lead, and the first paid invoice will earn.",
    "recurring_months_over": "The program's recurringMonths for this subscription are used up.",
    "recurring_delay": "The program skips the first paid invoices (recurringDelayInvoices).",
    "self_purchase": "The affiliate bought it himself, so it was flagged and earns nothing; the program's "
    "allowSelfPurchases would let it earn.",
    "window_expired": "The click was older than the program's cookieWindowDays.",
    "program_archived": "The program is archived.",
    "program_inactive": "The program is switched off.",
}


class ClaimOutput(Output):
    affiliate_id: str
    affiliate_name: str
    evidence: Literal["named", "code", "click", "subscription", "customer", "lead"]
    reference: str = Field(description="What the claim rests on: promotion code, click, subscription, customer, lead.")
    code: str | None = None
    since: datetime | None = None
    won: bool
    reason: str = Field(description="The rule that let it win or lose.")


class TermsOutput(Output):
    commission: str = Field(description="The rate in force, in words.")
    rate_source: Literal["code", "affiliate", "program"]
    terms_version: int
    recurring_months: int | None = None
    recurring_delay_invoices: int
    invoice_index: int = Field(description="Paid invoices of the subscription before this one.")
    hold_days: int


class ExplanationOutput(Output):
    explanation: str = Field(description="The answer in words.")
    outcome: str = Field(description="credited, or why nobody earned.")
    conversion_id: str | None = None
    affiliate_id: str | None = None
    affiliate_name: str | None = None
    commission: str | None = Field(default=None, description="What is left of it now.")
    commission_cents: int | None = Field(default=None, description="As earned at the sale, in minor units.")
    commission_currency: str | None = None
    source: Literal["invoice", "checkout_session", "server"]
    source_id: str
    amount: str = Field(description="Net of discount and tax: the base of the commission.")
    amount_cents: int
    currency: str
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    promotion_code_ids: list[str] = Field(description="All that were redeemed, ours or not.")
    event_id: str = Field(description="The Stripe event that brought the sale.")
    occurred_at: datetime
    terms: TermsOutput | None = None
    candidates: list[ClaimOutput] = Field(description="Everyone with a claim, strongest first.")
    stripe_mode: Mode


class ExplainInput(Input):
    conversion_id: Id | None = Field(default=None, description="A credited sale, from list_conversions.")
    source_id: StripeId | None = Field(
        default=None, description="Any sale: its Stripe invoice (in_…) or session (cs_…), or your own id."
    )


def _explain(context: Context, request: ExplainInput) -> ExplanationOutput:
    sale, conversion = _find(context, request)
    decision = sale.decision
    candidates: list[dict[str, Any]] = decision["candidates"]
    names = storage.affiliates.names(context.session, context.organization_id, (c["affiliateId"] for c in candidates))
    code_ids = {c["codeId"] for c in candidates if c["codeId"]}
    codes = storage.codes.by_ids(context.session, context.organization_id, code_ids)
    winner = next((c for c in candidates if c["won"]), None)
    terms = _terms(decision["terms"])
    return ExplanationOutput.model_validate(
        {
            "explanation": _words(sale, conversion, winner, names, terms),
            "outcome": sale.outcome,
            "conversion_id": conversion.id if conversion else None,
            "affiliate_id": winner["affiliateId"] if winner else None,
            "affiliate_name": names[winner["affiliateId"]] if winner else None,
            "commission": display(conversion.remaining_minor, conversion.commission_currency) if conversion else None,
            "commission_cents": conversion.commission_minor if conversion else None,
            "commission_currency": conversion.commission_currency if conversion else None,
            "source": sale.source,
            "source_id": sale.source_id,
            "amount": display(sale.net_minor, sale.currency),
            "amount_cents": sale.net_minor,
            "currency": sale.currency,
            "stripe_customer_id": sale.customer_id,
            "stripe_subscription_id": sale.subscription_id,
            "promotion_code_ids": decision["promotionCodeIds"],
            "event_id": sale.event_id,
            "occurred_at": sale.occurred_at,
            "terms": terms,
            "candidates": [
                {
                    "affiliate_id": c["affiliateId"],
                    "affiliate_name": names[c["affiliateId"]],
                    "evidence": c["evidence"],
                    "reference": c["reference"],
                    "code": codes[c["codeId"]].code if c["codeId"] else None,
                    "since": c["since"],
                    "won": c["won"],
                    "reason": c["reason"],
                }
                for c in candidates
            ],
            "stripe_mode": context.mode,
        }
    )


def _find(context: Context, request: ExplainInput) -> tuple[SaleRow, ConversionRow | None]:
    session, organization_id = context.session, context.organization_id
    if (request.conversion_id is None) is (request.source_id is None):
        raise InvalidInput("Give exactly one of conversionId and sourceId.", field="conversionId")
    if request.conversion_id is not None:
        conversion = storage.conversions.get(session, organization_id, request.conversion_id)
        if conversion is None:
            raise NotFound("No conversion has this id. Find it with list_conversions.", field="conversionId")
        sale = storage.sales.get(session, organization_id, conversion.sale_id)
        assert sale is not None, "a conversion's sale is guarded by a foreign key"
        return sale, conversion
    sale = storage.sales.by_source_id(session, organization_id, str(request.source_id))
    if sale is None:
        raise NotFound(
            "No sale of this Stripe id has arrived. Run `rekomi-mcp sync` to read Stripe's events now.",
            field="sourceId",
        )
    return sale, storage.sales.conversions_of(session, [sale.id]).get(sale.id)


def _terms(kept: dict[str, Any] | None) -> TermsOutput | None:
    if kept is None:
        return None
    rate = Rate(CommissionType(kept["rate"]["type"]), kept["rate"]["value"], kept["rate"]["currency"])
    return TermsOutput.model_validate(
        {
            "commission": in_words(rate),
            "rate_source": kept["source"],
            "terms_version": kept["version"],
            "recurring_months": kept["recurring_months"],
            "recurring_delay_invoices": kept["recurring_delay_invoices"],
            "invoice_index": kept["invoice_index"],
            "hold_days": kept["hold_days"],
        }
    )


def why_nobody(outcome: str) -> str:
    """What a sale's outcome means, when it is not that somebody was credited."""
    status = outcome.removeprefix("affiliate_")
    return WHY_NOBODY.get(outcome) or f"The affiliate with the claim was {status} and could not earn."


def _words(
    sale: SaleRow,
    conversion: ConversionRow | None,
    winner: dict[str, Any] | None,
    names: dict[str, str],
    terms: TermsOutput | None,
) -> str:
    paid = f"{display(sale.net_minor, sale.currency)} net of discount and tax"
    if conversion is None or winner is None or terms is None:
        return f"Nobody earned on this sale of {paid}. {why_nobody(sale.outcome)}"
    earned = display(conversion.commission_minor, conversion.commission_currency)
    text = (
        f"{names[winner['affiliateId']]} earned {earned} on a sale of {paid}, because {_EVIDENCE[winner['evidence']]}. "
        f"Rate: {terms.commission}, from the {terms.rate_source}."
    )
    if conversion.remaining_minor != conversion.commission_minor:
        left = display(conversion.remaining_minor, conversion.commission_currency)
        text += f" After refunds {left} is left."
    return text


EXPLAIN_ATTRIBUTION = Operation(
    name="explain_attribution",
    title="Explain attribution",
    summary="Tell why a sale was credited to an affiliate, or to nobody: every claim, the rule, the evidence, the terms.",
    usage="For a sale that earned nobody anything give its Stripe id as sourceId; to find sales use list_conversions.",
    toolset="sales",
    input=ExplainInput,
    output=ExplanationOutput,
    handler=_explain,
    route=Route("GET", "/api/v1/attribution"),
    scope=Scope.READ,
)
