"""A difference as people read it: what it is, what it is worth, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.money import display
from rekomi_mcp.domain.text import clean
from rekomi_mcp.operation import DETAIL, Context, Output
from rekomi_mcp.tools.attribution import why_nobody
from rekomi_mcp.tools.ingest.terms import CREDITED
from rekomi_mcp.tools.reconciling.differences import (
    AMOUNT,
    MISSING,
    NOT_CREDITED,
    ORPHAN_CODE,
    SHARED,
    Difference,
    Effect,
)

Kind = Literal["missing", "not_credited", "orphan_code", "wrong_amount", "doubled", "not_in_stripe"]
_MAX_TEXT = 100


class Finding(Output):
    kind: Kind
    stripe_id: str = Field(description="Invoice, checkout session, refund, dispute, payment or promotion code.")
    sale_id: str | None = Field(default=None, description="The sale's id in Stripe, when stripeId is not it.")
    affiliate_id: str | None = Field(default=None, json_schema_extra=DETAIL)
    affiliate_name: str | None = None
    amount: str = Field(description="For people: net of a sale, or what went back.")
    amount_cents: int = Field(json_schema_extra=DETAIL)
    currency: str = Field(json_schema_extra=DETAIL)
    commission: str | None = Field(default=None, description="What a repair would add, or take, for people.")
    commission_cents: int | None = Field(default=None, json_schema_extra=DETAIL)
    commission_currency: str | None = Field(default=None, json_schema_extra=DETAIL)
    code: str | None = Field(default=None, description="What customers type, of an orphan code.")
    times: int | None = Field(default=None, description="Sales with an orphan code.")
    at: datetime
    repairable: bool = Field(description="True when repair_missed_sales puts it right.", json_schema_extra=DETAIL)
    advice: str = Field(description="What it means, and what to do.")


class CommissionEffect(Output):
    affiliate_id: str
    affiliate_name: str
    commission: str = Field(description="For people.")
    commission_cents: int
    commission_currency: str


class Counts(Output):
    """Findings by kind."""

    missing: int = 0
    not_credited: int = 0
    orphan_code: int = 0
    wrong_amount: int = 0
    doubled: int = 0
    not_in_stripe: int = 0


_BACK = {
    "refund_succeeded": "This refund is not in the books",
    "refund_failed": "This refund failed, and the books do not know it",
    "refund_pending": "This refund is on its way and not in the books",
    "dispute_open": "This dispute is open and not in the books: the commission has to wait for its end",
    "dispute_succeeded": "This dispute was lost, and the books do not know it",
    "dispute_failed": "This dispute is over without a loss, and the books do not know it",
    "dispute_pending": "This inquiry is not in the books",
    "credit_note_succeeded": "This credit note is not in the books",
    "credit_note_failed": "This credit note was voided, and the books do not know it",
}
_REPAIR = "Put it right with repair_missed_sales."


def present(context: Context, differences: Sequence[Difference]) -> list[Finding]:
    names = _names(context, (each.affiliate_id for each in differences))
    return [_present(each, names) for each in differences]


def present_effects(context: Context, effects: Sequence[Effect]) -> list[CommissionEffect]:
    names = _names(context, (each.affiliate_id for each in effects))
    return [
        CommissionEffect(
            affiliate_id=each.affiliate_id,
            affiliate_name=names[each.affiliate_id],
            commission=display(each.amount_minor, each.currency),
            commission_cents=each.amount_minor,
            commission_currency=each.currency,
        )
        for each in effects
    ]


def count(differences: Iterable[Difference]) -> Counts:
    counted = dict.fromkeys(Counts.model_fields, 0)
    for each in differences:
        counted[each.kind] += 1
    return Counts.model_validate(counted, by_name=True)


def _names(context: Context, ids: Iterable[str | None]) -> dict[str, str]:
    return storage.affiliates.names(context.session, context.organization_id, {i for i in ids if i is not None})


def _present(each: Difference, names: dict[str, str]) -> Finding:
    earns = each.earns_currency is not None
    orphan = each.kind == ORPHAN_CODE
    return Finding.model_validate(
        {
            "kind": each.kind,
            "stripe_id": each.stripe_id,
            "sale_id": each.sale_id,
            "affiliate_id": each.affiliate_id,
            "affiliate_name": names.get(each.affiliate_id or ""),
            "amount": display(each.amount_minor, each.currency),
            "amount_cents": each.amount_minor,
            "currency": each.currency,
            "commission": display(each.earns_minor, each.earns_currency) if each.earns_currency else None,
            "commission_cents": each.earns_minor if earns else None,
            "commission_currency": each.earns_currency,
            "code": clean(each.text)[:_MAX_TEXT] if orphan and each.text else None,
            "times": each.times if orphan else None,
            "at": each.at,
            "repairable": each.mended,
            "advice": _advice(each),
        }
    )


def _advice(each: Difference) -> str:
    match each.kind:
        case "missing" | "not_credited":
            return _advice_on_sale(each)
        case "orphan_code":
            return (
                "Nobody here has this promotion code. If it is an affiliate's, give it to them with "
                "adopt_promotion_code; repair_missed_sales then credits these sales."
            )
        case "wrong_amount" if each.outcome == AMOUNT:
            return f"The books have {each.text} (net and gross in minor units), and Stripe another amount. {_REPAIR}"
        case "wrong_amount" if each.outcome == SHARED:
            return f"Its payment paid several sales: of what went back, this sale bears so much. {_REPAIR}"
        case "wrong_amount":
            return f"{_BACK[each.outcome]}. {_REPAIR}"
        case "doubled":
            return (
                f"This checkout and the invoice {each.sale_id} are one sale, and it was credited for both. {_REPAIR} The "
                "invoice keeps its commission."
            )
        case _:
            return (
                "Stripe does not have this sale as a paid one, in the account that is linked now. Check that it is the "
                "right account; if it is, this commission must not be paid."
            )


def _advice_on_sale(each: Difference) -> str:
    what = {
        MISSING: "This sale is an affiliate's and is not recorded.",
        NOT_CREDITED: "This sale is recorded and would be decided otherwise now.",
    }[each.kind]
    if each.outcome == CREDITED:
        return f"{what} {_REPAIR}"
    return f"{what} It earns nothing. {why_nobody(each.outcome)} repair_missed_sales records it."
