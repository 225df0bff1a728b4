"""The rule of the README, computed the plainest way from what Stripe knows at the end. It shares no code with the server.

It knows nothing of clicks, leads and settings: cases of the group `rekomi` are not for it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from tests.cases.case import Case

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Sale:
    """An invoice that was paid, or a session that was paid without one."""

    id: str
    at: int
    currency: str
    net: int
    gross: int
    customer: str | None
    subscription: str | None
    promotion_codes: list[str]
    """In Stripe's order: those of the session, of the invoice, of its lines."""
    payments: dict[str, Fraction]
    """Payment intents that paid it, and the part of what goes back of each that this sale bears."""
    is_between: bool = False
    """The invoice is for a change or an extra within a period: no payment that renewals are counted by."""


@dataclass(frozen=True)
class Conversion:
    source_id: str
    affiliate: str
    currency: str
    net: int
    commission: int
    remaining: int


def conversions(case: Case) -> list[Conversion]:
    """Every sale that earns, oldest first."""
    owner_of_code = {code.promotion_code: code.affiliate for code in case.seeds.codes}
    owner: dict[str, str] = {}
    paid_invoices: dict[str, int] = defaultdict(int)
    heard_since = min((delivery.event["created"] for delivery in case.deliveries), default=0)
    found: list[Conversion] = []
    for sale in _sales(case):
        known = [key for key in (sale.subscription, sale.customer) if key is not None]
        claims = [owner_of_code[code] for code in sale.promotion_codes if code in owner_of_code]
        claims += [owner[key] for key in known if key in owner]
        if claims:
            for key in known:
                owner.setdefault(key, claims[0])
        if sale.net <= 0:
            continue
        index = 0
        if sale.subscription is not None:
            index = paid_invoices[sale.subscription]
            paid_invoices[sale.subscription] += not sale.is_between
        if claims and sale.at >= heard_since and _earns(case, index):
            found.append(_conversion(case, sale, claims[0]))
    return found


def final(case: Case) -> dict[tuple[str, str], int]:
    """Net commission by affiliate and currency."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for each in conversions(case):
        sums[each.affiliate, each.currency] += each.remaining
    return dict(sums)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def _earns(case: Case, index: int) -> bool:
    """Whether the paid invoice of a subscription with this index (0 is the first) is within the program's limits."""
    after_delay = index - case.seeds.recurring_delay_invoices
    months = case.seeds.recurring_months
    return after_delay >= 0 and (months is None or after_delay <= months)


def _conversion(case: Case, sale: Sale, affiliate: str) -> Conversion:
    commission = half_up(Fraction(case.seeds.percent) * sale.net / 100)
    gone_back = min(_gone_back(case, sale), sale.gross)
    remaining = half_up(Fraction(commission * (sale.gross - gone_back), sale.gross))
    return Conversion(sale.id, affiliate, sale.currency, sale.net, commission, remaining)


def _gone_back(case: Case, sale: Sale) -> Fraction:
    """Succeeded refunds, lost disputes, and what credit notes gave back in other ways than by a refund."""
    refunds = [_borne(sale, each) for each in _paid_by(case, "refund", sale) if each["status"] == "succeeded"]
    disputes = [_borne(sale, each) for each in _paid_by(case, "dispute", sale) if each["status"] == "lost"]
    notes = [
        note["post_payment_amount"] - sum(part["amount_refunded"] for part in note["refunds"])
        for note in case.api_state.get("credit_note", [])
        if note["invoice"] == sale.id and note["status"] == "issued"
    ]
    return sum([*refunds, *disputes], Fraction(sum(notes)))


def _borne(sale: Sale, given_back: JsonObject) -> Fraction:
    return given_back["amount"] * sale.payments[given_back["payment_intent"]]


def _paid_by(case: Case, kind: str, sale: Sale) -> list[JsonObject]:
    return [each for each in case.api_state.get(kind, []) if each["payment_intent"] in sale.payments]


def _sales(case: Case) -> list[Sale]:
    invoices = [_of_invoice(case, each) for each in case.api_state.get("invoice", []) if each["status"] == "paid"]
    sessions = [
        _of_session(case, each)
        for each in case.api_state.get("checkout.session", [])
        if each["payment_status"] == "paid"
        and not any(_is_of(case, each, i) for i in case.api_state.get("invoice", []))
    ]
    return sorted([*invoices, *sessions], key=lambda sale: sale.at)


def _of_invoice(case: Case, invoice: JsonObject) -> Sale:
    parent: JsonObject | None = invoice["parent"]
    began_here = [each for each in case.api_state.get("checkout.session", []) if _is_of(case, each, invoice)]
    of_lines = [discount for line in invoice["lines"]["data"] for discount in line["discounts"]]
    return Sale(
        id=invoice["id"],
        at=invoice["status_transitions"]["paid_at"],
        currency=invoice["currency"],
        net=invoice["total_excluding_tax"],
        gross=invoice["total"],
        customer=invoice["customer"],
        subscription=parent["subscription_details"]["subscription"] if parent else None,
        promotion_codes=[
            *(code for session in began_here for code in _typed(session)),
            *_codes_of(case, [*invoice["discounts"], *of_lines]),
        ],
        payments={intent: _share(case, intent, invoice) for intent in _intents_of(case, invoice)},
        is_between=invoice["billing_reason"] in ("subscription_update", "manual") and not _begins_a_period(invoice),
    )


def _begins_a_period(invoice: JsonObject) -> bool:
    """Whether one of its lines bills an item of the subscription in full."""
    parents = [line["parent"]["subscription_item_details"] for line in invoice["lines"]["data"] if line["amount"] > 0]
    return any(parent is not None and not parent["proration"] for parent in parents)


def _intents_of(case: Case, invoice: JsonObject) -> set[str]:
    payments = case.api_state.get("invoice_payment", [])
    return {each["payment"]["payment_intent"] for each in payments if each["invoice"] == invoice["id"]}


def _share(case: Case, intent: str, invoice: JsonObject) -> Fraction:
    """What of all that the payment paid went into this invoice."""
    put = [each for each in case.api_state["invoice_payment"] if each["payment"]["payment_intent"] == intent]
    here = sum(each["amount_paid"] for each in put if each["invoice"] == invoice["id"])
    return Fraction(here, sum(each["amount_paid"] for each in put))


def _is_of(case: Case, session: JsonObject, invoice: JsonObject) -> bool:
    """Whether the two are one sale: the session names its invoice, or one payment paid both."""
    return session["invoice"] == invoice["id"] or session["payment_intent"] in _intents_of(case, invoice)


def _of_session(case: Case, session: JsonObject) -> Sale:
    told = [event["created"] for event in case.api_state["event"] if event["data"]["object"].get("id") == session["id"]]
    details = session["total_details"]
    return Sale(
        id=session["id"],
        at=max(told, default=session["created"]),
        currency=session["currency"],
        net=session["amount_total"] - details["amount_tax"] - details["amount_shipping"],
        gross=session["amount_total"],
        customer=session["customer"],
        subscription=None,
        promotion_codes=_typed(session),
        payments={session["payment_intent"]: Fraction(1)},
    )


def _typed(session: JsonObject) -> list[str]:
    return [each["promotion_code"] for each in session["discounts"] if each["promotion_code"]]


def _codes_of(case: Case, discount_ids: list[str]) -> list[str]:
    """The promotion codes of these discounts, in their order; a coupon without a code has none."""
    by_id = {each["id"]: each["promotion_code"] for each in case.api_state.get("discount", [])}
    return [by_id[each] for each in discount_ids if by_id.get(each)]
