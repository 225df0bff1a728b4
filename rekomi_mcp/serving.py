"""Serve an app: MCP on stdio, or MCP, the HTTP facade and the Stripe webhook on one port."""

from __future__ import annotations

import errno
import logging
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rekomi_mcp import __version__
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import ActorType, BearerToken, Credential, LocalOwner, TokenKind
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.settings import Settings, SettingsError
from rekomi_mcp.transports.mcp import build_mcp_server
from rekomi_mcp.transports.mcp_context import RequestContext

if TYPE_CHECKING:
    import uvicorn

logger = logging.getLogger(__name__)

BACKGROUND_DELAY_SECONDS = 2.0
"""On stdio the client's first question is answered before the background work begins to load."""
STORE_RETRY_SECONDS = 60.0
"""A database that cannot be opened may be only starting. Each call tries at once."""


async def serve_stdio(app: App) -> None:
    """Speak MCP on stdin and stdout until the client closes them."""
    from mcp.server.stdio import stdio_server

    settings = app.settings
    token = settings.token.get_secret_value() if settings.token else None
    credential: Credential = (
        BearerToken(token, TokenKind.MCP) if token else LocalOwner(ActorType.MCP, settings.organization)
    )

    def identify(context: RequestContext) -> tuple[Credential, Origin]:
        return credential, Origin(user_agent="stdio")

    server = build_mcp_server(app.tools, app.pipeline, identify, sandbox=settings.mode == "sandbox")
    async with app.running(), anyio.create_task_group() as group:
        group.start_soon(_background_after, app, BACKGROUND_DELAY_SECONDS)
        async with stdio_server() as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())
        group.cancel_scope.cancel()


async def _background_after(app: App, delay_seconds: float) -> None:
    await anyio.sleep(delay_seconds)
    while not await to_thread.run_sync(_can_work, app):
        await anyio.sleep(STORE_RETRY_SECONDS)
    async with app.background.running():
        await anyio.sleep_forever()


def _can_work(app: App) -> bool:
    """Whether the store can be opened; the log says why it cannot."""
    try:
        app.open_store()
    except SettingsError as error:
        logger.error("%s", error)
    except Exception:
        logger.exception("the store cannot be opened")
    else:
        return True
    return False


def _is_there(family: socket.AddressFamily) -> bool:
    """Whether the system has such addresses: a name may have one of a family that is switched off."""
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _listener(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A listening socket that says it is TCP: only of such does asyncio send answers at once, without Nagle's delay."""
    made = socket.create_server(address, family=family)
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())


def listen(settings: Settings) -> list[socket.socket]:
    """The sockets of the configured address.

    Raises:
        SettingsError: it cannot be listened on.
    """
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        each = sorted({(family, address[:2]) for family, _, _, _, address in found})
        there = [(family, address) for family, address in each if _is_there(family)]
        return [_listener(family, address) for family, address in there or each]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} of {host} is taken by another program. End that one, or set REKOMI_PORT to another."
        else:
            message = f"The server cannot listen on {host}, port {port}. Set REKOMI_HOST or REKOMI_PORT to another."
        raise SettingsError(message) from None


async def serve_http(app: App, sockets: list[socket.socket]) -> None:
    """Answer on these sockets until told to stop."""
    import uvicorn

    await uvicorn.Server(http_config(build_http_app(app), app.settings)).serve(sockets)


def http_config(http_app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How HTTP is served: with a limit on every connection, and no word of ours to the access log."""
    import uvicorn

    from rekomi_mcp.transports.connections import (
        MAX_CONNECTIONS,
        MAX_HEADER_BYTES,
        SHUTDOWN_SECONDS,
        ImpatientProtocol,
    )

    return uvicorn.Config(
        http_app,
        host=settings.host,
        port=settings.port,
        http=ImpatientProtocol,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        # Only behind a proxy is there somebody whose word on the caller's address counts.
        proxy_headers=settings.public_url is not None,
        server_header=False,
        log_config=None,
        access_log=False,
    )


def build_http_app(app: App) -> Starlette:
    """The ASGI application. Its lifespan runs the background work, and on the sandbox links the sandbox's webhook."""
    from rekomi_mcp.transports.brand_pages import build_brand_pages, is_for_pages
    from rekomi_mcp.transports.browsers import BrowserGuard, OwnNames
    from rekomi_mcp.transports.http import EXCEPTION_HANDLERS, build_routes
    from rekomi_mcp.transports.mcp_http import build_mcp_endpoint, identify_http
    from rekomi_mcp.transports.openapi import describe_api
    from rekomi_mcp.transports.postback import build_postback_route
    from rekomi_mcp.transports.redirects import build_redirects
    from rekomi_mcp.transports.tracking import build_tracking_routes
    from rekomi_mcp.transports.visitors import Reception
    from rekomi_mcp.transports.webhooks import PATH, build_stripe_webhook

    settings, sandbox = app.settings, app.settings.mode == "sandbox"
    server = build_mcp_server(app.tools, app.pipeline, identify_http, sandbox=sandbox)
    endpoint, sessions = build_mcp_endpoint(server, app.pipeline, settings)
    webhook_secrets = settings.webhook_secrets
    if app.sandbox.is_built_in and not webhook_secrets:
        webhook_secrets = [f"whsec_{secrets.token_hex(24)}"]
    reception = Reception(app.open_store, app.pipeline, app.clock, settings)
    described: dict[str, Any] = describe_api(app.catalogue, settings.address, sandbox=sandbox)

    async def openapi(request: Request) -> Response:
        return JSONResponse(described)

    async def healthz(request: Request) -> Response:
        return await _health(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with app.running(), sessions.run(), app.background.running():
            if app.sandbox.is_built_in:
                await app.sandbox.register_webhook(f"http://127.0.0.1:{settings.port}{PATH}", webhook_secrets[0])
            yield
            await reception.book.close()

    http_app = Starlette(
        routes=[
            Route("/mcp", endpoint, methods=["POST"]),
            build_stripe_webhook(
                app.open_store, webhook_secrets, app.clock, settings.mode == "live", app.background.wake
            ),
            Route("/openapi.json", openapi),
            Route("/healthz", healthz),
            *build_redirects(reception),
            *build_brand_pages(reception, settings.visits_per_minute),
            *build_tracking_routes(app.catalogue, app.pipeline),
            *build_postback_route(app.catalogue, app.pipeline),
            *build_routes(app.catalogue, app.pipeline, settings.max_body_bytes),
        ],
        middleware=[
            Middleware(
                BrowserGuard,
                names=OwnNames.of(settings),
                exempt=frozenset({PATH, "/healthz"}),
                is_for_pages=is_for_pages,
            )
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    http_app.router.redirect_slashes = False  # a path that is not quite right is answered in words
    return http_app


async def _health(app: App) -> Response:
    """200 when the database answers; no secrets and nothing of any organization."""

    def ask() -> None:
        from sqlalchemy import text

        with app.open_store().reading() as session:
            session.connection().execute(text("SELECT 1"))

    body = {"status": "ok", "version": __version__, "stripeMode": app.settings.mode}
    try:
        await to_thread.run_sync(ask)
    except Exception:
        logger.exception("the database does not answer")
        return JSONResponse({**body, "status": "database_unavailable"}, status_code=503)
    return JSONResponse(body)
