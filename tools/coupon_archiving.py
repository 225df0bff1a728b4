"""Ending campaign coupons: a discount and every affiliate's code of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import CouponArchived, NotFound
from rekomi_mcp.operation import Context, Input, Operation, Route, ThreeSteps, Ticket
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.campaign_coupons import GROWTH, CouponOutput, present
from rekomi_mcp.tools.fields import Id

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount


class ArchiveCouponInput(Input):
    coupon_id: Id = Field(description="From list_campaign_coupons.")
    program_id: Id | None = Field(default=None, description="The coupon's program; needed in the HTTP path only.")


class ArchiveTicket(Ticket):
    """The Stripe coupon to delete."""

    stripe_coupon_id: str
    adopted: bool = False
    """It is the merchant's own, and stays."""


class ArchivedCouponOutput(CouponOutput):
    ended_codes: list[str] = Field(description="The codes that no longer work.")


def _prepare(context: Context, request: ArchiveCouponInput) -> ArchiveTicket:
    row = lookups.campaign_coupon(context, request.coupon_id)
    if request.program_id is not None and request.program_id != row.program_id:
        raise NotFound("This program has no campaign coupon with this id.", field="couponId")
    if row.status == "Archived":
        raise CouponArchived("This coupon is archived already.", field="couponId")
    if row.stripe_coupon_id is None:
        raise CouponArchived("This coupon still waits for Stripe. Try again in a minute.", field="couponId")
    return ArchiveTicket(
        subject_id=row.id,
        account=lookups.stripe_account(context),
        stripe_coupon_id=row.stripe_coupon_id,
        adopted=row.adopted,
    )


async def _call(stripe: StripeAccount, ticket: ArchiveTicket) -> str:
    if ticket.adopted:
        return ticket.stripe_coupon_id
    return await stripe.delete_coupon(ticket.stripe_coupon_id)


def _confirm(context: Context, ticket: ArchiveTicket, stripe_coupon_id: str) -> ArchivedCouponOutput:
    """Stripe ends a coupon's codes with it; the discounts customers already have stay.

    Of an adopted coupon nothing ends in Stripe, where the merchant may use it for more than affiliates.
    """
    row = lookups.campaign_coupon(context, ticket.subject_id)
    before = present(row, context.mode)
    row.status, row.archived_at = "Archived", context.now
    codes = storage.codes.live_of_coupon(context.session, context.organization_id, row.id)
    for code in codes:
        code.status, code.deactivated_at = "Inactive", context.now
    context.session.flush()
    answer = ArchivedCouponOutput(
        **present(row, context.mode).model_dump(by_alias=False), ended_codes=sorted(code.code for code in codes)
    )
    context.changed("campaign_coupon", row.id, before=before, after=answer)
    return answer


def _nothing_to_undo(context: Context, ticket: Ticket) -> None:
    """The first step of an ending changes nothing."""


ARCHIVE_CAMPAIGN_COUPON = Operation(
    name="archive_campaign_coupon",
    title="Archive campaign coupon",
    summary="End a discount for good: its Stripe coupon is deleted and every affiliate's code of it stops working.",
    usage="Customers keep their discount, and affiliates earn on them. An adopted coupon ends here only, not in Stripe. "
    "For a single code use deactivate_affiliate_code.",
    toolset="coupons",
    input=ArchiveCouponInput,
    output=ArchivedCouponOutput,
    steps=ThreeSteps(
        ticket=ArchiveTicket,
        prepare=_prepare,
        call=_call,
        confirm=_confirm,
        abandon=_nothing_to_undo,
    ),
    route=Route(
        "DELETE",
        "/api/v1/programs/{programId}/coupons/{couponId}",
        ("/api/v1/campaigns/{programId}/coupons/{couponId}", "/api/campaigns/{programId}/coupons/{couponId}"),
        status=204,
    ),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    gate=GROWTH,
    audit="campaign_coupon.archived",
    destructive=True,
)
