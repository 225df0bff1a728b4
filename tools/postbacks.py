"""Postbacks: one sale as trackers tell it, by a coupon and names of their own. The same sale as record_sale's."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import InvalidInput, NotFound, Refusal
from rekomi_mcp.domain.money import decimals, to_minor
from rekomi_mcp.domain.sales import Referral
from rekomi_mcp.operation import Context, Input, Operation
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import MAX_AMOUNT, Email, Id, OwnId, SaleCurrency
from rekomi_mcp.tools.server_sales import (
    Amount,
    Naming,
    RecordedSale,
    Told,
    naming_by_click,
    naming_by_code,
    record,
)

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?")


def _decimal(text: str) -> str:
    if not _DECIMAL.fullmatch(text):
        raise PydanticCustomError("decimal", "must be a number such as 49.90, without a currency or separators")
    return text


def _as_written(name: str) -> str:
    return name


class PostbackInput(Input):
    """As trackers write it: names with underscores, and text throughout."""

    model_config = ConfigDict(alias_generator=_as_written)

    offer_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="The program's id or slug."
    )
    coupon: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="The affiliate's live code, in any case."
    )
    transaction_id: OwnId = Field(description="The sale's own id: externalEventId elsewhere.")
    amount: Annotated[str, AfterValidator(_decimal)] | None = Field(
        default=None, description="Net of discount and tax, in major units: 49.90; or give amount_cents."
    )
    amount_cents: Amount | None = None
    currency: SaleCurrency | None = Field(default=None, description="The organization's home currency when left out.")
    click_id: Id | None = None
    customer_id: OwnId | None = None
    email: Email | None = None


def _record(context: Context, request: PostbackInput) -> RecordedSale:
    currency = request.currency or lookups.organization(context).home_currency
    amount = _amount_minor(request, currency)
    try:
        naming = _naming(context, request)
        told = Told(
            external_event_id=request.transaction_id,
            net_minor=amount,
            gross_minor=amount,
            currency=currency,
            naming=naming,
            customer_id=request.customer_id,
            customer_email=request.email,
            subscription_id=None,
            occurred_at=context.now,
            id_name="transaction_id",
        )
        return record(context, told)
    except Refusal as refusal:
        refusal.field = "coupon" if refusal.field == "code" else refusal.field
        raise


def _amount_minor(request: PostbackInput, currency: str) -> int:
    if (request.amount is None) is (request.amount_cents is None):
        raise InvalidInput("Give exactly one of amount and amount_cents.", field="amount")
    if request.amount_cents is not None:
        return request.amount_cents
    minor = to_minor(Decimal(request.amount or ""), currency)
    if minor is None:
        raise InvalidInput(f"amount: {currency} has {decimals(currency)} decimals.", field="amount")
    if not 0 < minor <= MAX_AMOUNT:
        raise InvalidInput(
            "amount: a sale is more than nothing, and less than a hundred thousand millions.", field="amount"
        )
    return minor


def _naming(context: Context, request: PostbackInput) -> Naming:
    """The coupon names the affiliate; a click that is known stands beside it, and the rules of attribution decide."""
    naming = naming_by_code(context, request.coupon)
    session, organization_id = context.session, context.organization_id
    program = storage.programs.get(session, organization_id, request.offer_id)
    program = program or storage.server_sales.program_by_slug(session, organization_id, request.offer_id)
    if program is None:
        raise NotFound("No program has this id or slug. Find it with list_programs.", field="offer_id")
    if program.id != naming.program_id:
        raise NotFound("This offer has no such coupon. See list_affiliate_codes.", field="coupon")
    # Trackers hand on whatever was in the address; a click of somebody else's is no reason to lose the sale.
    click = naming_by_click(context, request.click_id) if request.click_id is not None else None
    if click is None:
        return naming
    both = Referral(click_id=click.referral.click_id, code_id=naming.referral.code_id)
    return Naming(naming.affiliate_id, naming.program_id, both, naming.code)


RECORD_POSTBACK = Operation(
    name="record_postback",
    title="Record postback",
    summary="Record a sale that a tracker tells with a coupon, as record_sale does.",
    usage="GET or POST /postback; see docs/tracking.md.",
    toolset="server",
    input=PostbackInput,
    output=RecordedSale,
    handler=_record,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="sale.recorded",
    idempotent=True,
)
