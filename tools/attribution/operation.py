"""explain_attribution: find the sale that is asked after, and tell its decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.errors import InvalidInput, NotFound
from rekomi_mcp.operation import Context, Input, Operation, Route
from rekomi_mcp.tools.attribution import subjects
from rekomi_mcp.tools.attribution.answers import ExplanationOutput, no_sale, present
from rekomi_mcp.tools.fields import Email, Id, StripeId

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import SaleRow

_KEYS = ("conversion_id", "source_id", "customer_email", "code")


class ExplainInput(Input):
    conversion_id: Id | None = Field(default=None, description="A credited sale, from list_conversions.")
    source_id: StripeId | None = Field(
        default=None, description="Any sale: its Stripe invoice (in_…) or session (cs_…), or your own id."
    )
    customer_email: Email | None = Field(default=None, description="The customer's newest sale, and what led to it.")
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        default=None, description="A code's owner, state and newest sale."
    )


def _explain(context: Context, request: ExplainInput) -> ExplanationOutput:
    given = [name for name in _KEYS if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidInput("Give exactly one of conversionId, sourceId, customerEmail and code.", field="conversionId")
    if request.conversion_id is not None:
        return _one(context, _of_conversion(context, request.conversion_id))
    if request.source_id is not None:
        return _one(context, _of_source(context, request.source_id))
    if request.customer_email is not None:
        subject = subjects.customer(context, request.customer_email)
    else:
        subject = subjects.code(context, str(request.code))
    if not subject.sales:
        return no_sale(context, subject.about)
    return _one(context, subject.sales[0], subject.about, subject.sales[1 : subjects.MOST_SALES])


def _one(
    context: Context, sale: SaleRow, about: str | None = None, others: Sequence[SaleRow] = ()
) -> ExplanationOutput:
    conversion = storage.sales.conversions_of(context.session, [sale.id]).get(sale.id)
    return present(context, sale, conversion, about, others)


def _of_conversion(context: Context, conversion_id: str) -> SaleRow:
    conversion = storage.conversions.get(context.session, context.organization_id, conversion_id)
    if conversion is None:
        raise NotFound("No conversion has this id. Find it with list_conversions.", field="conversionId")
    sale = storage.sales.get(context.session, context.organization_id, conversion.sale_id)
    assert sale is not None, "a conversion's sale is guarded by a foreign key"
    return sale


def _of_source(context: Context, source_id: str) -> SaleRow:
    sale = storage.sales.by_source_id(context.session, context.organization_id, source_id)
    if sale is None:
        raise NotFound(
            "No sale of this Stripe id has arrived. Run `rekomi-mcp sync` to read Stripe's events now.",
            field="sourceId",
        )
    return sale


EXPLAIN_ATTRIBUTION = Operation(
    name="explain_attribution",
    title="Explain attribution",
    summary="Tell why a sale was credited to an affiliate, or to nobody: every claim, the rule, the evidence, the terms.",
    usage="Ask by conversion, Stripe id, customer e-mail or code; to find sales use list_conversions.",
    toolset="sales",
    input=ExplainInput,
    output=ExplanationOutput,
    handler=_explain,
    route=Route("GET", "/api/v1/attribution"),
    scope=Scope.READ,
)
