"""An assistant connected to a server: in memory or over HTTP in process, in either era of the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Route

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, TokenKind
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.transports.mcp import build_mcp_server
from rekomi_mcp.transports.mcp_http import build_mcp_endpoint, identify_http

WAYS = [("memory", "auto"), ("memory", "legacy"), ("http", "auto"), ("http", "legacy")]
"""A transport and an era."""


@asynccontextmanager
async def assistant(app: App, token: str, transport: str = "memory", era: str = "auto") -> AsyncGenerator[Client]:
    """A client of what this app offers as tools."""
    if transport == "memory":
        credential = BearerToken(token, TokenKind.MCP)
        server = build_mcp_server(app.tools, app.pipeline, lambda _: (credential, Origin()), sandbox=True)
        async with Client(server, mode=era) as client:  # pyright: ignore[reportArgumentType]
            yield client
        return
    server = build_mcp_server(app.tools, app.pipeline, identify_http, sandbox=True)
    endpoint, sessions = build_mcp_endpoint(server, app.pipeline, app.settings)
    http_app = Starlette(routes=[Route("/mcp", endpoint, methods=["POST"])])
    async with (
        sessions.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(http_app), headers={"authorization": f"Bearer {token}"}
        ) as http,
        Client(streamable_http_client("http://127.0.0.1/mcp", http_client=http), mode=era) as client,  # pyright: ignore[reportArgumentType]
    ):
        yield client
