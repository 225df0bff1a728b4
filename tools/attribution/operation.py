"""explain_attribution: find the sale that is asked after, and tell its decision."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.domain.errors import InvalidInput, NotFound
from rekomi_mcp.operation import Context, Input, Operation, Route
from rekomi_mcp.tools.attribution import subjects
from rekomi_mcp.tools.attribution.answers import ExplanationOutput, no_sale, present
from rekomi_mcp.tools.fields import Email, Id, StripeId

_KEYS = ("conversion_id", "source_id", "customer_email", "code")


class ExplainInput(Input):
    conversion_id: Id | None = Field(default=None, description="A credited sale, from list_conversions.")
    source_id: StripeId | None = Field(
        default=None, description="Any sale: its Stripe invoice, session or payment, or your own id."
    )
    customer_email: Email | None = Field(default=None, description="The customer's newest sale, and what led to it.")
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        default=None, description="A code's owner, state and newest sale."
    )


def _explain(context: Context, request: ExplainInput) -> ExplanationOutput:
    given = [name for name in _KEYS if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidInput("Give exactly one of conversionId, sourceId, customerEmail and code.", field="conversionId")
    session, organization_id = context.session, context.organization_id
    if request.conversion_id is not None:
        sale = storage.explanations.sale_of_conversion(session, organization_id, request.conversion_id)
        if sale is None:
            raise NotFound("No conversion has this id. Find it with list_conversions.", field="conversionId")
        return present(context, sale)
    if request.source_id is not None:
        subject = subjects.source(context, request.source_id)
    elif request.customer_email is not None:
        subject = subjects.customer(context, request.customer_email)
    else:
        subject = subjects.code(context, str(request.code))
    about = " ".join(subject.about)
    if not subject.sales:
        return no_sale(context, about)
    return present(context, *subject.sales[: storage.explanations.MOST_SALES], about=about)


EXPLAIN_ATTRIBUTION = Operation(
    name="explain_attribution",
    title="Explain attribution",
    summary="Tell why a sale was credited to an affiliate, or nobody: every claim, the rule, evidence, terms.",
    usage="Ask by conversion, Stripe id, customer e-mail or code; to find sales use list_conversions.",
    toolset="sales",
    input=ExplainInput,
    output=ExplanationOutput,
    handler=_explain,
    route=Route("GET", "/api/v1/attribution"),
    scope=Scope.READ,
    # What was decided is read by one statement, and the names it is told with do not change with it.
    brief=True,
)
