"""Adopting: promotion codes that are in Stripe already become affiliates' codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.commission import CommissionType
from rekomi_mcp.domain.errors import CodeAlreadyTaken, InvalidInput, NotFound, StatusConflict
from rekomi_mcp.domain.text import clean
from rekomi_mcp.gateways.stripe_codes import FoundCode, FoundCoupon, found_code
from rekomi_mcp.operation import Context, Input, Inquiry, Operation, Question, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.affiliate_codes import CodeOutput, present_many
from rekomi_mcp.tools.campaign_coupons import GROWTH
from rekomi_mcp.tools.custom_rates import custom_rate, require_pair
from rekomi_mcp.tools.fields import Currency, Id, Number, StripeId

if TYPE_CHECKING:
    from rekomi_mcp.domain.commission import Rate
    from rekomi_mcp.domain.discounts import Discount
    from rekomi_mcp.gateways.stripe import StripeAccount
    from rekomi_mcp.storage.tables import AffiliateCodeRow, AffiliateRow, CampaignCouponRow

_PROMOTION_CODE_ID = re.compile(r"promo_[A-Za-z0-9_]+", re.ASCII)
"""Stripe's own form: nothing else becomes a part of an address at Stripe."""
_NAME_LENGTH = 120


class AdoptCodeInput(Input):
    affiliate_id: Id = Field(description="From list_affiliates; must be Approved.")
    promotion_code_id: StripeId = Field(description="promo_…, from list_adoptable_codes.")
    custom_commission_type: CommissionType | None = Field(default=None, description="Goes before all others.")
    custom_commission_value: Number | None = Field(default=None, description="Percent, or the fixed amount.")
    custom_commission_currency: Currency | None = Field(default=None, description="Of a Fixed commission.")

    @model_validator(mode="after")
    def _pairs(self) -> AdoptCodeInput:
        require_pair(self, "custom_commission_type", "custom_commission_value")
        return self


class AdoptQuestion(Question):
    """The promotion code to look up."""

    promotion_code_id: str


def why_not(found: FoundCode) -> str | None:
    """Why a promotion code cannot be an affiliate's, whoever that is; None when it can."""
    if not codes.is_valid(codes.normalise(found.text)):
        return "Its text is not 3 to 32 of A-Z, 0-9, - and _. Make a code of such a text instead."
    if found.coupon is None:
        return "Its coupon is deleted in Stripe, so what it took off is not known any more."
    if found.coupon.discount is None:
        return "Its coupon's discount is not an amount, or a percentage with at most two decimals. Use another coupon."
    return None


def is_in_the_making(context: Context, found: FoundCode) -> bool:
    """Whether this server is just making it for an affiliate and does not know its id yet."""
    row = storage.codes.get(context.session, context.organization_id, found.row_id) if found.row_id else None
    return row is not None and row.status == "Pending"


def _ask(context: Context, request: AdoptCodeInput) -> AdoptQuestion:
    affiliate = lookups.approved_affiliate(context, request.affiliate_id)
    lookups.require_live_program(context, affiliate, field="affiliateId")
    _own_rate(context, request)
    if not _PROMOTION_CODE_ID.fullmatch(request.promotion_code_id):
        raise _unknown()
    owned = _owned(context, request.promotion_code_id)
    if owned is not None and owned.affiliate_id != affiliate.id:
        raise CodeAlreadyTaken(
            f"This promotion code is another affiliate's, and stays theirs: list_affiliate_codes with code {owned.code} "
            "shows their name. Give this affiliate another code.",
            field="promotionCodeId",
        )
    return AdoptQuestion(account=lookups.stripe_account(context), promotion_code_id=request.promotion_code_id)


async def _call(stripe: StripeAccount, question: AdoptQuestion) -> FoundCode | None:
    found = await stripe.promotion_code(question.promotion_code_id)
    return found_code(found) if found is not None else None


def _answer(context: Context, request: AdoptCodeInput, found: FoundCode | None) -> CodeOutput:
    owned = _owned(context, request.promotion_code_id)
    if owned is not None:  # by this affiliate: `_ask` has seen to that
        return present_many(context, [owned])[0]
    if found is None:
        raise _unknown()
    discount = _adoptable(context, found)
    affiliate = lookups.approved_affiliate(context, request.affiliate_id)
    coupon = _campaign_coupon(context, affiliate, found, discount)
    row = _new_row(context, request, affiliate, coupon, found)
    if storage.subscription_starts.are_there(context.session, context.organization_id, found.id):
        storage.organizations.note_adopted_starts(context.session, context.organization_id)
    [answer] = present_many(context, [row])
    context.changed("affiliate_code", row.id, after=answer)
    return answer


def _owned(context: Context, promotion_code_id: str) -> AffiliateCodeRow | None:
    found = storage.codes.by_promotion_codes(context.session, context.organization_id, [promotion_code_id])
    return found.get(promotion_code_id)


def _unknown() -> NotFound:
    return NotFound(
        "Stripe has no promotion code with this id. Find it with list_adoptable_codes.", field="promotionCodeId"
    )


def _own_rate(context: Context, request: AdoptCodeInput) -> Rate | None:
    return custom_rate(
        context, request.custom_commission_type, request.custom_commission_value, request.custom_commission_currency
    )


def _adoptable(context: Context, found: FoundCode) -> tuple[FoundCoupon, Discount]:
    """The coupon and its discount, once nothing stands in the way.

    Raises:
        InvalidInput: it is not a code that can be an affiliate's.
        StatusConflict: it is just being made here for somebody.
        CodeAlreadyTaken: its text is another live code's.
    """
    obstacle = why_not(found)
    if obstacle is not None or found.coupon is None or found.coupon.discount is None:
        raise InvalidInput(f"This promotion code cannot be adopted. {obstacle}", field="promotionCodeId")
    if is_in_the_making(context, found):
        raise StatusConflict(
            "This code is just being made for an affiliate. Look at list_affiliate_codes in a minute.",
            field="promotionCodeId",
        )
    text = codes.normalise(found.text)
    if found.active and storage.codes.live_by_text(context.session, context.organization_id, text) is not None:
        raise CodeAlreadyTaken(
            f"Another live code here has the text {text}: find it with list_affiliate_codes, and end it with "
            "deactivate_affiliate_code if this one is to take its place.",
            field="promotionCodeId",
        )
    return found.coupon, found.coupon.discount


def _campaign_coupon(
    context: Context, affiliate: AffiliateRow, found: FoundCode, behind: tuple[FoundCoupon, Discount]
) -> CampaignCouponRow:
    """The program's campaign coupon for the code's Stripe coupon, made when there is none for it yet.

    One that was archived still takes codes that are over; a code that is alive opens a new one.
    """
    coupon, discount = behind
    session, organization_id = context.session, context.organization_id
    known = storage.campaign_coupons.of_stripe_coupon(session, organization_id, affiliate.program_id, coupon.id)
    if known is not None and (known.status != "Archived" or not found.active):
        return known
    row = storage.tables.CampaignCouponRow(
        organization_id=organization_id,
        program_id=affiliate.program_id,
        name=clean(coupon.name or "")[:_NAME_LENGTH] or "Coupon from Stripe",
        discount_type=discount.type.value,
        discount_value=discount.value,
        discount_currency=discount.currency,
        duration=discount.duration.value,
        duration_in_months=discount.duration_in_months,
        expires_at=coupon.expires_at,
        allow_affiliate_self_mint=False,
        overrides_click_attribution=True,
        status="Active",
        stripe_coupon_id=coupon.id,
        created_at=context.now,
        adopted=True,
    )
    session.add(row)
    session.flush()
    return row


def _new_row(
    context: Context, request: AdoptCodeInput, affiliate: AffiliateRow, coupon: CampaignCouponRow, found: FoundCode
) -> AffiliateCodeRow:
    rate = _own_rate(context, request)
    row = storage.tables.AffiliateCodeRow(
        organization_id=context.organization_id,
        affiliate_id=affiliate.id,
        program_id=affiliate.program_id,
        campaign_coupon_id=coupon.id,
        code=codes.normalise(found.text),
        status="Active" if found.active else "Inactive",
        commission_type=rate.type.value if rate else None,
        commission_value=rate.value if rate else None,
        commission_currency=rate.currency if rate else None,
        max_redemptions=found.max_redemptions,
        expires_at=found.expires_at,
        first_order_only=found.first_order_only,
        minimum_amount=found.minimum_amount,
        minimum_amount_currency=found.minimum_amount_currency,
        stripe_promotion_code_id=found.id,
        created_at=context.now,
        adopted=True,
    )
    context.session.add(row)
    context.session.flush()
    return row


ADOPT_PROMOTION_CODE = Operation(
    name="adopt_promotion_code",
    title="Adopt promotion code",
    summary="Make a promotion code that is in Stripe already an affiliate's code: from now on its sales credit them.",
    usage="Find it with list_adoptable_codes; for a new code use mint_affiliate_code. Nothing changes in Stripe. A code "
    "that is over, or only for one customer, can be adopted too; its customers stay the affiliate's.",
    toolset="coupons",
    input=AdoptCodeInput,
    output=CodeOutput,
    inquiry=Inquiry(ask=_ask, call=_call, answer=_answer),
    route=Route("POST", "/api/v1/affiliates/{affiliateId}/coupons/adopt"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="affiliate_code.adopted",
    idempotent=True,
)
