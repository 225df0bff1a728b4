"""What the suite is pointed at: the server as it is, and the same endpoint with the fixtures that the suite asks for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rekomi_mcp.app import App
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.transports.browsers import BrowserGuard, OwnNames
from rekomi_mcp.transports.mcp_http import build_mcp_endpoint
from tests.outside.conformance.fixtures.server import build_fixture_server


class WithToken:
    """Adds a bearer token to every request: the suite has no way to send one, and the endpoint asks for it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["authorization"] = f"Bearer {self._token}"
        await self._app(scope, receive, send)


def product(app: App) -> Starlette:
    """What `serve http` serves."""
    return build_http_app(app)


def fixtures(app: App) -> Starlette:
    """The product's endpoint (token, host and origin, body limit, no sessions) around a server with the fixtures."""
    return _around_fixtures(app, streams=False)


def fixtures_with_streams(app: App) -> Starlette:
    """The same with sessions and streams. The product asks its clients nothing and needs neither; some fixtures do."""
    return _around_fixtures(app, streams=True)


def _around_fixtures(app: App, *, streams: bool) -> Starlette:
    endpoint, sessions = build_mcp_endpoint(build_fixture_server(app), app.pipeline, app.settings)
    if streams:
        sessions.stateless, sessions.json_response = False, False

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with app.running(), sessions.run():
            yield

    guard = Middleware(BrowserGuard, names=OwnNames.of(app.settings), exempt=frozenset[str]())
    return Starlette(routes=[Route("/mcp", endpoint)], middleware=[guard], lifespan=lifespan)
