"""Minting: a code for an affiliate, made in Stripe and known here before it is."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, StringConstraints, model_validator

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.commission import CommissionType
from rekomi_mcp.domain.errors import CodeAlreadyTaken, CouponArchived, InvalidInput, StatusConflict, StripeRefused
from rekomi_mcp.gateways.stripe import NewPromotionCode
from rekomi_mcp.operation import Context, Input, Operation, Route, ThreeSteps, Ticket
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.affiliate_codes import CodeOutput, code_by_id, present_many
from rekomi_mcp.tools.campaign_coupons import GROWTH, discount_of
from rekomi_mcp.tools.custom_rates import custom_rate, require_pair
from rekomi_mcp.tools.fields import MAX_AMOUNT, WHOLE, Currency, Flag, Id, Moment, Number, Redemptions
from rekomi_mcp.tools.ingest import reconsider

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount
    from rekomi_mcp.storage.tables import AffiliateCodeRow, AffiliateRow, CampaignCouponRow


class MintCodeInput(Input):
    affiliate_id: Id = Field(description="From list_affiliates; must be Approved.")
    coupon_id: Id | None = Field(
        default=None, description="From list_campaign_coupons; may be left out when the program has only one."
    )
    code: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None,
        description="3 to 32 of A-Z, 0-9, - and _, for example SARAH20; made from name and discount when left out.",
    )
    max_redemptions: Redemptions | None = Field(default=None, description="Uses; the coupon's limit when left out.")
    expires_at: Moment | None = Field(default=None, description="When it ends; the coupon's end when left out.")
    first_order_only: Flag = Field(default=False, description="Only for customers who never paid before.")
    minimum_amount_cents: Annotated[int, Field(ge=1, le=MAX_AMOUNT), WHOLE] | None = Field(
        default=None, description="Least order, in minor units."
    )
    minimum_amount_currency: Currency | None = Field(default=None, description="Required with minimumAmountCents.")
    custom_commission_type: CommissionType | None = Field(default=None, description="Goes before all others.")
    custom_commission_value: Number | None = Field(default=None, description="Percent, or the fixed amount.")
    custom_commission_currency: Currency | None = Field(default=None, description="Of a Fixed commission.")

    @model_validator(mode="after")
    def _pairs(self) -> MintCodeInput:
        require_pair(self, "minimum_amount_cents", "minimum_amount_currency")
        require_pair(self, "custom_commission_type", "custom_commission_value")
        return self


class MintTicket(Ticket):
    """The promotion code to make. The first text that is free in Stripe is taken; a given text stands alone."""

    stripe_coupon_id: str
    texts: list[str]
    max_redemptions: int | None
    expires_at: datetime | None
    first_order_only: bool
    minimum_amount: int | None
    minimum_amount_currency: str | None


class MadeCode(BaseModel):
    promotion_code_id: str
    text: str


def _prepare(context: Context, request: MintCodeInput) -> MintTicket:
    account = lookups.stripe_account(context)
    affiliate = lookups.approved_affiliate(context, request.affiliate_id)
    lookups.require_live_program(context, affiliate, field="affiliateId")
    coupon = _coupon(context, affiliate, request.coupon_id)
    expires_at = _expiry(context, request, coupon)
    texts = [_given_text(request.code)] if request.code is not None else _free_texts(context, affiliate, coupon)
    row = _new_row(context, request, affiliate, coupon, texts[0], expires_at)
    assert coupon.stripe_coupon_id is not None, "an active coupon is in Stripe"
    return MintTicket(
        subject_id=row.id,
        account=account,
        stripe_coupon_id=coupon.stripe_coupon_id,
        texts=texts,
        max_redemptions=row.max_redemptions,
        expires_at=row.expires_at,
        first_order_only=row.first_order_only,
        minimum_amount=row.minimum_amount,
        minimum_amount_currency=row.minimum_amount_currency,
    )


def _coupon(context: Context, affiliate: AffiliateRow, coupon_id: str | None) -> CampaignCouponRow:
    if coupon_id is None:
        rows = storage.campaign_coupons.active_of_program(
            context.session, context.organization_id, affiliate.program_id
        )
        if len(rows) != 1:
            advice = (
                "name one by couponId; see list_campaign_coupons" if rows else "make one with create_campaign_coupon"
            )
            raise InvalidInput(f"The affiliate's program has {len(rows)} campaign coupons: {advice}.", field="couponId")
        return rows[0]
    row = lookups.campaign_coupon(context, coupon_id)
    if row.program_id != affiliate.program_id:
        raise InvalidInput("This coupon is of another program than the affiliate. Choose another.", field="couponId")
    if row.status == "Archived":
        raise CouponArchived("This coupon is archived. Choose a live one, or make one.", field="couponId")
    if row.status == "Pending":
        raise StatusConflict("This coupon still waits for Stripe. Try again in a minute.", field="couponId")
    return row


def _expiry(context: Context, request: MintCodeInput, coupon: CampaignCouponRow) -> datetime | None:
    expires_at = request.expires_at or coupon.expires_at
    if expires_at is not None and expires_at <= context.now:
        raise InvalidInput("expiresAt is in the past. Give a time in the future, or leave it out.", field="expiresAt")
    if expires_at is not None and coupon.expires_at is not None and expires_at > coupon.expires_at:
        raise InvalidInput(
            f"The coupon itself ends at {coupon.expires_at:%Y-%m-%d %H:%M} UTC; a code cannot outlive it.",
            field="expiresAt",
        )
    return expires_at


def _given_text(text: str) -> str:
    code = codes.normalise(text)
    if not codes.is_valid(code):
        raise InvalidInput(
            "A code is 3 to 32 letters A-Z, digits, - and _ without spaces, for example SARAH20.", field="code"
        )
    return code


def _free_texts(context: Context, affiliate: AffiliateRow, coupon: CampaignCouponRow) -> list[str]:
    """Texts made from the name and the discount that are free here, best first."""
    base = codes.base_code(affiliate.full_name, affiliate.email, discount_of(coupon).digits())
    wanted = list(codes.candidates(base, [secrets.randbelow(1 << 16) for _ in range(15)]))
    taken = storage.codes.live_texts(context.session, context.organization_id, wanted)
    return [text for text in wanted if text not in taken]


def _taken(text: str) -> CodeAlreadyTaken:
    return CodeAlreadyTaken(
        f"The code {text} is taken. See whose it is with list_affiliate_codes, or choose another, for example {text}-2.",
        field="code",
    )


def _new_row(
    context: Context,
    request: MintCodeInput,
    affiliate: AffiliateRow,
    coupon: CampaignCouponRow,
    text: str,
    expires_at: datetime | None,
) -> AffiliateCodeRow:
    rate = custom_rate(
        context, request.custom_commission_type, request.custom_commission_value, request.custom_commission_currency
    )
    row = storage.tables.AffiliateCodeRow(
        organization_id=context.organization_id,
        affiliate_id=affiliate.id,
        program_id=affiliate.program_id,
        campaign_coupon_id=coupon.id,
        code=text,
        status="Pending",
        commission_type=rate.type.value if rate else None,
        commission_value=rate.value if rate else None,
        commission_currency=rate.currency if rate else None,
        max_redemptions=request.max_redemptions or coupon.max_redemptions_per_code,
        expires_at=expires_at,
        first_order_only=request.first_order_only,
        minimum_amount=request.minimum_amount_cents,
        minimum_amount_currency=request.minimum_amount_currency,
        created_at=context.now,
    )
    if not storage.rows.add_unique(context.session, row):
        raise _taken(text)
    return row


async def _call(stripe: StripeAccount, ticket: MintTicket) -> MadeCode:
    """Make the promotion code under the first text that Stripe takes."""
    for text in ticket.texts:
        wanted = NewPromotionCode(
            row_id=ticket.subject_id,
            coupon_id=ticket.stripe_coupon_id,
            code=text,
            max_redemptions=ticket.max_redemptions,
            expires_at=ticket.expires_at,
            first_time_transaction=ticket.first_order_only,
            minimum_amount=ticket.minimum_amount,
            minimum_amount_currency=ticket.minimum_amount_currency and ticket.minimum_amount_currency.lower(),
        )
        try:
            return MadeCode(promotion_code_id=await stripe.create_promotion_code(wanted), text=text)
        except StripeRefused as refusal:
            if "already exists" not in refusal.message:
                raise _explained(refusal, text) from None
    raise CodeAlreadyTaken(
        f"Stripe has an active promotion code {ticket.texts[0]} already. Deactivate it there, or choose another text.",
        field="code",
    )


def _explained(refusal: StripeRefused, text: str) -> StripeRefused:
    """The refusal, with the advice that helps when Stripe does not take an underscore."""
    if "_" not in text:
        return refusal
    advice = f"Should it be the underscore, try {codes.dashed(text)}."
    return StripeRefused(f"{refusal.message} {advice}", field="code", **refusal.details)


def _confirm(context: Context, ticket: MintTicket, made: MadeCode) -> CodeOutput:
    row = code_by_id(context, ticket.subject_id)
    row.stripe_promotion_code_id, row.code = made.promotion_code_id, made.text
    if row.status == "Pending":  # else its coupon was archived meanwhile, and the code ended with it
        row.status = "Active"
    context.session.flush()
    [answer] = present_many(context, [row])
    context.changed("affiliate_code", row.id, after=answer)
    # It may have been redeemed while only Stripe knew of it: between the call and a crash's end.
    reconsider(context, [made.promotion_code_id])
    return answer


def _abandon(context: Context, ticket: MintTicket) -> None:
    context.session.delete(code_by_id(context, ticket.subject_id))


MINT_AFFILIATE_CODE = Operation(
    name="mint_affiliate_code",
    title="Mint affiliate code",
    summary="Give an affiliate a code that customers type at checkout: made in Stripe, and every sale with it credited.",
    usage="Needs a campaign coupon (create_campaign_coupon). For the codes there are use list_affiliate_codes.",
    toolset="coupons",
    input=MintCodeInput,
    output=CodeOutput,
    steps=ThreeSteps(ticket=MintTicket, prepare=_prepare, call=_call, confirm=_confirm, abandon=_abandon),
    route=Route(
        "POST", "/api/v1/affiliates/{affiliateId}/coupons", ("/api/affiliates/{affiliateId}/coupons",), status=201
    ),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="affiliate_code.minted",
)
