"""The MCP endpoint over HTTP: bearer tokens before anything else, then the streamable HTTP transport."""

from __future__ import annotations

from typing import Any, cast

from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rekomi_mcp.domain.access import Credential, TokenKind
from rekomi_mcp.domain.errors import Refusal, Unauthenticated
from rekomi_mcp.pipeline import Origin, Pipeline
from rekomi_mcp.settings import Settings
from rekomi_mcp.transports.bodies import read_body
from rekomi_mcp.transports.http import refused
from rekomi_mcp.transports.identity import bearer_token, origin_of
from rekomi_mcp.transports.mcp_context import RequestContext


def identify_http(context: RequestContext) -> tuple[Credential, Origin]:
    """The bearer token of the HTTP request that carried an MCP message."""
    request = cast(Request | None, context.request)
    assert request is not None, "only the HTTP transport identifies callers this way"
    return bearer_token(request.headers, TokenKind.MCP), origin_of(request)


class BearerGuard:
    """Answers 401 to a request without a good token, and reads the body, before the MCP transport sees it."""

    def __init__(self, app: ASGIApp, pipeline: Pipeline, max_body_bytes: int) -> None:
        self._app = app
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            await self._pipeline.identify(bearer_token(request.headers, TokenKind.MCP))
            body = await read_body(request, self._max_body_bytes)
        except Refusal as refusal:
            response = refused(refusal)
            if isinstance(refusal, Unauthenticated):
                challenge = f'Bearer realm="rekomi", error="invalid_token", error_description="{refusal.code}"'
                response.headers["WWW-Authenticate"] = challenge
            await response(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """What the client sends, with the body in one piece."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def build_mcp_endpoint(
    server: Server[dict[str, Any]], pipeline: Pipeline, settings: Settings
) -> tuple[BearerGuard, StreamableHTTPSessionManager]:
    """The endpoint and the session manager that must run as long as it does.

    Stateless: any process can answer, and there is no session to hold open or to take over.
    """
    manager = StreamableHTTPSessionManager(
        app=server,
        json_response=True,
        stateless=True,
        # Host and Origin are looked at for the whole server, in `browsers.py`.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=settings.max_body_bytes,
    )
    return BearerGuard(StreamableHTTPASGIApp(manager), pipeline, settings.max_body_bytes), manager
