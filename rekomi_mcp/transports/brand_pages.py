"""What brands' pages ask for: the tracking script, clicks, signups. Open to any page, and silent about who is known here.

These paths take no credentials and set no cookies, so a page can do here only what a program without a token could.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeGuard, cast

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rekomi_mcp.domain import attribution_params
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.domain.visits import host_of, is_visitor_id
from rekomi_mcp.tools.leads import RECORD_SIGNUP, RecordSignupInput
from rekomi_mcp.tools.links import REDIRECTS
from rekomi_mcp.tools.website import TRACKING
from rekomi_mcp.transports.bodies import json_object, read_body
from rekomi_mcp.transports.visitors import AddressLimit, Reception, is_bot, labels_of

logger = logging.getLogger(__name__)

LOADER, PIXEL = f"{TRACKING}/loader.js", f"{TRACKING}/c.gif"
CLICK, SIGNUP = f"{TRACKING}/click", f"{TRACKING}/lead/signup"
DEFAULTS = "/api/v1/settings/attribution-params/defaults"
FOR_PAGES = frozenset({LOADER, PIXEL, CLICK, SIGNUP, DEFAULTS})
"""Exactly these, so that no path is opened by how it begins."""
MAX_BODY_BYTES = 8 * 1024
MAX_SLUGS = 5
MAX_TEXT = 64
"""Of a slug or an id."""
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
ANY_PAGE = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
PERMISSION = {
    **ANY_PAGE,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}
AN_HOUR = {"Cache-Control": "public, max-age=3600"}
NEVER_KEPT = {"Cache-Control": "no-store"}


def is_for_pages(path: str) -> bool:
    """Whether pages of any site may ask for this path: those here, and the links that affiliates share."""
    return path in FOR_PAGES or (
        path.startswith(REDIRECTS) and "/" not in path.removeprefix(REDIRECTS).removesuffix("/")
    )


def build_brand_pages(reception: Reception, scripts_per_minute: int) -> list[Route]:
    """The routes for brands' pages."""
    scripts = AddressLimit(scripts_per_minute)

    async def loader(request: Request) -> Response:
        program_id = request.query_params.get("program", "")
        own: list[str] = []
        # Without them the script still has those that the page's tag holds.
        if _is_short(program_id) and scripts.knock(request)[0]:
            own = attribution_params.kept(await reception.own_params(program_id))
        return Response(_script(tuple(own)), media_type="text/javascript", headers=ANY_PAGE | AN_HOUR)

    async def pixel(request: Request) -> Response:
        return Response(GIF, media_type="image/gif", headers=ANY_PAGE | NEVER_KEPT)

    async def defaults(request: Request) -> Response:
        body = {
            "defaults": attribution_params.DEFAULTS,
            "maxCustomEntries": attribution_params.MAX_CUSTOM_ENTRIES,
            "maxTotalChars": attribution_params.MAX_TOTAL_CHARS,
            "minParamLength": attribution_params.MIN_PARAM_LENGTH,
            "maxParamLength": attribution_params.MAX_PARAM_LENGTH,
        }
        return JSONResponse(body, headers=ANY_PAGE | AN_HOUR)

    async def click(request: Request) -> Response:
        answer = await _click(reception, request)
        if answer is None:
            return Response(status_code=204, headers=ANY_PAGE | NEVER_KEPT)
        return JSONResponse(answer, headers=ANY_PAGE | NEVER_KEPT)

    async def signup(request: Request) -> Response:
        await _sign_up(reception, request)
        return JSONResponse({"ok": True}, headers=ANY_PAGE | NEVER_KEPT)

    return [
        Route(LOADER, loader, methods=["GET"]),
        Route(PIXEL, pixel, methods=["GET"]),
        Route(DEFAULTS, defaults, methods=["GET"]),
        Route(CLICK, _asked_first(click), methods=["POST", "OPTIONS"]),
        Route(SIGNUP, _asked_first(signup), methods=["POST", "OPTIONS"]),
    ]


def _asked_first(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, after the permission that browsers ask for before they send JSON."""

    async def asked(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=PERMISSION)
        return await endpoint(request)

    return asked


@cache
def _source() -> str:
    return resources.files("rekomi_mcp.transports").joinpath("loader.js").read_text(encoding="utf-8")


def _script(own: tuple[str, ...]) -> str:
    """The tracking script with the names of the query parameters it looks for."""
    usual = json.dumps(attribution_params.DEFAULTS)
    return _source().replace("[/* own */]", json.dumps(own), 1).replace("[/* usual */]", usual, 1)


async def _body(request: Request) -> dict[str, Any] | None:
    """What a page sent, as JSON of whatever declared type; None when it cannot be read."""
    try:
        return json_object(await read_body(request, MAX_BODY_BYTES))
    except Refusal:
        return None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    """A short text of a body; None for anything else."""
    value = body.get(name)
    return value if _is_short(value) else None


def _is_short(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isascii() and value.isprintable()


def _slugs(body: Mapping[str, Any]) -> list[str]:
    given = body.get("slugs") or [body.get("slug")]
    if not isinstance(given, list):
        return []
    few = cast(list[Any], given)[:MAX_SLUGS]
    return [text.strip().lower() for text in few if _is_short(text)]


async def _click(reception: Reception, request: Request) -> dict[str, object] | None:
    """Record what a page saw; None for whatever does not come to a click."""
    counts, _ = reception.visits.knock(request)
    body = await _body(request) if counts else None
    slugs = _slugs(body) if body is not None else []
    if body is None or not slugs:
        return None
    found = await reception.targets(slugs, _text(body, "programId"))
    slug = next((slug for slug in slugs if slug in found), None)
    if slug is None:
        return None
    target, visitor_id = found[slug], _text(body, "visitorId") or ""
    referrer = body.get("referrer")
    visit = reception.visit(
        request,
        target,
        visitor_id=visitor_id if is_visitor_id(visitor_id) else None,
        labels=labels_of(body),
        referrer_host=host_of(f"https://{referrer}") if isinstance(referrer, str) else None,
        claimed_id=_text(body, "clickId"),
    )
    recorded = await reception.book.note(target.organization_id, visit)
    if recorded is None or is_bot(visit):
        return None
    return {
        "clickId": recorded.click_id,
        "visitorId": recorded.visitor_id,
        "slug": slug,
        "cookieWindowDays": target.cookie_window_days,
        "attributionModel": target.attribution_model,
    }


async def _sign_up(reception: Reception, request: Request) -> None:
    """Record the lead a page tells of, if there is one in it."""
    counts, _ = reception.signups.knock(request)
    body = await _body(request) if counts else None
    slugs = _slugs(body) if body is not None else []
    if body is None or len(slugs) != 1:
        return
    target = (await reception.targets(slugs, _text(body, "programId"))).get(slugs[0])
    if target is None:
        return
    wanted = {
        "affiliateId": target.affiliate_id,
        "linkId": target.link_id,
        "email": body.get("email"),
        "name": body.get("name") or None,
        "clickId": _text(body, "clickId"),
    }
    try:
        signup = RecordSignupInput.model_validate(wanted)
        await reception.run(RECORD_SIGNUP, target.organization_id, signup)
    except (ValidationError, Refusal):
        return
    except Exception:
        # The visitor's page has nothing to do with our trouble.
        logger.exception("a signup could not be recorded")
