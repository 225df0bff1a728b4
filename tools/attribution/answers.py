"""What an explanation says, and how a kept decision becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.attribution import NO_CLAIM
from rekomi_mcp.domain.commission import CommissionType, Rate
from rekomi_mcp.domain.money import display
from rekomi_mcp.operation import Context, Output
from rekomi_mcp.tools.attribution.words import words_of
from rekomi_mcp.tools.fields import Mode
from rekomi_mcp.tools.rates import in_words

if TYPE_CHECKING:
    from rekomi_mcp.storage.explanations import SaleView


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


class SaleLine(Output):
    source_id: str
    occurred_at: datetime
    amount: str
    outcome: str
    affiliate_name: str | None = None


class ExplanationOutput(Output):
    explanation: str = Field(description="The answer in words.")
    outcome: str = Field(description="credited, or why nobody earned; no_sale when there is none.")
    conversion_id: str | None = None
    affiliate_id: str | None = None
    affiliate_name: str | None = None
    commission: str | None = Field(default=None, description="What is left of it now.")
    commission_cents: int | None = Field(default=None, description="As earned at the sale.")
    remaining_commission_cents: int | None = None
    commission_currency: str | None = None
    source: Literal["invoice", "checkout_session", "server"] | None = None
    source_id: str | None = None
    amount: str | None = Field(default=None, description="Net of discount and tax: the base of the commission.")
    amount_cents: int | None = None
    currency: str | None = None
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    promotion_code_ids: list[str] = Field(description="All that were redeemed, ours or not.")
    event_id: str | None = Field(
        default=None, description="What brought it: a Stripe event, a repair (reconcile:) or a server (server:)."
    )
    occurred_at: datetime | None = None
    terms: TermsOutput | None = None
    other_sales: list[SaleLine] = Field(description="Of the same customer, code or payment, newest first.")
    candidates: list[ClaimOutput] = Field(description="Everyone with a claim, strongest first.")
    stripe_mode: Mode


def present(context: Context, sale: SaleView, *others: SaleView, about: str = "") -> ExplanationOutput:
    """The explanation of one sale; `about` goes before it, of what was asked after."""
    decision, winner = sale.decision, sale.winner
    claims: list[dict[str, Any]] = decision["candidates"]
    winners = [row.winner for row in others]
    words = _words(context, (sale, *others), [*claims, *filter(None, winners)])
    # When nobody could earn, whoever had the strongest claim.
    first = winner or next(iter(claims), None)
    affiliate, terms = words[first["affiliateId"]] if first else None, _terms(decision["terms"])
    text = words_of(sale, affiliate, terms and terms.commission, _adopted(context, sale), _begun_with(context, sale))
    earned = sale.conversion_id is not None
    return ExplanationOutput.model_validate(
        {
            "explanation": f"{about} {text}" if about else text,
            "outcome": sale.outcome,
            "conversion_id": sale.conversion_id,
            "affiliate_id": winner["affiliateId"] if winner else None,
            "affiliate_name": affiliate if winner else None,
            "commission": display(sale.remaining_minor, sale.commission_currency) if earned else None,
            "commission_cents": sale.commission_minor,
            "remaining_commission_cents": sale.remaining_minor,
            "commission_currency": sale.commission_currency,
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
            "other_sales": [
                {
                    "source_id": row.source_id,
                    "occurred_at": row.occurred_at,
                    "amount": display(row.net_minor, row.currency),
                    "outcome": row.outcome,
                    "affiliate_name": words[won["affiliateId"]] if won else None,
                }
                for row, won in zip(others, winners, strict=True)
            ],
            "candidates": [
                {
                    "affiliate_id": c["affiliateId"],
                    "affiliate_name": words[c["affiliateId"]],
                    "evidence": c["evidence"],
                    "reference": c["reference"],
                    "code": words[c["codeId"]] if c["codeId"] else None,
                    "since": c["since"],
                    "won": c["won"],
                    "reason": c["reason"],
                }
                for c in claims
            ],
            "stripe_mode": context.mode,
        }
    )


def _adopted(context: Context, sale: SaleView) -> list[str]:
    """The codes of a sale nobody could claim that have become somebody's since."""
    if sale.outcome != NO_CLAIM:
        return []
    promotion_codes = sale.decision["promotionCodeIds"]
    found = storage.explanations.texts_of_codes(context.session, context.organization_id, promotion_codes)
    return [found[each] for each in promotion_codes if each in found]


def _begun_with(context: Context, sale: SaleView) -> str | None:
    """The code with which the customer of a sale nobody could claim had begun a subscription: somebody's by now."""
    if sale.outcome != NO_CLAIM or sale.customer_id is None:
        return None
    return storage.subscription_starts.code_adopted_since(
        context.session, context.organization_id, sale.customer_id, sale.occurred_at
    )


def no_sale(context: Context, about: str) -> ExplanationOutput:
    """The answer when nothing was sold yet."""
    return ExplanationOutput.model_validate(
        {
            "explanation": about,
            "outcome": "no_sale",
            "promotion_code_ids": [],
            "other_sales": [],
            "candidates": [],
            "stripe_mode": context.mode,
        }
    )


def _words(context: Context, sales: Sequence[SaleView], claims: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What to call the affiliates and codes of these claims, by id. Most came with the sales."""
    words: dict[Any, Any] = {}
    for sale in sales:
        words |= {sale.affiliate_id: sale.affiliate_name, sale.code_id: sale.code}
    wanted = {claim[key] for claim in claims for key in ("affiliateId", "codeId")}
    missing = wanted - {None, *words}
    return words | storage.explanations.words(context.session, context.organization_id, missing)


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
