"""Tracking on the brand's site: the snippet to paste, and which query parameters name an affiliate."""

from __future__ import annotations

from html import escape

from pydantic import Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import attribution_params
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.attribution_params import DEFAULTS, MAX_CUSTOM_ENTRIES, MAX_TOTAL_CHARS
from rekomi_mcp.domain.errors import NoProgramFound
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Id
from rekomi_mcp.tools.organization import NoArguments

TRACKING = "/api/v1/r"
"""The server's path of everything a brand's pages ask for."""
CLIENT_REFERENCE_HINT = (
    "Payment Links, buy buttons and pricing tables of Stripe on pages with the snippet carry the click by themselves. For "
    "Checkout sessions made by your server, send Rekomi.reference() along from the page and pass it as "
    "client_reference_id, or as metadata rekomi_click; leave it out when it is null. For signups without payment call "
    "Rekomi.convert({email, name}) on the page."
)
LOCAL_NOTE = (
    "Only this machine reaches this address. Set REKOMI_PUBLIC_URL and ask again before pasting it into a site."
)


class SnippetInput(Input):
    program_id: Id | None = Field(default=None, description="The newest active program when left out.")


class SnippetOutput(Output):
    snippet: str = Field(description="To paste, as it is, into the head of every page of the brand's site.")
    program_id: str
    program_slug: str
    has_custom_attribution_params: bool
    custom_attribution_params: str | None = None
    client_reference_hint: str = Field(description="How sales through Stripe Checkout learn of the click.")
    note: str | None = Field(default=None, description="What is to be done before it works for visitors.")


def _snippet(context: Context, request: SnippetInput) -> SnippetOutput:
    session, organization_id = context.session, context.organization_id
    if request.program_id is not None:
        program = storage.programs.get(session, organization_id, request.program_id)
    else:
        program = next(iter(storage.programs.live(session, organization_id, limit=1)), None)
    if program is None or program.archived_at is not None:
        raise NoProgramFound(
            "There is no such program, or none that is active. See list_programs, or make one with create_program.",
            field="programId",
        )
    own = ",".join(attribution_params.kept(lookups.organization(context).attribution_params))
    return SnippetOutput(
        snippet=_tags(f"{context.site.address}{TRACKING}", program.id, own),
        program_id=program.id,
        program_slug=program.slug,
        has_custom_attribution_params=bool(own),
        custom_attribution_params=own or None,
        client_reference_hint=CLIENT_REFERENCE_HINT,
        note=None if context.site.is_public else LOCAL_NOTE,
    )


def _tags(base: str, program_id: str, own: str) -> str:
    """Of our own making alone: the deployment's address, an id of ours and names that were checked."""
    address = escape(base)
    params = f' data-rkmi-params="{escape(own)}"' if own else ""
    return (
        "<!-- Rekomi tracking -->\n"
        f'<script async src="{address}/loader.js?program={escape(program_id)}" data-program-id="{escape(program_id)}"'
        f"{params}></script>\n"
        f'<noscript>\n  <img src="{address}/c.gif" width="1" height="1" alt="" />\n</noscript>'
    )


class AttributionParams(Output):
    custom: str | None = Field(default=None, description="The brand's own, comma-separated; null: none.")
    defaults: list[str]
    effective_order: list[str] = Field(description="The order in which a page's address is searched.")
    max_custom_entries: int = MAX_CUSTOM_ENTRIES
    max_total_chars: int = MAX_TOTAL_CHARS


def _get_params(context: Context, request: NoArguments) -> AttributionParams:
    own = attribution_params.kept(lookups.organization(context).attribution_params)
    return AttributionParams(
        custom=",".join(own) or None, defaults=list(DEFAULTS), effective_order=attribution_params.effective(own)
    )


class SetParamsInput(Input):
    custom: str | None = Field(
        description="Comma-separated names of 2 to 32 of a-z 0-9 _ -, at most 10; null or empty: only the defaults."
    )


class OwnParams(Output):
    custom: str | None


def _set_params(context: Context, request: SetParamsInput) -> AttributionParams:
    before = _get_params(context, NoArguments())
    own = ",".join(attribution_params.parse(request.custom or "")) or None
    storage.organizations.set_attribution_params(context.session, context.organization_id, own, context.now)
    answer = _get_params(context, NoArguments())
    changed = OwnParams(custom=before.custom), OwnParams(custom=answer.custom)
    context.changed("organization", context.organization_id, before=changed[0], after=changed[1])
    return answer


GET_INSTALL_SNIPPET = Operation(
    name="get_install_snippet",
    title="Get install snippet",
    summary="Write the script tag that makes affiliates' links count on the brand's site.",
    usage="Hand it over to paste; codes need no snippet. To have other query parameters recognised use "
    "set_attribution_params.",
    toolset="website",
    input=SnippetInput,
    output=SnippetOutput,
    handler=_snippet,
    route=Route("GET", f"{TRACKING}/install-snippet"),
    scope=Scope.READ,
)

GET_ATTRIBUTION_PARAMS = Operation(
    name="get_attribution_params",
    title="Get attribution parameters",
    summary="Show which query parameters of a page's address name an affiliate, in order.",
    usage="To add the brand's own use set_attribution_params.",
    toolset="website",
    input=NoArguments,
    output=AttributionParams,
    handler=_get_params,
    route=Route("GET", "/api/v1/settings/attribution-params"),
    scope=Scope.READ,
)

SET_ATTRIBUTION_PARAMS = Operation(
    name="set_attribution_params",
    title="Set attribution parameters",
    summary="Replace the brand's own query parameters, which are searched before the usual ones.",
    usage="For links that another platform made; the usual ones, see get_attribution_params, need no setting.",
    toolset="website",
    input=SetParamsInput,
    output=AttributionParams,
    handler=_set_params,
    route=Route("PATCH", "/api/v1/settings/attribution-params"),
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="org.attribution_params_changed",
    idempotent=True,
)
