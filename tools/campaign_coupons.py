"""Campaign coupons: the discounts that affiliates' codes give."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Gate, Plan, Role, Scope
from rekomi_mcp.domain.discounts import Discount, DiscountType, Duration
from rekomi_mcp.domain.errors import CouponArchived, InvalidInput, NotFound
from rekomi_mcp.domain.money import decimals, to_major, to_minor
from rekomi_mcp.gateways.stripe import NewCoupon
from rekomi_mcp.operation import Context, Input, Operation, Output, Route, ThreeSteps, Ticket
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import (
    WHOLE,
    Currency,
    Flag,
    Id,
    ListInput,
    ListOutput,
    Mode,
    Moment,
    Name,
    Number,
    Redemptions,
)
from rekomi_mcp.tools.rates import basis_points

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount
    from rekomi_mcp.storage.tables import CampaignCouponRow

GROWTH = Gate(Plan.Growth)
STRIPE_NAME_LENGTH = 40


class CouponOutput(Output):
    id: str
    program_id: str
    name: str
    discount: str = Field(description="In words.")
    discount_type: DiscountType
    discount_value: float = Field(description="Percent, or an amount in discountCurrency.")
    discount_currency: str | None = None
    duration: Duration
    duration_in_months: int | None = None
    max_redemptions_per_code: int | None = None
    expires_at: datetime | None = None
    allow_affiliate_self_mint: bool
    overrides_click_attribution: bool
    status: Literal["Pending", "Active", "Archived"]
    stripe_coupon_id: str | None = None
    adopted: bool = Field(description="True when the coupon was in Stripe before: archiving leaves it there.")
    stripe_mode: Mode = Field(description="sandbox and test coupons take no real money off.")
    created_at: datetime
    archived_at: datetime | None = None


class CouponList(ListOutput[CouponOutput]):
    """One page of campaign coupons."""


def discount_of(row: CampaignCouponRow) -> Discount:
    return Discount(
        DiscountType(row.discount_type),
        row.discount_value,
        row.discount_currency,
        Duration(row.duration),
        row.duration_in_months,
    )


def present(row: CampaignCouponRow, mode: str) -> CouponOutput:
    percent = row.discount_type == DiscountType.PercentOff
    value = row.discount_value / 100 if percent else float(to_major(row.discount_value, row.discount_currency or "USD"))
    return CouponOutput.model_validate(
        {
            **row.model_dump(exclude={"organization_id", "ended_in_stripe"}),
            "discount": discount_of(row).in_words(),
            "discount_value": value,
            "stripe_mode": mode,
        }
    )


class CreateCouponInput(Input):
    program_id: Id | None = Field(default=None, description="May be left out when there is only one program.")
    name: Name = Field(description="What customers may see on the receipt, for example 'Creator discount'.")
    discount_type: DiscountType = Field(default=DiscountType.PercentOff, description="PercentOff or AmountOff.")
    discount_value: Number = Field(description="Percent off (20 for 20 %), or the amount off (10.00).")
    discount_currency: Currency | None = Field(default=None, description="Required for AmountOff.")
    duration: Duration = Field(
        default=Duration.Once, description="For a subscription: the first payment, some months, or every payment."
    )
    duration_in_months: Annotated[int, Field(ge=1, le=120), WHOLE] | None = Field(
        default=None, description="Required for Repeating."
    )
    max_redemptions_per_code: Redemptions | None = Field(default=None, description="Uses of each affiliate's code.")
    expires_at: Moment | None = Field(default=None, description="When every code of it ends; in the future.")
    allow_affiliate_self_mint: Flag = Field(default=False, description="Whether affiliates may make own codes.")
    overrides_click_attribution: Flag = Field(
        default=True, description="Whether a redeemed code goes before another affiliate's click."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CreateCouponInput:
        if (self.discount_currency is None) is (self.discount_type is DiscountType.AmountOff):
            needs = "is required for AmountOff" if self.discount_currency is None else "is only for AmountOff"
            raise PydanticCustomError("currency", "{field} {needs}", {"field": "discountCurrency", "needs": needs})
        if (self.duration_in_months is None) is (self.duration is Duration.Repeating):
            needs = "is required for Repeating" if self.duration_in_months is None else "is only for Repeating"
            raise PydanticCustomError("months", "{field} {needs}", {"field": "durationInMonths", "needs": needs})
        return self


def _discount_value(request: CreateCouponInput) -> int:
    """Basis points or minor units.

    Raises:
        InvalidInput: outside (0, 100] percent, not positive, or with too many decimals.
    """
    value, currency = request.discount_value, request.discount_currency
    if request.discount_type is DiscountType.PercentOff:
        points = basis_points(value)
        if not points:
            raise InvalidInput(
                "A percentage off is above 0 and at most 100 with at most two decimals, for example 20.",
                field="discountValue",
            )
        return points
    assert currency is not None
    minor = to_minor(value, currency)
    if minor is None or not 0 < minor <= 99_999_999:
        raise InvalidInput(
            f"An amount off is above 0 with at most {decimals(currency)} decimals in {currency}.", field="discountValue"
        )
    return minor


class CouponTicket(Ticket):
    """The Stripe coupon to make."""

    name: str
    discount: Discount
    redeem_by: datetime | None


def _prepare(context: Context, request: CreateCouponInput) -> CouponTicket:
    account = lookups.stripe_account(context)
    program = lookups.live_program(context, request.program_id)
    if request.expires_at is not None and request.expires_at <= context.now:
        raise InvalidInput("expiresAt is in the past. Give a time in the future, or leave it out.", field="expiresAt")
    row = storage.tables.CampaignCouponRow(
        organization_id=context.organization_id,
        program_id=program.id,
        name=request.name,
        discount_type=request.discount_type.value,
        discount_value=_discount_value(request),
        discount_currency=request.discount_currency,
        duration=request.duration.value,
        duration_in_months=request.duration_in_months,
        max_redemptions_per_code=request.max_redemptions_per_code,
        expires_at=request.expires_at,
        allow_affiliate_self_mint=request.allow_affiliate_self_mint,
        overrides_click_attribution=request.overrides_click_attribution,
        status="Pending",
        created_at=context.now,
    )
    context.session.add(row)
    context.session.flush()
    return CouponTicket(
        subject_id=row.id,
        account=account,
        name=row.name[:STRIPE_NAME_LENGTH],
        discount=discount_of(row),
        redeem_by=row.expires_at,
    )


async def _call(stripe: StripeAccount, ticket: CouponTicket) -> str:
    discount = ticket.discount
    percent = discount.type is DiscountType.PercentOff
    return await stripe.create_coupon(
        NewCoupon(
            id=f"rekomi_{ticket.subject_id.replace('-', '')}",
            row_id=ticket.subject_id,
            name=ticket.name,
            percent_off=discount.value / 100 if percent else None,
            amount_off=None if percent else discount.value,
            currency=discount.currency.lower() if discount.currency else None,
            duration=discount.duration.value.lower(),
            duration_in_months=discount.duration_in_months,
            redeem_by=ticket.redeem_by,
        )
    )


def _confirm(context: Context, ticket: CouponTicket, stripe_coupon_id: str) -> CouponOutput:
    row = lookups.campaign_coupon(context, ticket.subject_id)
    row.stripe_coupon_id, row.status = stripe_coupon_id, "Active"
    context.session.flush()
    answer = present(row, context.mode)
    context.changed("campaign_coupon", row.id, after=answer)
    return answer


def _abandon(context: Context, ticket: CouponTicket) -> None:
    context.session.delete(lookups.campaign_coupon(context, ticket.subject_id))


class ListCouponsInput(ListInput):
    program_id: Id | None = Field(default=None, description="Only this program's.")
    include_archived: Flag = Field(default=False, description="Also those that were archived.")


def _list(context: Context, request: ListCouponsInput) -> CouponList:
    if request.program_id is not None:
        lookups.program(context, request.program_id)
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.campaign_coupons.page(
        context.session, context.organization_id, request.program_id, request.include_archived, window
    )
    return CouponList(
        items=[present(row, context.mode) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


class UpdateCouponInput(Input):
    program_id: Id | None = Field(default=None, description="Only to check that the coupon is of this program.")
    coupon_id: Id = Field(description="From list_campaign_coupons.")
    name: Name | None = Field(default=None, description="What it is called here; the name in Stripe stays.")
    allow_affiliate_self_mint: Flag | None = Field(default=None, description="Codes that were made stay.")
    overrides_click_attribution: Flag | None = Field(
        default=None, description="Whether a redeemed code goes before another affiliate's click; for future sales."
    )


def _update(context: Context, request: UpdateCouponInput) -> CouponOutput:
    row = lookups.campaign_coupon(context, request.coupon_id)
    if request.program_id is not None and request.program_id != row.program_id:
        raise NotFound("This program has no such coupon. See list_campaign_coupons.", field="programId")
    if row.status == "Archived":
        raise CouponArchived("This coupon is archived and can no longer be changed.", field="couponId")
    changes = {
        name: getattr(request, name) for name in ("name", "allow_affiliate_self_mint", "overrides_click_attribution")
    }
    if all(value is None for value in changes.values()):
        raise InvalidInput("Nothing to change: give name, allowAffiliateSelfMint or overridesClickAttribution.")
    before = present(row, context.mode)
    with storage.past_terms.kept(context.session, row, context.now):
        for name, value in changes.items():
            if value is not None:
                setattr(row, name, value)
    context.session.flush()
    answer = present(row, context.mode)
    context.changed("campaign_coupon", row.id, before=before, after=answer)
    return answer


CREATE_CAMPAIGN_COUPON = Operation(
    name="create_campaign_coupon",
    title="Create campaign coupon",
    summary="Create a discount in Stripe that affiliates' codes will give, for example 20 % off once.",
    usage="Make one for each kind of discount, then give affiliates codes of it with mint_affiliate_code. "
    "The discount cannot be changed later: archive it and make another.",
    toolset="coupons",
    input=CreateCouponInput,
    output=CouponOutput,
    steps=ThreeSteps(ticket=CouponTicket, prepare=_prepare, call=_call, confirm=_confirm, abandon=_abandon),
    route=Route(
        "POST",
        "/api/v1/programs/{programId}/coupons",
        ("/api/v1/campaigns/{programId}/coupons", "/api/campaigns/{programId}/coupons"),
        status=201,
    ),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="campaign_coupon.created",
)

LIST_CAMPAIGN_COUPONS = Operation(
    name="list_campaign_coupons",
    title="List campaign coupons",
    summary="List the discounts that codes can give, newest first.",
    usage="Use it to find a couponId for mint_affiliate_code; for the codes themselves use list_affiliate_codes.",
    toolset="coupons",
    input=ListCouponsInput,
    output=CouponList,
    handler=_list,
    route=Route(
        "GET",
        "/api/v1/programs/{programId}/coupons",
        ("/api/v1/campaigns/{programId}/coupons", "/api/campaigns/{programId}/coupons"),
    ),
    scope=Scope.READ,
    gate=GROWTH,
)

UPDATE_CAMPAIGN_COUPON = Operation(
    name="update_campaign_coupon",
    title="Update campaign coupon",
    summary="Change a coupon's name here, whether affiliates may make own codes, or whether codes go before clicks.",
    usage="The discount itself cannot be changed: use archive_campaign_coupon and create_campaign_coupon.",
    toolset="coupons",
    input=UpdateCouponInput,
    output=CouponOutput,
    handler=_update,
    route=Route(
        "PATCH",
        "/api/v1/programs/{programId}/coupons/{couponId}",
        ("/api/v1/campaigns/{programId}/coupons/{couponId}", "/api/campaigns/{programId}/coupons/{couponId}"),
    ),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="campaign_coupon.updated",
    idempotent=True,
)
