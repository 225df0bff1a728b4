"""Sales told by a seller's own server, for shops that are not on Stripe: once each, whoever repeats it and how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.attribution import NO_CLAIM
from rekomi_mcp.domain.errors import IdempotencyConflict, InvalidInput, NotFound
from rekomi_mcp.domain.money import display
from rekomi_mcp.domain.sales import Referral, Sale, SaleSource
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.attribution import why_nobody
from rekomi_mcp.tools.fields import MAX_AMOUNT, WHOLE, Email, Id, Moment, OwnId, SaleCurrency
from rekomi_mcp.tools.ingest import apply_facts
from rekomi_mcp.tools.ingest.terms import CREDITED
from rekomi_mcp.tools.leads import live_code, named_affiliate

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import SaleRow

SOURCE = SaleSource.Server
CLOCK_SKEW = timedelta(minutes=5)
"""How far a teller's clock may be ahead: what is told as later than now was now."""
_OF_STRIPE = re.compile(r"(cs_(live|test)|ch|evt|in|pi|py|sub)_[A-Za-z0-9]{14,}")
"""Ids of what Stripe tells a sale by."""
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT), WHOLE]
"""Money in minor units, at least one."""


class RecordSaleInput(Input):
    external_event_id: OwnId = Field(description="Your own id of the sale: the same id is recorded once.")
    amount_cents: Amount = Field(description="Net of discount and tax, in minor units: what the commission is of.")
    currency: SaleCurrency = Field(description="Of both amounts.")
    gross_amount_cents: Amount | None = Field(
        default=None, description="All the customer paid, which refunds are measured by; amountCents when left out."
    )
    affiliate_id: Id | None = Field(
        default=None, description="Who brought the sale; or give a slug, a code or a click, or only the customer."
    )
    affiliate_slug: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="The slug of the affiliate's link."
    )
    code: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="The affiliate's live code that was used."
    )
    click_id: Id | None = Field(default=None, description="The recorded click that led to the sale.")
    customer_id: OwnId | None = Field(default=None, description="Your id of the customer, for later sales.")
    customer_email: Email | None = Field(default=None, description="The customer's, to find a lead by.")
    subscription_id: OwnId | None = Field(
        default=None, description="Your id of the subscription, when this is a payment of one."
    )
    occurred_at: Moment | None = Field(default=None, description="When it was paid; now when left out.")
    program_id: Id | None = Field(default=None, description="To check that the affiliate is of this program.")


class RecordedSale(Output):
    ok: Literal[True] = True
    deduped: bool = Field(description="True when the sale was known already and nothing was added.")
    external_event_id: str
    amount: str
    amount_cents: int
    currency: str
    conversion_id: str | None = None
    affiliate_id: str | None = None
    affiliate: str | None = Field(default=None, description="Whose conversion it is.")
    commission: str | None = Field(default=None, description="What is left of it.")
    commission_cents: int | None = Field(default=None, description="As earned at the sale, in minor units.")
    commission_currency: str | None = None
    status: str | None = None
    outcome: str = Field(description="credited, or why nobody earned.")
    explanation: str | None = Field(default=None, description="Why nobody earned, in words.")


@dataclass(frozen=True, slots=True)
class Naming:
    """Whom a telling names, and how."""

    affiliate_id: str
    program_id: str
    referral: Referral
    code: str | None = None
    """The text of the code that names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One sale as a seller's server tells it, looked up."""

    external_event_id: str
    net_minor: int
    gross_minor: int
    currency: str
    naming: Naming | None
    customer_id: str | None
    customer_email: str | None
    subscription_id: str | None
    occurred_at: datetime
    id_name: str = "externalEventId"
    """What the teller calls the sale's id."""


def _record(context: Context, request: RecordSaleInput) -> RecordedSale:
    naming = _naming(context, request)
    if request.program_id is not None:
        _check_program(context, request.program_id, naming)
    gross = request.gross_amount_cents or request.amount_cents
    if gross < request.amount_cents:
        raise InvalidInput("grossAmountCents holds amountCents and more: it is not smaller.", field="grossAmountCents")
    told = Told(
        external_event_id=request.external_event_id,
        net_minor=request.amount_cents,
        gross_minor=gross,
        currency=request.currency,
        naming=naming,
        customer_id=request.customer_id,
        customer_email=request.customer_email,
        subscription_id=request.subscription_id,
        occurred_at=moment_told(context, request.occurred_at),
    )
    return record(context, told)


def _naming(context: Context, request: RecordSaleInput) -> Naming | None:
    names = ("affiliate_id", "affiliate_slug", "code", "click_id")
    given = [name for name in names if getattr(request, name) is not None]
    if not given and not (request.customer_id or request.customer_email or request.subscription_id):
        raise InvalidInput(
            "Name the affiliate by affiliateId, affiliateSlug, code or clickId, or give customerId, customerEmail or "
            "subscriptionId for whoever brought the customer.",
            field="affiliateId",
        )
    if len(given) > 1:
        raise InvalidInput(
            "Name the affiliate by only one of affiliateId, affiliateSlug, code and clickId.", field="affiliateId"
        )
    if request.click_id is not None:
        naming = naming_by_click(context, request.click_id)
        if naming is None:
            raise NotFound("No click has this id. Name the affiliate in another way.", field="clickId")
        return naming
    if request.code is not None:
        return naming_by_code(context, request.code)
    if not given:
        return None
    affiliate = named_affiliate(context, request)
    return Naming(affiliate.id, affiliate.program_id, Referral(affiliate_id=affiliate.id))


def naming_by_click(context: Context, click_id: str) -> Naming | None:
    row = storage.clicks.by_ids(context.session, context.organization_id, [click_id]).get(click_id)
    return Naming(row.affiliate_id, row.program_id, Referral(click_id=row.id)) if row is not None else None


def naming_by_code(context: Context, text: str) -> Naming:
    row = live_code(context, text)
    return Naming(row.affiliate_id, row.program_id, Referral(code_id=row.id), row.code)


def _check_program(context: Context, program_id: str, naming: Naming | None) -> None:
    lookups.program(context, program_id)
    if naming is None:
        raise InvalidInput("programId goes with affiliateId, affiliateSlug, code or clickId.", field="programId")
    if naming.program_id != program_id:
        raise NotFound("This program has no such affiliate.", field="programId")


def moment_told(context: Context, told: datetime | None, *, field: str = "occurredAt") -> datetime:
    """When it happened; now when nobody says.

    Raises:
        InvalidInput: later than now by more than clocks differ.
    """
    if told is not None and told > context.now + CLOCK_SKEW:
        raise InvalidInput(f"{field} is in the future. Give the time at which it happened, in UTC.", field=field)
    return min(told or context.now, context.now)


def record(context: Context, told: Told) -> RecordedSale:
    """Put a sale on the books once; a repetition is answered with what became of it.

    Raises:
        IdempotencyConflict: the sale was told before, and otherwise.
        InvalidInput: it is a sale through Stripe.
    """
    known = find(context, told.external_event_id)
    if known is not None:
        _require_same(context, known, told)
    outcome = known.outcome if known is not None else None
    # A sale that nobody had a claim on may still be told with a name; no other is decided anew.
    if known is None or (outcome == NO_CLAIM and told.naming is not None):
        if known is None:
            require_own(context, told.external_event_id, told.id_name)
        _require_currency_of_refunds(context, told)
        apply_facts(context, [_fact(told, known)])
        context.session.expire_all()
    row = find(context, told.external_event_id)
    assert row is not None, "it was just recorded"
    answer = _answer(context, row, deduped=row.outcome == outcome)
    note_once(context, answer.conversion_id)
    context.changed("sale", row.id, after=answer)
    return answer


def require_own(context: Context, external_event_id: str, id_name: str) -> None:
    """What went through Stripe is told by Stripe: told here too, before or after, it would earn twice.

    Raises:
        InvalidInput: the id is one of Stripe's, and Stripe is linked.
    """
    if lookups.organization(context).stripe_account is not None and _OF_STRIPE.fullmatch(external_event_id):
        raise InvalidInput(
            "This is an id of Stripe's, and sales and refunds through Stripe arrive by themselves: leave them out. Only a "
            "payment without a checkout session and without an invoice does not: record it under an id of your own.",
            field=id_name,
        )


def find(context: Context, external_event_id: str) -> SaleRow | None:
    key = (SOURCE.value, external_event_id)
    return storage.sales.by_keys(context.session, context.organization_id, [key]).get(key)


def _fact(told: Told, known: SaleRow | None) -> Sale:
    return Sale(
        source=SOURCE,
        source_id=told.external_event_id,
        event_id=f"server:{told.external_event_id}",
        occurred_at=known.occurred_at if known is not None else told.occurred_at,
        currency=told.currency,
        net_minor=told.net_minor,
        gross_minor=told.gross_minor,
        customer_id=told.customer_id,
        customer_email=told.customer_email,
        subscription_id=told.subscription_id,
        referral=told.naming.referral if told.naming is not None else None,
    )


def _require_same(context: Context, known: SaleRow, told: Told) -> None:
    if (known.net_minor, known.gross_minor, known.currency) != (told.net_minor, told.gross_minor, told.currency):
        raise IdempotencyConflict(
            f"This {told.id_name} was used for a sale of another amount or currency. Use the id of this sale; for money "
            "that went back use record_refund.",
            field=told.id_name,
        )
    if told.naming is None:
        return
    if _names_another(context, known, told.naming):
        raise IdempotencyConflict(
            f"This {told.id_name} was used for a sale of another affiliate. Use the id of this sale.",
            field=told.id_name,
        )


def _names_another(context: Context, known: SaleRow, naming: Naming) -> bool:
    """Whether somebody else was named before, or, when nobody was, somebody else was credited."""
    if known.referral is None:
        return any(
            claim["won"] and claim["affiliateId"] != naming.affiliate_id for claim in known.decision["candidates"]
        )
    session, organization_id = context.session, context.organization_id
    before = Referral(**known.referral)
    code = storage.codes.get(session, organization_id, before.code_id) if before.code_id is not None else None
    if code is not None and code.code == naming.code:
        return False  # the same text may be another affiliate's by now; a repetition means the code that it was then
    named = {before.affiliate_id, code.affiliate_id if code is not None else None}
    if before.click_id is not None:
        click = naming_by_click(context, before.click_id)
        named.add(click.affiliate_id if click is not None else None)
    return naming.affiliate_id not in named


def _require_currency_of_refunds(context: Context, told: Told) -> None:
    """Refunds that came first are in the currency of their sale, or the sale is not theirs."""
    refunds = storage.server_sales.refunds_of(context.session, context.organization_id, told.external_event_id)
    if any(refund.currency != told.currency for refund in refunds):
        raise IdempotencyConflict(
            "A refund of this sale came first, in another currency. Give the sale in the currency of its refund.",
            field="currency",
        )


def note_once(context: Context, conversion_id: str | None) -> None:
    """Leave what the books note of this very conversion to the operation's own audit line, which says the same."""
    context.changes[:] = [c for c in context.changes if conversion_id is None or c.entity_id != conversion_id]


def _answer(context: Context, row: SaleRow, *, deduped: bool) -> RecordedSale:
    session, organization_id = context.session, context.organization_id
    told: dict[str, object] = {
        "deduped": deduped,
        "external_event_id": row.source_id,
        "amount": display(row.net_minor, row.currency),
        "amount_cents": row.net_minor,
        "currency": row.currency,
        "outcome": row.outcome,
    }
    if row.outcome != CREDITED:
        told["explanation"] = f"Nobody earned. {why_nobody(row.outcome)}"
    conversion = storage.sales.conversions_of(session, [row.id]).get(row.id)
    if conversion is None:
        return RecordedSale.model_validate(told)
    names = storage.affiliates.names(session, organization_id, [conversion.affiliate_id])
    return RecordedSale.model_validate(
        {
            **told,
            "conversion_id": conversion.id,
            "affiliate_id": conversion.affiliate_id,
            "affiliate": names[conversion.affiliate_id],
            "commission": display(conversion.remaining_minor, conversion.commission_currency),
            "commission_cents": conversion.commission_minor,
            "commission_currency": conversion.commission_currency,
            "status": storage.conversions.status_of(conversion, context.now),
        }
    )


RECORD_SALE = Operation(
    name="record_sale",
    title="Record sale",
    summary="Record a sale that your own shop made outside Stripe, once, and credit the affiliate who brought it.",
    usage="Not for sales through Stripe, which arrive by themselves; for signups use record_lead, for money back "
    "record_refund.",
    toolset="server",
    input=RecordSaleInput,
    output=RecordedSale,
    handler=_record,
    route=Route("POST", "/api/v1/sales", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="sale.recorded",
    idempotent=True,
)
