"""Serve the catalogue as HTTP routes: documented paths, error envelope, idempotency and rate limit headers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute

from rekomi_mcp.domain.access import TokenKind
from rekomi_mcp.domain.errors import MethodNotAllowed, NotFound, RateLimited, Refusal
from rekomi_mcp.domain.quota import Quota
from rekomi_mcp.operation import AnyOperation, Catalogue, Route
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.transports.bodies import arguments_of, may_be_large
from rekomi_mcp.transports.identity import bearer_token, origin_of

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_routes(catalogue: Catalogue, pipeline: Pipeline, max_body_bytes: int) -> list[StarletteRoute]:
    """One route a path, answering every method that an exposed operation has there."""
    endpoints: dict[str, dict[str, Endpoint]] = {}
    for operation in catalogue.exposed():
        route = operation.route
        assert route is not None, "what is exposed has a route"
        for path in (route.path, *route.aliases):
            endpoints.setdefault(path, {})[route.method] = _endpoint(operation, route, pipeline, max_body_bytes)
    return [StarletteRoute(path, _by_method(at), methods=list(at)) for path, at in endpoints.items()]


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


def _endpoint(operation: AnyOperation, route: Route, pipeline: Pipeline, max_body_bytes: int) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        credential = bearer_token(request.headers, TokenKind.LIVE)
        if may_be_large(request):
            await pipeline.identify(credential)
        arguments, malformed = await _read(request, max_body_bytes)
        call = Call(
            operation=operation,
            credential=credential,
            arguments=arguments,
            malformed=malformed,
            idempotency_key=None if operation.reads else request.headers.get("idempotency-key"),
            origin=origin_of(request),
        )
        answer = await pipeline.execute(call)
        headers = quota_headers(answer.quota)
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        if route.status == 204:
            return Response(status_code=204, headers=headers)
        return JSONResponse(answer.body, status_code=route.status, headers=headers)

    return answering_refusals(endpoint)


async def _read(request: Request, max_body_bytes: int) -> tuple[dict[str, Any], Refusal | None]:
    """The arguments, or why they cannot be read; the caller's identity comes before that."""
    try:
        return await arguments_of(request, max_body_bytes), None
    except Refusal as refusal:
        return {}, refusal


def answering_refusals(endpoint: Endpoint) -> Endpoint:
    """The endpoint, answering refusals with the documented envelope."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return refused(refusal)

    return guarded


def refused(refusal: Refusal) -> JSONResponse:
    headers = quota_headers(refusal.quota)
    if isinstance(refusal, RateLimited):
        headers["Retry-After"] = str(refusal.details["retryAfterSeconds"])
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="rekomi"'
    return JSONResponse(refusal.body(), status_code=refusal.status, headers=headers)


def quota_headers(quota: Quota | None) -> dict[str, str]:
    if quota is None:
        return {}
    return {
        "X-RateLimit-Limit": str(quota.limit),
        "X-RateLimit-Remaining": str(quota.remaining),
        "X-RateLimit-Reset": str(quota.resets_in_seconds),
    }


async def _no_route(request: Request, error: Exception) -> Response:
    """What the router itself refuses, in the same envelope."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refused(NotFound("There is nothing at this path. GET /openapi.json lists what there is."))
    if error.status_code == 405:
        allowed: Mapping[str, str] = error.headers or {}
        response = refused(MethodNotAllowed(f"This path takes {allowed.get('Allow', 'another method')}."))
        response.headers.update(allowed)
        return response
    return JSONResponse({"error": "http_error", "message": error.detail}, status_code=error.status_code)


async def _failed(request: Request, error: Exception) -> Response:
    # The path as it is declared: what stands in its places was made up by the caller.
    route = request.scope.get("route")
    logger.error("%s %s failed", request.method, getattr(route, "path", "a path that is none"), exc_info=error)
    message = "The server failed on this request, and nothing was changed. Its log says why."
    return JSONResponse({"error": "internal_error", "message": message}, status_code=500)


EXCEPTION_HANDLERS = {HTTPException: _no_route, Exception: _failed}
