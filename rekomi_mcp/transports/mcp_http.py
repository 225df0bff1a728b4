"""The MCP endpoint over HTTP: bearer tokens before anything else, then the streamable HTTP transport."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rekomi_mcp.domain.access import Credential, TokenKind
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.pipeline import Origin, Pipeline
from rekomi_mcp.settings import LOOPBACK, Settings
from rekomi_mcp.transports.identity import bearer_token, origin_of
from rekomi_mcp.transports.mcp import RequestContext


def identify_http(context: RequestContext) -> tuple[Credential, Origin]:
    """The bearer token of the HTTP request that carried an MCP message."""
    request = cast(Request | None, context.request)
    assert request is not None, "only the HTTP transport identifies callers this way"
    return bearer_token(request.headers, TokenKind.MCP), origin_of(request)


class BearerGuard:
    """Answers 401 to a request without a good token before the MCP transport sees it."""

    def __init__(self, app: ASGIApp, pipeline: Pipeline) -> None:
        self._app = app
        self._pipeline = pipeline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._pipeline.identify(bearer_token(Request(scope).headers, TokenKind.MCP))
        except Refusal as refusal:
            challenge = f'Bearer realm="rekomi", error="invalid_token", error_description="{refusal.code}"'
            response = JSONResponse(refusal.body(), refusal.status, headers={"WWW-Authenticate": challenge})
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def build_mcp_endpoint(
    server: Server[dict[str, Any]], pipeline: Pipeline, settings: Settings
) -> tuple[BearerGuard, StreamableHTTPSessionManager]:
    """The endpoint and the session manager that must run as long as it does. Stateless: any process can answer."""
    manager = StreamableHTTPSessionManager(
        app=server,
        json_response=True,
        stateless=True,
        security_settings=_transport_security(settings),
        max_request_body_size=settings.max_body_bytes,
    )
    return BearerGuard(StreamableHTTPASGIApp(manager), pipeline), manager


def _transport_security(settings: Settings) -> TransportSecuritySettings:
    """Which Host and Origin headers are ours: a page in a browser must not reach the server under another name."""
    names = set(LOOPBACK if settings.host in LOOPBACK else {settings.host})
    hosts = {f"[{name}]:*" if ":" in name else f"{name}:*" for name in names}
    origins = {f"http://{host}" for host in hosts}
    if settings.public_url is not None:
        parts = urlsplit(settings.public_url)
        hosts.add(parts.netloc)
        origins.add(f"{parts.scheme}://{parts.netloc}")
    return TransportSecuritySettings(allowed_hosts=sorted(hosts), allowed_origins=sorted(origins))
