"""Promotion codes in Stripe that are no affiliate's yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import codes
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.errors import StripeRefused
from rekomi_mcp.domain.paging import decode_id, encode_id, foreign_cursor
from rekomi_mcp.gateways.stripe_codes import FoundCode, found_code
from rekomi_mcp.operation import Context, Inquiry, Operation, Output, Question, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.adoption import is_in_the_making, why_not
from rekomi_mcp.tools.campaign_coupons import GROWTH
from rekomi_mcp.tools.fields import Flag, ListInput, ListOutput

if TYPE_CHECKING:
    from rekomi_mcp.gateways.stripe import StripeAccount

_LIST = "adoptable_codes"
_MOST_REQUESTS = 5
"""Pages of a hundred that one call reads at most: a page of this list may be short, and the cursor goes on."""
_MAX_SHOWN = 100


class AdoptableCode(Output):
    promotion_code_id: str
    code: str = Field(description="What customers type.")
    discount: str = Field(description="In words.")
    active: bool
    times_redeemed: int
    expires_at: datetime | None = None
    one_customer_only: bool = Field(description="True when Stripe takes it from a single customer.")
    obstacle: str | None = Field(default=None, description="Why it cannot be adopted; null when it can.")


class AdoptableCodeList(ListOutput[AdoptableCode]):
    """One page of promotion codes."""


class ListAdoptableInput(ListInput):
    q: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = Field(
        default=None, description="Only this whole text, in any case."
    )
    include_inactive: Flag = Field(default=False, description="Also codes that are over.")


class AdoptableQuestion(Question):
    """Which promotion codes to read."""

    text: str | None
    active_only: bool
    after: str | None
    enough: int


@dataclass(frozen=True, slots=True)
class CodesRead:
    """Some of the account's codes, newest first."""

    codes: list[FoundCode]
    has_more: bool


def _ask(context: Context, request: ListAdoptableInput) -> AdoptableQuestion:
    return AdoptableQuestion(
        account=lookups.stripe_account(context),
        text=request.q,
        active_only=not request.include_inactive,
        after=decode_id(_LIST, request.cursor) if request.cursor is not None else None,
        enough=request.take,
    )


async def _call(stripe: StripeAccount, question: AdoptableQuestion) -> CodesRead:
    """Read on until enough codes are there that do not look like ours; which are ours, only the store knows."""
    read, after, has_more = list[FoundCode](), question.after, True
    for _ in range(_MOST_REQUESTS):
        page, has_more = await _page(stripe, question, after)
        read += page
        if not has_more or not page or sum(code.row_id is None for code in read) > question.enough:
            break
        after = page[-1].id
    return CodesRead(read, has_more)


async def _page(stripe: StripeAccount, question: AdoptableQuestion, after: str | None) -> tuple[list[FoundCode], bool]:
    try:
        page, has_more = await stripe.promotion_codes(text=question.text, active_only=question.active_only, after=after)
    except StripeRefused as refusal:
        if refusal.details.get("stripeCode") == "resource_missing":  # the cursor is of another account's list
            raise foreign_cursor() from None
        raise
    return [found_code(each) for each in page], has_more


def _answer(context: Context, request: ListAdoptableInput, read: CodesRead) -> AdoptableCodeList:
    ours = storage.codes.by_promotion_codes(
        context.session, context.organization_id, (found.id for found in read.codes)
    )
    free = [found for found in read.codes if found.id not in ours and not is_in_the_making(context, found)]
    shown = free[: request.take]
    has_more = len(free) > len(shown) or read.has_more
    last = shown[-1] if len(free) > len(shown) else read.codes[-1] if read.codes else None
    texts = storage.codes.live_texts(
        context.session, context.organization_id, (codes.normalise(found.text) for found in shown)
    )
    return AdoptableCodeList(
        items=[_present(found, texts) for found in shown],
        next_cursor=encode_id(_LIST, last.id) if has_more and last is not None else None,
        has_more=has_more and last is not None,
    )


def _present(found: FoundCode, taken: set[str]) -> AdoptableCode:
    clash = found.active and codes.normalise(found.text) in taken
    return AdoptableCode(
        promotion_code_id=found.id,
        code=found.text[:_MAX_SHOWN],
        discount=found.coupon.in_words if found.coupon else "unknown: its coupon is deleted",
        active=found.active,
        times_redeemed=found.times_redeemed,
        expires_at=found.expires_at,
        one_customer_only=found.one_customer_only,
        obstacle=why_not(found) or ("Another live code here has this text." if clash else None),
    )


LIST_ADOPTABLE_CODES = Operation(
    name="list_adoptable_codes",
    title="List adoptable codes",
    summary="List promotion codes in Stripe that are no affiliate's here, newest first.",
    usage="Use it before adopt_promotion_code; for affiliates' own codes use list_affiliate_codes. A page may be short, or "
    "empty, while hasMore is true.",
    toolset="coupons",
    input=ListAdoptableInput,
    output=AdoptableCodeList,
    inquiry=Inquiry(ask=_ask, call=_call, answer=_answer),
    route=Route("GET", "/api/v1/coupons/adoptable"),
    scope=Scope.READ,
    gate=GROWTH,
)
