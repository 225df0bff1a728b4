"""Affiliate codes: what a customer types, and whom it credits."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.commission import CommissionType
from rekomi_mcp.domain.errors import (
    NotFound,
    StatusConflict,
)
from rekomi_mcp.operation import DETAIL, Context, Input, Operation, Output, Route, ThreeSteps, Ticket
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.campaign_coupons import GROWTH, discount_of
from rekomi_mcp.tools.fields import Id, ListInput, ListOutput, Mode
from rekomi_mcp.tools.rates import in_words, rate_of, wire_value

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount
    from rekomi_mcp.storage.codes import Redemptions
    from rekomi_mcp.storage.tables import AffiliateCodeRow, CampaignCouponRow


class CodeOutput(Output):
    id: str
    code: str = Field(description="What customers type; upper and lower case are the same.")
    affiliate_id: str
    affiliate_name: str
    program_id: str = Field(json_schema_extra=DETAIL)
    campaign_coupon_id: str = Field(json_schema_extra=DETAIL)
    discount: str = Field(description="In words.")
    status: Literal["Pending", "Active", "Inactive"]
    commission: str | None = Field(default=None, description="This code's own commission; null: the affiliate's.")
    custom_commission_type: CommissionType | None = Field(default=None, json_schema_extra=DETAIL)
    custom_commission_value: float | None = Field(default=None, json_schema_extra=DETAIL)
    custom_commission_currency: str | None = Field(default=None, json_schema_extra=DETAIL)
    max_redemptions: int | None = None
    expires_at: datetime | None = None
    first_order_only: bool
    minimum_amount_cents: int | None = Field(default=None, json_schema_extra=DETAIL)
    minimum_amount_currency: str | None = Field(default=None, json_schema_extra=DETAIL)
    redemptions: int = Field(description="Sales made with it.")
    net_redemptions: int = Field(description="Those not refunded in full.")
    stripe_promotion_code_id: str | None = Field(default=None, json_schema_extra=DETAIL)
    adopted: bool = Field(json_schema_extra=DETAIL, description="True when it was in Stripe before.")
    stripe_mode: Mode = Field(description="sandbox and test codes take no real money off.")
    created_at: datetime
    deactivated_at: datetime | None = None


class CodeList(ListOutput[CodeOutput]):
    """One page of codes."""


def present(
    row: AffiliateCodeRow, coupon: CampaignCouponRow, affiliate_name: str, redeemed: Redemptions | None, mode: str
) -> CodeOutput:
    rate = rate_of(row)
    return CodeOutput.model_validate(
        {
            **row.model_dump(
                exclude={
                    "organization_id",
                    "commission_type",
                    "commission_value",
                    "commission_currency",
                    "minimum_amount",
                    "told_at",
                }
            ),
            "affiliate_name": affiliate_name,
            "discount": discount_of(coupon).in_words(),
            "commission": in_words(rate) if rate else None,
            "custom_commission_type": rate.type if rate else None,
            "custom_commission_value": wire_value(rate) if rate else None,
            "custom_commission_currency": rate.currency if rate else None,
            "minimum_amount_cents": row.minimum_amount,
            "redemptions": redeemed.sales if redeemed else 0,
            "net_redemptions": redeemed.kept if redeemed else 0,
            "stripe_mode": mode,
        }
    )


def present_many(context: Context, rows: list[AffiliateCodeRow]) -> list[CodeOutput]:
    session, organization_id = context.session, context.organization_id
    coupons = storage.campaign_coupons.by_ids(session, organization_id, (row.campaign_coupon_id for row in rows))
    names = storage.affiliates.names(session, organization_id, (row.affiliate_id for row in rows))
    redeemed = storage.codes.redemptions(session, organization_id, (row.code for row in rows))
    return [
        present(row, coupons[row.campaign_coupon_id], names[row.affiliate_id], redeemed.get(row.id), context.mode)
        for row in rows
    ]


def code_by_id(context: Context, code_id: str) -> AffiliateCodeRow:
    row = storage.codes.get(context.session, context.organization_id, code_id)
    if row is None:
        raise NotFound("No affiliate code has this id. Find it with list_affiliate_codes.", field="codeId")
    return row


class ListCodesInput(ListInput):
    affiliate_id: Id | None = Field(default=None, description="Only this affiliate's.")
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        default=None, description="Only this text, in any case: who owns SARAH20?"
    )
    status: Literal["Pending", "Active", "Inactive"] | None = Field(
        default=None, description="Pending waits for Stripe."
    )


def _list(context: Context, request: ListCodesInput) -> CodeList:
    if request.affiliate_id is not None:
        lookups.affiliate(context, request.affiliate_id)
    wanted = storage.codes.CodeFilter(request.affiliate_id, request.code, request.status)
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.codes.page(context.session, context.organization_id, wanted, window)
    return CodeList(
        items=present_many(context, list(page.rows)),
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


class DeactivateCodeInput(Input):
    code_id: Id = Field(description="The id from list_affiliate_codes, not the text.")
    affiliate_id: Id | None = Field(default=None, description="The code's affiliate; needed in the HTTP path only.")


class DeactivateTicket(Ticket):
    """The promotion code to end."""

    promotion_code_id: str


def _prepare_deactivation(context: Context, request: DeactivateCodeInput) -> DeactivateTicket:
    row = code_by_id(context, request.code_id)
    if request.affiliate_id is not None and request.affiliate_id != row.affiliate_id:
        raise NotFound("This affiliate has no code with this id.", field="codeId")
    if row.status != "Active" or row.stripe_promotion_code_id is None:
        advice = "It still waits for Stripe; try again in a minute." if row.status == "Pending" else "Nothing to do."
        raise StatusConflict(f"This code is {row.status}. {advice}", field="codeId")
    return DeactivateTicket(
        subject_id=row.id, account=lookups.stripe_account(context), promotion_code_id=row.stripe_promotion_code_id
    )


async def _call_deactivation(stripe: StripeAccount, ticket: DeactivateTicket) -> str:
    return await stripe.deactivate_promotion_code(ticket.promotion_code_id)


def _confirm_deactivation(context: Context, ticket: DeactivateTicket, promotion_code_id: str) -> CodeOutput:
    row = code_by_id(context, ticket.subject_id)
    [before] = present_many(context, [row])
    row.status, row.deactivated_at = "Inactive", row.deactivated_at or context.now
    context.session.flush()
    [answer] = present_many(context, [row])
    context.changed("affiliate_code", row.id, before=before, after=answer)
    return answer


def _nothing_to_undo(context: Context, ticket: Ticket) -> None:
    """The first step of an ending changes nothing."""


LIST_AFFILIATE_CODES = Operation(
    name="list_affiliate_codes",
    title="List affiliate codes",
    summary="List codes with their affiliate, discount and how often each was redeemed, newest first.",
    usage="Also answers whose a code is (code); for the sales made with it use list_conversions.",
    toolset="coupons",
    input=ListCodesInput,
    output=CodeList,
    handler=_list,
    route=Route(
        "GET",
        "/api/v1/affiliates/{affiliateId}/coupons",
        ("/api/affiliates/{affiliateId}/coupons", "/api/v1/affiliate-codes"),
    ),
    scope=Scope.READ,
    gate=GROWTH,
)

DEACTIVATE_AFFILIATE_CODE = Operation(
    name="deactivate_affiliate_code",
    title="Deactivate affiliate code",
    summary="End one code for good, here and in Stripe; past sales and the customers it brought stay credited.",
    usage="To end a discount with all its codes use archive_campaign_coupon.",
    toolset="coupons",
    input=DeactivateCodeInput,
    output=CodeOutput,
    steps=ThreeSteps(
        ticket=DeactivateTicket,
        prepare=_prepare_deactivation,
        call=_call_deactivation,
        confirm=_confirm_deactivation,
        abandon=_nothing_to_undo,
    ),
    route=Route(
        "DELETE",
        "/api/v1/affiliates/{affiliateId}/coupons/{codeId}",
        ("/api/affiliates/{affiliateId}/coupons/{codeId}",),
        status=204,
    ),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="affiliate_code.deactivated",
    destructive=True,
)
