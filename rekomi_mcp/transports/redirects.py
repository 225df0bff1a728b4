"""The links affiliates share: note the visit, and send the visitor on to the brand's site."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rekomi_mcp.domain.destinations import CLICK_PARAMETER, SLUG_PARAMETER, may_lead_to, with_parameters
from rekomi_mcp.domain.visits import host_of, is_visitor_id
from rekomi_mcp.tools.links import REDIRECTS
from rekomi_mcp.transports.visitors import Reception, is_bot, is_fetched_ahead, labels_of

if TYPE_CHECKING:
    from rekomi_mcp.storage.links import Target

PATH = f"{REDIRECTS}{{slug}}"
COOKIE = "rk_visitor"
"""A random id, so that a visitor who comes back is known to have come before. It says nothing and opens nothing."""
HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}

UNKNOWN = "This link leads nowhere. Ask whoever gave it to you for the right one.\n"
NOWHERE_YET = (
    "This link leads nowhere yet: the program has no website. Its owner sets one with update_program, websiteUrl.\n"
)
TOO_MANY = "Too many visits from here. Try again in a minute.\n"


def build_redirects(reception: Reception) -> list[Route]:
    """The routes of every tracking link. They lead only where the organization has said, whatever the request says."""

    async def endpoint(request: Request) -> Response:
        counts, looked_at = reception.visits.knock(request)
        if not looked_at:
            return _page(TOO_MANY, 429)
        slug = request.path_params["slug"].lower()
        target = (await reception.targets([slug])).get(slug)
        if target is None:
            return _page(UNKNOWN, 404)
        destination = target.destination_url or target.website_url
        if destination is None or not may_lead_to(destination):
            return _page(NOWHERE_YET, 404)
        is_seen = request.method == "GET" and not is_fetched_ahead(request)
        return await _send_on(reception, request, target, destination, counts and is_seen)

    # A slash behind the slug is what people and programs add when they write an address down.
    return [Route(path, endpoint, methods=["GET"]) for path in (PATH, f"{PATH}/")]


async def _send_on(
    reception: Reception, request: Request, target: Target, destination: str, counts: bool
) -> RedirectResponse:
    labels = labels_of(request.query_params)
    parameters = {SLUG_PARAMETER: target.slug, **{name: text for name, text in labels.items() if text is not None}}
    visitor_id = None
    if counts:
        cookie = request.cookies.get(COOKIE, "")
        visit = reception.visit(
            request,
            target,
            visitor_id=cookie if is_visitor_id(cookie) else None,
            labels=labels,
            referrer_host=host_of(request.headers.get("referer", "")),
        )
        recorded = await reception.book.note(target.organization_id, visit)
        if not is_bot(visit):
            visitor_id = visit.visitor_id
            if recorded is not None:
                parameters[CLICK_PARAMETER] = recorded.click_id
    encoded = [(name, quote(text, safe="")) for name, text in parameters.items()]
    response = RedirectResponse(with_parameters(destination, encoded), status_code=302, headers=HEADERS)
    if visitor_id is not None:
        response.set_cookie(
            COOKIE,
            visitor_id,
            max_age=target.cookie_window_days * 24 * 3600,
            path=reception.redirects,
            secure=reception.is_secure,
            httponly=True,
            samesite="lax",
        )
    return response


def _page(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, headers=HEADERS)
