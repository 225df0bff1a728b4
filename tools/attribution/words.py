"""A decision in words: who earned by what, or why nobody did and what would have to be otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rekomi_mcp.domain.money import display

if TYPE_CHECKING:
    from rekomi_mcp.storage.explanations import SaleView

_EVIDENCE = {
    "named": "your own server named them",
    "code": "their code was redeemed on this sale",
    "click": "the customer had come by their link",
    "subscription": "the subscription was theirs before",
    "customer": "the customer was theirs already, by an earlier sale or the beginning of a subscription",
    "lead": "they had brought a signup with the same e-mail address",
}
WHY_NOBODY = {
    "no_claim": "No affiliate had a claim: no affiliate's code was redeemed, the customer is not known to have come by an "
    "affiliate's link, and neither the subscription, the customer nor the e-mail address belonged to an affiliate.",
    "free": "Nothing was charged on it, tax and shipping aside, so there is nothing to earn on. It counts as a signup that the "
    "affiliate brought: later sales are decided with it, and the program's terms say which of them earn.",
    "nothing_paid": "Nothing was charged on it, tax and shipping aside: the customer had paid before, and got a credit or a "
    "free period.",
    "recurring_months_over": "The program's recurringMonths for this subscription are used up.",
    "recurring_delay": "The program skips the first paid invoices (recurringDelayInvoices).",
    "self_purchase": "The buyer is the affiliate: the sale was flagged and earns nothing; the program's "
    "allowSelfPurchases would let it earn.",
    "duplicate": "An invoice was written for the same payment: they are one sale, and what is decided on the invoice counts.",
    "window_expired": "The click was older than the program's cookieWindowDays.",
    "coupon_archived": "The campaign coupon of the code was archived here before.",
    "program_archived": "The program was archived by then.",
    "program_inactive": "The program was switched off then.",
}

_BY_ITS_NUMBER = ("recurring_months_over", "recurring_delay")


def why_nobody(outcome: str) -> str:
    """What a sale's outcome means, when it is not that somebody was credited."""
    status = outcome.removeprefix("affiliate_")
    return WHY_NOBODY.get(outcome) or f"The affiliate with the claim was {status} then and could not earn."


def words_of(
    sale: SaleView, affiliate: str | None, rate: str | None, adopted: Sequence[str], begun_with: str | None
) -> str:
    """One sale.

    Args:
        affiliate: the name of whoever won, or else had the strongest claim.
        rate: the rate in force.
        adopted: codes it carried, nobody's when it was decided, that are somebody's now.
        begun_with: such a code, with which its customer had begun a subscription before.
    """
    paid = f"{display(sale.net_minor, sale.currency)} net of discount and tax"
    winner = sale.winner
    if sale.conversion_id is None or winner is None or sale.outcome != "credited":
        if sale.double_of is not None:
            return f"This checkout of {paid} earns nothing by itself. {why_nobody('duplicate')} See {sale.double_of}."
        return f"Nobody earned on this sale of {paid}. {_why_not(sale, affiliate, adopted, begun_with)}"
    earned = display(sale.commission_minor, sale.commission_currency)
    text = (
        f"{affiliate} earned {earned} on a sale of {paid}, because {_EVIDENCE[winner['evidence']]}. "
        f"Rate: {rate}, from the {sale.decision['terms']['source']}."
    )
    if sale.remaining_minor != sale.commission_minor:
        left = display(sale.remaining_minor, sale.commission_currency)
        text += f" Of that {left} is left after what went back to the customer."
    if sale.on_hold_minor:
        text += " A dispute is open, so it is not paid until that is decided."
    return text


def _unknown(referral: dict[str, Any]) -> str:
    """What the sale itself said of who brought it, which led to nobody."""
    told = referral["click_id"] or referral["slug"]
    return f" It came with the reference {told}, which was no click and no affiliate's link here then." if told else ""


def _why_not(sale: SaleView, affiliate: str | None, adopted: Sequence[str], begun_with: str | None) -> str:
    if adopted:
        return (
            f"The code {adopted[0]} was redeemed, which was nobody's here then and is an affiliate's now: decide the "
            "sale again with repair_missed_sales."
        )
    if begun_with is not None:
        return (
            f"The customer had begun a subscription with the code {begun_with}, which was nobody's here then and is an "
            "affiliate's now: decide the sale again with repair_missed_sales."
        )
    codes = sale.decision["promotionCodeIds"]
    if sale.outcome == "no_claim" and codes:
        return (
            f"A code was redeemed that is nobody's here ({', '.join(codes)}): see list_adoptable_codes, give it to an "
            "affiliate with adopt_promotion_code, then decide past sales again with repair_missed_sales."
        )
    if sale.outcome == "no_claim" and sale.referral is not None:
        return f"{why_nobody(sale.outcome)}{_unknown(sale.referral)}"
    if sale.outcome.startswith("affiliate_"):
        return f"{affiliate} had the claim, but was {sale.outcome.removeprefix('affiliate_')} then and could not earn."
    if sale.outcome in _BY_ITS_NUMBER:
        # Not which payment it was itself: an extra between two of them is none.
        number = sale.decision["terms"]["invoice_index"]
        counted = f"Payments of its subscription before it, also from before this server knew of it: {number}."
        return f"{why_nobody(sale.outcome)} {counted}"
    return why_nobody(sale.outcome)
